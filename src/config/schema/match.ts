/** A route's `match`: conditions on the request. */
import { z } from "zod";
import { type Reading, readCidr } from "../address.ts";
import type { VariableRules } from "../catalog.ts";
import type { MatchConfig, ValueMatch } from "../gateway-config.ts";
import { isRegex, readHostPattern, readPathPattern, readRegex } from "../pattern.ts";
import { textOption } from "./text.ts";

/** One or a list of texts, each read by `read`; gives a list. */
function texts(code: string, read: (text: string) => Reading, description: string, examples: readonly string[]) {
  const one = textOption(code, read, { description, examples });
  return z
    .union([one, z.array(one).min(1)])
    .transform((value) => (typeof value === "string" ? [value] : value))
    .meta({ description });
}

export const hosts = texts(
  "bad-host",
  readHostPattern,
  "Host names: exact, `*.` for one label, a leading `.` for any depth below, `~` for a regex.",
  ["example.com", "*.example.com", ".example.com", "~^api\\d+\\."],
);

const value: z.ZodType<ValueMatch, ValueInput> = z
  .union([z.boolean(), z.string(), z.number(), z.array(z.union([z.string(), z.number()])).min(1)])
  .transform((given, ctx): ValueMatch => {
    if (typeof given === "boolean") return given;
    const list = (Array.isArray(given) ? given : [given]).map(String);
    for (const [i, text] of list.entries()) {
      const reading = isRegex(text) ? readRegex(text) : { text };
      if ("text" in reading) continue;
      ctx.addIssue({
        code: "custom",
        message: reading.problem,
        path: Array.isArray(given) ? [i] : [],
        params: { code: "bad-regex" },
      });
    }
    return list;
  })
  .meta({ description: "A value, a list of values, `~regex`, `true` (present) or `false` (absent)." });

type ValueInput = boolean | string | number | (string | number)[];

const fieldNames = z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/);

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

function readMethod(text: string): Reading {
  if (!METHOD.test(text)) return { problem: `${JSON.stringify(text)} is not a method` };
  // Methods are case-sensitive (RFC 9110 §9.1): "get" is another method than GET, and hardly meant.
  const upper = text.toUpperCase();
  if (text !== upper && /^(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH)$/.test(upper)) {
    return { problem: `${JSON.stringify(text)} is not a method: methods are case-sensitive`, hint: `write ${upper}` };
  }
  return { text };
}

const VERSIONS = ["HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3"] as const;
const SCHEMES = ["http", "https"] as const;

const manyOf = <const T extends readonly string[]>(values: T, description: string) =>
  z
    .union([z.enum(values), z.array(z.enum(values)).min(1)])
    .transform((given) => (Array.isArray(given) ? given : [given]) as T[number][])
    .meta({ description });

export interface MatchInput {
  host?: string | string[] | undefined;
  path?: string | string[] | undefined;
  method?: string | string[] | undefined;
  field?: Record<string, ValueInput> | undefined;
  query?: Record<string, ValueInput> | undefined;
  cookie?: Record<string, ValueInput> | undefined;
  variable?: Record<string, ValueInput> | undefined;
  client?: string | string[] | undefined;
  protocol?: (typeof VERSIONS)[number] | (typeof VERSIONS)[number][] | undefined;
  scheme?: (typeof SCHEMES)[number] | (typeof SCHEMES)[number][] | undefined;
  not?: string | MatchInput | undefined;
  any?: (string | MatchInput)[] | undefined;
  all?: (string | MatchInput)[] | undefined;
}

/** @returns the schema of `match`, which holds itself within `not`, `any` and `all` */
export function matchOf(variables: VariableRules): z.ZodType<MatchConfig, string | MatchInput> {
  const variableName = z.string().check(({ value: name, issues }) => {
    const wrong = variables.judgeCondition(name);
    if (wrong === null) return;
    const params = { code: "bad-variable", hint: wrong.hint };
    issues.push({ code: "custom", message: wrong.problem, input: name, params });
  });
  /** What may stand in `match` and inside `not`, `any`, `all`. */
  const conditions = z
    .strictObject({
      host: hosts.optional(),
      path: texts("bad-path", readPathPattern, "Path: `/exact`, `/prefix/*`, `/users/:id`, or `~regex`.", [
        "/api/*",
        "/users/:id/posts",
      ]).optional(),
      method: texts("bad-method", readMethod, "Request method.", ["GET"]).optional(),
      field: z
        .record(fieldNames, value)
        .transform((fields) =>
          Object.fromEntries(Object.entries(fields).map(([name, match]) => [name.toLowerCase(), match])),
        )
        .optional()
        .meta({ description: "Request fields by name." }),
      query: z.record(z.string(), value).optional().meta({ description: "Query parameters by name." }),
      cookie: z.record(z.string(), value).optional().meta({ description: "Cookies by name." }),
      client: texts("bad-cidr", readCidr, "Address blocks the client is in, seen past trusted proxies.", [
        "10.0.0.0/8",
      ]).optional(),
      variable: z
        .record(variableName, value)
        .optional()
        .meta({ description: "Variables by name, such as `tls.version`; one that is empty counts as absent." }),
      protocol: manyOf(VERSIONS, "Protocol version of the request.").optional(),
      scheme: manyOf(SCHEMES, "Scheme of the request.").optional(),
      get not() {
        return match.optional().meta({ description: "Holds if these conditions do not." });
      },
      get any() {
        return z.array(match).min(1).optional().meta({ description: "Holds if one of these does." });
      },
      get all() {
        return z.array(match).min(1).optional().meta({ description: "Holds if each of these does." });
      },
    })
    .meta({ id: "conditions", title: "Conditions", description: "All that are given must hold; of a list, any one." });

  const path = textOption("bad-path", readPathPattern, {
    description: "A path pattern; short for `{ path: … }`.",
    examples: ["/api/*"],
  });

  const match: z.ZodType<MatchConfig, string | MatchInput> = z
    .union([path, conditions])
    .transform((given): MatchConfig => (typeof given === "string" ? { path: [given] } : tidy(given as MatchConfig)))
    .meta({ id: "match", description: "Which requests the route takes: a path pattern, or conditions. Default: all." });
  return match;
}

/** Without keys that hold nothing, and without a condition every host meets. */
function tidy(given: MatchConfig): MatchConfig {
  const entries = Object.entries(given).filter(
    ([key, held]) => held !== undefined && !(key === "host" && (held as string[]).includes("*")),
  );
  return Object.fromEntries(entries);
}
