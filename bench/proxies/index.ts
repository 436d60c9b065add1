/** The proxies compared, in the order of the table; ratios are against the first. */
import { caddy } from "./caddy.ts";
import type { Contender } from "./contender.ts";
import { haproxy } from "./haproxy.ts";
import { lintel } from "./lintel.ts";
import { nginx, nginxTuned } from "./nginx.ts";

export const proxies: readonly Contender[] = [nginx, nginxTuned, haproxy, caddy, lintel];
