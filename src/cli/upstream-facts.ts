/** Which endpoints an exchange may reach, in which order and how often: rows for `explain`. */
import type { EndpointConfig, GatewayConfig, RetryConfig, UpstreamConfig } from "../config/gateway-config.ts";
import { isIdempotent } from "../http/message.ts";
import { tiersOf } from "../upstream/tiers.ts";

/** @param method that of the request */
export function upstreamFacts(upstream: UpstreamConfig, { locality }: GatewayConfig, method: string): string[][] {
  const { name, endpoints, discover, balance, sticky } = upstream;
  const [first = "", ...others] = tiersOf(
    endpoints.map((spec) => ({ spec })),
    locality,
  ).map(([, tier]) => tier.map(({ spec }) => shownEndpoint(spec)).join(", "));
  const providers = discover.map((provider) => provider.name).join(", ");
  const isSingle = endpoints.length === 1 && discover.length === 0;
  const over = [first, providers === "" ? "" : `what ${providers} finds`].filter((text) => text !== "").join(", ");
  const rows = [["upstream", `${name}: ${isSingle ? first : `${balance.name} over ${over}`}`]];
  for (const tier of others) rows.push(["else", tier]);
  const connections = shownConnections(upstream);
  if (connections !== null) rows.push(["over", connections]);
  if (sticky !== null) {
    rows.push(["sticky", sticky.cookie === null ? `by field ${sticky.field}` : `by cookie ${sticky.cookie.name}`]);
  }
  const retries = shownRetries(upstream, method);
  if (!isSingle && retries !== null) rows.push(["retry", retries]);
  return rows;
}

function shownEndpoint({ address, weight, backup, priority, maxInFlight }: EndpointConfig): string {
  const facts = [
    weight === 1 ? "" : `weight ${weight}`,
    backup ? "backup" : "",
    priority === 0 ? "" : `priority ${priority}`,
    maxInFlight === Number.POSITIVE_INFINITY ? "" : `at most ${maxInFlight} at a time`,
  ].filter((fact) => fact !== "");
  return facts.length === 0 ? address : `${address} (${facts.join(", ")})`;
}

/** How endpoints are connected to; null: in HTTP/1.1, plainly. */
function shownConnections({ protocol, tls, proxyProtocol }: UpstreamConfig): string | null {
  const isEither = protocol === "auto" && tls !== null;
  const said = [isEither ? "HTTP/2 or HTTP/1.1" : protocol === "http2" ? "HTTP/2" : "HTTP/1.1"];
  if (tls !== null) {
    const trust = tls.verify ? [] : [tls.pins.length > 0 ? "pinned keys" : "any certificate"];
    if (tls.ca !== null) trust.push(`CA ${tls.ca}`);
    if (tls.serverName !== null) trust.push(`name ${tls.serverName}`);
    if (tls.identity !== null) trust.push(`client certificate ${tls.identity.cert}`);
    said.push(`over TLS${trust.length === 0 ? "" : ` (${trust.join(", ")})`}`);
  }
  if (proxyProtocol !== null) said.push(`after a PROXY header of version ${proxyProtocol}`);
  return said.length === 1 && protocol !== "http2" ? null : said.join(" ");
}

/** null if a failed attempt is the last one. */
function shownRetries({ endpoints, discover, retry, hedge }: UpstreamConfig, method: string): string | null {
  const others = discover.length === 0 ? endpoints.length - 1 : Number.POSITIVE_INFINITY;
  const attempts = Math.min(retry.attempts, others);
  const conditions = conditionsFor(retry, method);
  const again =
    attempts === 0 || conditions.length === 0
      ? null
      : `${attempts === 1 ? "once" : `up to ${attempts} times`} after ${conditions.join(", ")}`;
  const beside = hedge === null || !isIdempotent(method) ? null : `beside an attempt of ${hedge.after} ms`;
  const said = [again, beside].filter((text) => text !== null);
  return said.length === 0 ? null : said.join("; ");
}

/** What the endpoint may have acted on is repeated only where that does no harm (RFC 9110 §9.2.2). */
function conditionsFor({ on, anyMethod }: RetryConfig, method: string): string[] {
  return on.filter((condition) => condition === "connect" || anyMethod || isIdempotent(method)).map(String);
}
