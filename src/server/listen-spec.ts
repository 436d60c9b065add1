/** What a config listens on, whatever is served there: one entry for each address. */
import type { GatewayConfig } from "../config/gateway-config.ts";

export interface ListenSpec {
  /** `udp` has datagrams, the others connections. */
  readonly kind: "http" | "tcp" | "udp";
  /** Of the listener, or of the entry of `tcp` or `udp`; unique over all of them. */
  readonly name: string;
  /** As the config says it. */
  readonly address: string;
  /** Of connections. */
  readonly backlog: number;
}

export type ListenKind = ListenSpec["kind"];

export function listenSpecs({ listeners, tcp, udp }: GatewayConfig): ListenSpec[] {
  return [
    ...listeners.map(({ name, address, backlog }) => ({ kind: "http" as const, name, address, backlog })),
    ...tcp.flatMap(({ name, listen, backlog }) =>
      listen.map((address) => ({ kind: "tcp" as const, name, address, backlog })),
    ),
    ...udp.flatMap(({ name, listen }) =>
      listen.map((address) => ({ kind: "udp" as const, name, address, backlog: 0 })),
    ),
  ];
}
