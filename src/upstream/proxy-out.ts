/** What a PROXY header tells an origin server of an exchange: who the client is, and where it connected to. */
import type { Exchange } from "../http/exchange.ts";
import { isIp } from "../net/address.ts";
import type { ProxyAddresses } from "../net/proxy-protocol.ts";

/** null if there is nothing to tell: the client came over a unix socket. */
export function proxyAddresses({ client, clientAddress }: Exchange): ProxyAddresses | null {
  if (!isIp(clientAddress)) return null;
  const { peer, peerPort, localAddress, localPort } = client;
  return {
    source: clientAddress,
    // Of a client behind another proxy the port is not known.
    sourcePort: clientAddress === peer ? peerPort : 0,
    destination: isIp(localAddress) ? localAddress : clientAddress.includes(":") ? "::" : "0.0.0.0",
    destinationPort: localPort,
  };
}
