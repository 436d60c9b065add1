/** `lintel explain`: which route would answer a request, and why not the ones before it. */
import type { GatewayConfig, ListenerConfig } from "../../config/gateway-config.ts";
import { NO_BODY } from "../../http/body.ts";
import { Exchange } from "../../http/exchange.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpRequest, type Scheme } from "../../http/message.ts";
import { isIp } from "../../net/address.ts";
import { clientAddress, clientScheme } from "../../proxy/client-address.ts";
import { CidrSet } from "../../router/cidr.ts";
import { type Explanation, explainRoute } from "../../router/explain.ts";
import { type Command, type Invocation, UsageError } from "../command.ts";
import { explainRelay, isRelayUrl } from "../explain-relay.ts";
import { explainTls, type TlsExplanation } from "../explain-tls.ts";
import { CONFIG, configFile, usable } from "../prepare.ts";
import { type Destination, routeTable } from "../route-table.ts";
import { columns } from "../terminal.ts";
import { upstreamFacts } from "../upstream-facts.ts";

export const explain: Command = {
  name: "explain",
  summary: "Show which route would answer a request, and why.",
  parameters: "[METHOD] URL",
  flags: [
    CONFIG,
    { name: "header", short: "H", value: "'name: value'", summary: "A field of the request.", many: true },
    { name: "from", value: "ADDRESS", summary: "Address of the client. Default: 127.0.0.1." },
    {
      name: "listener",
      value: "NAME",
      summary: "Listener (or entry of tcp or udp) it arrives at. Default: the one with the URL's port, else the first.",
    },
    { name: "sni", value: "NAME", summary: "Server name that a TCP client asks for in its TLS handshake." },
  ],
  examples: [
    { line: "lintel explain http://example.com/api/users", does: "Explains a GET." },
    {
      line: "lintel explain POST example.com/api -H 'x-version: 2' --from 10.0.0.7",
      does: "Explains a POST with a field, from an address.",
    },
    { line: "lintel explain tcp://example.com:443 --sni db.example.com", does: "Explains a TCP connection." },
  ],
  async run({ flags, rest, terminal }) {
    if (isRelayUrl(rest[0])) {
      const relays = await usable({ file: configFile(flags) }, terminal);
      return relays === null ? 1 : explainRelay(rest[0]!, flags, relays.config, terminal);
    }
    const request = readRequest(rest, flags.all("header"));
    const prepared = await usable({ file: configFile(flags) }, terminal);
    if (prepared === null) return 1;
    const { config } = prepared;
    const { listener, because } = chooseListener(config, request, flags.get("listener"));
    const exchange = exchangeOf(request, listener, readFrom(flags.get("from") ?? "127.0.0.1"));
    const trusted = new CidrSet(config.trustedProxies);
    if (trusted.has(exchange.client.peer)) {
      exchange.clientAddress = clientAddress(exchange, trusted);
      exchange.request.scheme = clientScheme(exchange);
    }
    const explanation = explainRoute(routeTable(config), exchange);
    const secured = explainTls(config, prepared.directory, exchange, explanation.site, listener);
    terminal.out(tell(config, request, exchange, listener, because, explanation, secured, terminal));
    return explanation.chosen === null ? 1 : 0;
  },
};

interface Asked {
  readonly method: string;
  readonly scheme: Scheme;
  readonly authority: string;
  readonly target: string;
  /** As written in the URL; null if it names none. */
  readonly port: number | null;
  readonly fields: FieldSection;
}

