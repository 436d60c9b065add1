/** What a config may say already and no worker does yet: it is refused, never served in the clear. */
import type { GatewayConfig } from "../config/gateway-config.ts";

/** @throws {Error} that names all of it */
export function refuseNotServed({ upstreams, tcp, udp }: GatewayConfig): void {
  const named = [
    ...upstreams.flatMap(({ name, tls }) => (tls === null ? [] : [`tls of upstream ${name}`])),
    ...[...tcp, ...udp].map(({ path, name }) => `${path} (${name})`),
  ];
  if (named.length > 0) throw new Error(`not served by this version yet: ${named.join(", ")}`);
}
