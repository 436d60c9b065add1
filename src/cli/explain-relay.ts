/** `lintel explain tcp://…` and `udp://…`: which route of an entry takes a client, and why not those before it. */
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { RelayRouteConfig, TcpConfig, UdpConfig } from "../config/relay-config.ts";
import { isIp, parseAddress } from "../net/address.ts";
import { RelayRoutes } from "../relay/routes.ts";
import type { Flags } from "./arguments.ts";
import { UsageError } from "./command.ts";
import { columns, type Terminal } from "./terminal.ts";
import { upstreamFacts } from "./upstream-facts.ts";

type Entry = TcpConfig | UdpConfig;

/** The routes of an entry, each of which hands back its own config. */
export const relayRoutes = ({ routes }: Entry): RelayRoutes<RelayRouteConfig> =>
  new RelayRoutes(routes.map((route) => ({ name: route.name, match: route.match, target: route })));

export const isRelayUrl = (text: string | undefined): boolean => /^(?:tcp|udp):\/\//i.test(text ?? "");

/** @returns exit code */
export function explainRelay(url: string, flags: Flags, config: GatewayConfig, terminal: Terminal): number {
  const kind = /^tcp/i.test(url) ? "tcp" : "udp";
  const authority = url.slice("tcp://".length).replace(/\/$/, "");
  const port = parseAddress(authority);
  if (port === null || port.kind !== "tcp") throw new UsageError(`${url} has no port`, `write ${kind}://host:port`);
  const from = flags.get("from") ?? "127.0.0.1";
  if (!isIp(from)) throw new UsageError(`${JSON.stringify(from)} is not an IP address`);
  const serverName = flags.get("sni")?.toLowerCase() ?? null;
  const entries: readonly Entry[] = config[kind];
  const { entry, because } = choose(entries, kind, port.port, flags.get("listener"));
  const name = kind === "tcp" && serverName !== null ? `, asks for ${serverName}` : "";
  const rows = [
    ["client", `${from}, over ${kind.toUpperCase()}${name}`],
    [
      "listener",
      `${entry.name}${entry.listen.includes(entry.name) ? "" : ` (${entry.listen.join(", ")})`}: ${because}`,
    ],
  ];
  const endsTls = "tls" in entry && entry.tls !== null;
  if (endsTls) rows.push(["tls", "ends here: the handshake's server name chooses the certificate"]);
  const verdicts = relayRoutes(entry).explain(kind === "tcp" ? serverName : null, from);
  for (const { spec, matched, because: why } of verdicts)
    rows.push([matched ? "route" : "not", `${spec.name}: ${why}`]);
  const chosen = verdicts.find(({ matched }) => matched)?.spec.target;
  if (chosen === undefined)
    rows.push([
      "answer",
      kind === "tcp" ? "the connection is closed: no route takes it" : "its datagrams are dropped: no route takes them",
    ]);
  else {
    const upstream = config.upstreams.find((one) => one.name === chosen.to)!;
    rows.push(
      ...upstreamFacts(
        {
          ...upstream,
          retry: { ...upstream.retry, on: kind === "tcp" ? upstream.retry.on.filter((on) => on === "connect") : [] },
        },
        config,
        "GET",
      ),
    );
  }
  terminal.out(columns(rows));
  return chosen === undefined ? 1 : 0;
}

function choose(
  entries: readonly Entry[],
  kind: "tcp" | "udp",
  port: number,
  name: string | null,
): { entry: Entry; because: string } {
  const names = entries.map((one) => one.name).join(", ");
  if (name !== null) {
    const named = entries.find((one) => one.name === name);
    if (named === undefined) throw new UsageError(`there is no ${kind} ${JSON.stringify(name)}`, `${kind}: ${names}`);
    return { entry: named, because: "as asked" };
  }
  const fitting = entries.find(({ listen }) => listen.some((address) => address.endsWith(`:${port}`)));
  if (fitting === undefined) throw new UsageError(`no entry of ${kind} listens on port ${port}`, `${kind}: ${names}`);
  return { entry: fitting, because: `it listens on port ${port}` };
}