/** Reads `[METHOD] URL`. The path is kept as it is written: what a URL parser tidies away may matter. */
function readRequest(rest: readonly string[], headers: readonly string[]): Asked {
  if (rest.length === 0 || rest.length > 2)
    throw new UsageError("explain needs a URL, and may have a method before it");
  const url = rest.at(-1)!;
  const parts = /^(?:(https?):\/\/)?([^/?#]*)([^#]*)/i.exec(url)!;
  const scheme = (parts[1]?.toLowerCase() ?? "http") as Scheme;
  if (parts[1] === undefined && /^[a-z][a-z0-9+.-]*:\/\//i.test(url))
    throw new UsageError(`${url} is not a URL with the scheme http or https`);
  const fields = new FieldSection();
  for (const header of headers) {
    const colon = header.indexOf(":");
    if (colon < 1) throw new UsageError(`${JSON.stringify(header)} is not a field: write 'name: value'`);
    try {
      fields.append(header.slice(0, colon).trim(), header.slice(colon + 1).trim());
    } catch (thrown) {
      throw new UsageError((thrown as Error).message);
    }
  }
  const host = fields.get("host");
  const authority = (host ?? parts[2]!).toLowerCase();
  if (authority === "") throw new UsageError(`${url} has no host`, "write the whole URL, or give -H 'host: …'");
  if (host === undefined) fields.append("Host", authority);
  const port = /:(\d{1,5})$/.exec(parts[2]!)?.[1];
  const tail = parts[3]!;
  return {
    method: rest.length === 2 ? rest[0]! : "GET",
    scheme,
    authority,
    target: tail.startsWith("/") ? tail : `/${tail}`,
    port: port === undefined ? null : Number(port),
    fields,
  };
}

function readFrom(text: string): string {
  if (isIp(text)) return text;
  throw new UsageError(`${JSON.stringify(text)} is not an IP address`);
}

function chooseListener(
  config: GatewayConfig,
  request: Asked,
  name: string | null,
): { listener: ListenerConfig; because: string } {
  const { listeners } = config;
  if (listeners.length === 0)
    throw new UsageError("the config has no listener for HTTP", "tcp://… and udp://… can be explained");
  if (name !== null) {
    const named = listeners.find((listener) => listener.name === name);
    if (named === undefined)
      throw new UsageError(
        `there is no listener ${JSON.stringify(name)}`,
        `listeners: ${listeners.map((one) => one.name).join(", ")}`,
      );
    return { listener: named, because: "as asked" };
  }
  const isSecure = request.scheme === "https";
  const port = request.port ?? (isSecure ? 443 : 80);
  const fitting = listeners.find((listener) => listener.address.endsWith(`:${port}`));
  if (fitting !== undefined) return { listener: fitting, because: `it listens on port ${port}` };
  const first = listeners.find(({ tls }) => (tls !== null) === isSecure);
  const which = first === undefined ? "this is the first" : `this is the first ${isSecure ? "with" : "without"} TLS`;
  return { listener: first ?? listeners[0]!, because: `none listens on port ${port}; ${which}` };
}

function exchangeOf(request: Asked, listener: ListenerConfig, from: string): Exchange {
  const client = {
    listener: listener.name,
    peer: from,
    peerPort: 0,
    localAddress: "",
    localPort: request.port ?? 0,
    tls: null,
  };
  const message = new HttpRequest(
    request.method,
    request.scheme,
    request.authority,
    request.target,
    request.fields,
    NO_BODY,
  );
  try {
    return new Exchange(client, "HTTP/1.1", message, 0);
  } catch (thrown) {
    throw new UsageError(`the request would be refused: ${(thrown as Error).message}`);
  }
}

function tell(
  config: GatewayConfig,
  request: Asked,
  exchange: Exchange,
  listener: ListenerConfig,
  because: string,
  { site, because: siteBecause, tried, chosen, params }: Explanation<Destination>,
  secured: TlsExplanation,
  { paint }: Invocation["terminal"],
): string {
  const path = exchange.path === request.target.replace(/\?.*$/s, "") ? "" : `, matched as ${exchange.path}`;
  const rows = [
    ["request", `${request.method} ${request.scheme}://${request.authority}${request.target}${path}`],
    ...(exchange.clientAddress === exchange.client.peer
      ? []
      : [["client", `${exchange.clientAddress}, by way of trusted proxy ${exchange.client.peer}`]]),
    ["listener", `${listener.name}${listener.name === listener.address ? "" : ` (${listener.address})`}: ${because}`],
    ...secured.rows.map((text) => ["tls", text]),
    ["site", site === null ? `none: ${siteBecause}` : `${site}: ${siteBecause}`],
  ];
  for (const { name, path: pattern, matched, because: why } of tried) {
    rows.push([matched ? "route" : "not", `${name}${matched || pattern === null ? "" : ` (${pattern})`}: ${why}`]);
  }
  if (chosen !== null && secured.answer !== null) rows.push(["answer", secured.answer]);
  else if (chosen === null)
    rows.push(["answer", `404: ${site === null ? "no site" : "no route of the site"} takes it`]);
  else rows.push(...destination(config, chosen.target, params, request.method));
  const text = columns(rows);
  return text
    .replace(/^(not {2,}.*)$/gm, (line) => paint.faint(line))
    .replace(/^(route|upstream|answer)\b/gm, (word) => paint.strong(word));
}

function destination(
  config: GatewayConfig,
  { site, route }: Destination,
  params: Readonly<Record<string, string>> | null,
  method: string,
): string[][] {
  const rows: string[][] = [];
  const held = Object.entries(params ?? {});
  if (held.length > 0)
    rows.push(["params", held.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(", ")]);
  const use = [...site.use.map(({ name }) => `${name} (site)`), ...route.use.map(({ name }) => name)];
  if (use.length > 0) rows.push(["use", use.join(" → ")]);
  const upstream = config.upstreams.find((one) => one.name === route.to);
  if (upstream !== undefined) rows.push(...upstreamFacts(upstream, config, method));
  else rows.push(["answer", "by a middleware"]);
  return rows;
}
