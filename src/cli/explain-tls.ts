/** What TLS has to say of a request: the certificate its client is shown, and what is not served in the clear. */
import type { GatewayConfig, ListenerConfig } from "../config/gateway-config.ts";
import type { Exchange } from "../http/exchange.ts";
import { redirectOf } from "../server/around-site.ts";
import { CertificateStore } from "../tls/certificate-store.ts";
import { readMaterial } from "../tls/tls-material.ts";

export interface TlsExplanation {
  readonly rows: readonly string[];
  /** What the client gets instead of the route's answer; null: that. */
  readonly answer: string | null;
}

const NOT_HERE = "the listener has none: https comes here only through a trusted proxy that ends it";

/** @param siteName that takes the exchange */
export function explainTls(
  config: GatewayConfig,
  directory: string,
  exchange: Exchange,
  siteName: string | null,
  listener: ListenerConfig,
): TlsExplanation {
  const { host, request } = exchange;
  const site = config.sites.find(({ name }) => name === siteName);
  if (config.listeners.every(({ tls }) => tls === null))
    return { rows: request.scheme === "https" ? [NOT_HERE] : [], answer: null };
  const store = new CertificateStore(config, readMaterial(config, directory, null).material);
  if (listener.tls !== null) {
    if (request.scheme === "http")
      return { rows: [], answer: "none: the listener has TLS, and closes connections that speak plain HTTP" };
    const found = store.explain(host).find((one) => one.listener === listener.name)!;
    const [certificate] = found.certificates;
    const got = config.tls.acme !== null || config.tls.local !== null;
    const rows = [
      found.answer === "certificate"
        ? `certificate ${certificate!.origin}`
        : got
          ? "no certificate in a file: `lintel cert` shows those that were got"
          : found.answer === "refused"
            ? `no certificate for ${host}: the handshake is refused`
            : `no certificate for ${host}: ${certificate!.origin} is shown, which browsers refuse`,
      ...(found.clientCertificate === "none" ? [] : [`a client certificate is ${found.clientCertificate}`]),
    ];
    return { rows, answer: null };
  }
  if (request.scheme === "https") return { rows: [NOT_HERE], answer: null };
  const redirect = site === undefined ? null : redirectOf(site, config);
  if (redirect !== null && store.lookUp(host).length > 0) {
    const { status, suffix } = redirect;
    const answer = `${status} to https://${host}${suffix}${request.target}: there is a certificate for the host (tls.redirect)`;
    return { rows: [], answer };
  }
  if (site?.tls?.clientAuth?.mode === "required")
    return { rows: [], answer: "421: the site wants client certificates, and this is a plain connection" };
  return { rows: [], answer: null };
}
