/** The list of matchers: the keys of `match`. A route's conditions are tried in this order, cheap ones first. */
import type { MatcherDefinition } from "../matcher.ts";
import { all } from "./all.ts";
import { any } from "./any.ts";
import { client } from "./client.ts";
import { cookie } from "./cookie.ts";
import { field } from "./field.ts";
import { host } from "./host.ts";
import { method } from "./method.ts";
import { not } from "./not.ts";
import { path } from "./path.ts";
import { protocol } from "./protocol.ts";
import { query } from "./query.ts";
import { scheme } from "./scheme.ts";
import { variable } from "./variable.ts";

export const MATCHERS: readonly MatcherDefinition[] = [
  method,
  scheme,
  protocol,
  path,
  host,
  client,
  field,
  query,
  cookie,
  variable,
  not,
  any,
  all,
];
