/** The routes of `tcp` and `udp`, for `lintel routes`. */
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { RelayRouteConfig, TcpConfig, UdpConfig } from "../config/relay-config.ts";
import { columns, type Terminal } from "./terminal.ts";

const entriesOf = ({ tcp, udp }: GatewayConfig): (readonly ["tcp" | "udp", TcpConfig | UdpConfig])[] => [
  ...tcp.map((entry) => ["tcp", entry] as const),
  ...udp.map((entry) => ["udp", entry] as const),
];

/** One table for each entry. */
export function relayTables(config: GatewayConfig, { paint }: Terminal): string[] {
  return entriesOf(config).map(([kind, { name, listen, routes }]) => {
    const names = kind === "tcp" ? (route: RelayRouteConfig) => [route.match.serverName?.join(", ") ?? "*"] : () => [];
    const rows = routes.map((route, i) => [
      String(i + 1),
      ...names(route),
      route.match.client?.join(", ") ?? "*",
      `→ ${route.to}`,
      route.name,
    ]);
    const head = ["", ...(kind === "tcp" ? ["SERVER NAME"] : []), "CLIENT", "DOES", "ROUTE"];
    const [first, ...body] = columns([head, ...rows], "  ").split(/(?<=\n)/);
    return `${paint.strong(`${kind} ${name}`)}: on ${listen.join(", ")}\n${paint.faint(first!)}${body.join("")}`;
  });
}

export function plainRelays(config: GatewayConfig) {
  return entriesOf(config).flatMap(([kind, { name, listen, routes }]) =>
    routes.map(({ name: route, match, to }) => ({
      [kind]: name,
      listen,
      route,
      serverName: match.serverName ?? null,
      client: match.client ?? null,
      to,
    })),
  );
}
