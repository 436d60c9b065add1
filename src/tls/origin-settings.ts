/** From an upstream's `tls` and `protocol` to what its connections are made with. */
import type { OriginTlsConfig, UpstreamConfig } from "../config/gateway-config.ts";
import type { TlsClientSettings } from "../net/tls-client.ts";
import { alpnWire, createTlsContext } from "../net/tls-runtime.ts";
import { PROFILES } from "./profiles.ts";
import type { TlsMaterial } from "./tls-material.ts";

/** Names of ALPN, best first. */
const PROTOCOLS = { http1: ["http/1.1"], http2: ["h2"], auto: ["h2", "http/1.1"] } as const;

/** @throws {Error} if a file could not be read, or the library does not take it */
export function originSettings(
  tls: OriginTlsConfig,
  protocol: UpstreamConfig["protocol"],
  { files }: Pick<TlsMaterial, "files">,
): TlsClientSettings {
  const text = (path: string): string => {
    const found = files[path];
    // Without its CA an origin server would be checked against others, or not at all.
    if (found === undefined) throw new Error(`${path} could not be read`);
    return found;
  };
  const { identity, ca } = tls;
  return {
    context: createTlsContext({
      certificates: identity === null ? [] : [text(identity.cert)],
      keys: identity === null ? [] : [text(identity.key)],
      ca: ca === null ? null : text(ca),
      crl: null,
      minVersion: tls.minVersion,
      maxVersion: "TLSv1.3",
      ciphers: PROFILES.intermediate.ciphers,
      groups: PROFILES.intermediate.groups,
    }),
    verify: tls.verify,
    pins: tls.pins,
    alpn: alpnWire(PROTOCOLS[protocol]),
    handshakeTimeoutMs: tls.handshakeTimeout,
  };
}
