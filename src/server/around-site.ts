/**
 * What TLS puts around all routes of a site, decided when the routes are built: plain requests go to
 * HTTPS, requests come over connections made by the site's own rules, the origin server is told of the client's
 * certificate, and browsers are told to stay with HTTPS.
 */
import { Failure } from "../base/failure.ts";
import type { ClientAuthConfig, GatewayConfig, HstsConfig, SiteConfig } from "../config/gateway-config.ts";
import type { Middleware } from "../http/define.ts";
import type { Exchange } from "../http/exchange.ts";
import { CERTIFICATE_FIELDS, fieldSet, type KnownName } from "../http/field-name.ts";
import { FieldSection } from "../http/field-section.ts";
import { HttpResponse } from "../http/message.ts";
import { encodeForbidden } from "../middleware/escape.ts";
import { parseAddress } from "../net/address.ts";
import { hasRules, rulesOf } from "../tls/listener-names.ts";

export interface SurroundingParts {
  readonly config: GatewayConfig;
  /** There is a certificate for this host, or one can be got. */
  covers(host: string): boolean;
  /** The peer is a trusted proxy. */
  trusts(exchange: Exchange): boolean;
}

/** @returns what stands around a site, outermost first; mostly nothing */
export function siteSurroundings({ config, covers, trusts }: SurroundingParts): (site: SiteConfig) => Middleware[] {
  const tellsOfCertificates = config.sites.some(({ tls }) => (tls?.clientAuth?.forward ?? []).length > 0);
  return (site) => {
    const around: Middleware[] = [];
    const redirect = redirectOf(site, config);
    if (redirect !== null) around.push(toHttps(redirect, covers));
    if (hasRules(site)) around.push(byOwnRules(site));
    const hsts = site.tls?.hsts ?? config.tls.hsts;
    if (hsts !== false) around.push(stayWithHttps(hsts));
    if (tellsOfCertificates) around.push(tellOfCertificate(site.tls?.clientAuth?.forward ?? [], trusts));
    return around;
  };
}

interface Redirect {
  readonly status: number;
  /** "" for 443. */
  readonly suffix: string;
}

/** @returns null if plain requests for this site are served */
export function redirectOf({ tls, listeners: names }: SiteConfig, config: GatewayConfig): Redirect | null {
  const redirect = tls?.redirect ?? config.tls.redirect;
  const listeners = config.listeners.filter(({ name }) => names.includes(name));
  const secure = listeners.find((one) => one.tls !== null);
  if (redirect === false || secure === undefined || listeners.every((one) => one.tls !== null)) return null;
  const port = redirect.port ?? portOf(secure.address);
  return port === null ? null : { status: redirect.status, suffix: port === 443 ? "" : `:${port}` };
}

/** null: clients cannot be sent there. */
function portOf(listenAddress: string): number | null {
  const address = parseAddress(listenAddress);
  return address?.kind === "tcp" && address.port > 0 ? address.port : null;
}

/** Not where a trusted proxy has ended TLS already, and only to where a browser will not be warned. */
function toHttps({ status, suffix }: Redirect, covers: SurroundingParts["covers"]): Middleware {
  return (next) => (exchange) => {
    const { client, request, host } = exchange;
    const isPlain = client.tls === null && request.scheme === "http";
    if (!isPlain || host === "" || !request.target.startsWith("/") || !covers(host)) return next(exchange);
    const fields = new FieldSection();
    fields.append("location", encodeForbidden(`https://${host}${suffix}${request.target}`));
    return new HttpResponse(status, fields);
  };
}

/**
 * A client could make the handshake for a name that is open to all, and ask for another (RFC 9110 §15.5.20). So may
 * one who is right: browsers use a connection for all names of its certificate, and make another after 421.
 */
function byOwnRules(site: SiteConfig): Middleware {
  const { name, tls } = site;
  const rules = rulesOf(site);
  const needsCertificate = tls!.clientAuth?.mode === "required";
  return (next) => (exchange) => {
    const facts = exchange.client.tls;
    // Connections outlive a reload: the handshake may have been made by what this site demanded before.
    const isByRules = facts === null || facts.rules === rules;
    // What must never happen is not left to the comparison alone.
    const isShown = !needsCertificate || facts?.clientCertificate?.distrust === "";
    if (!isByRules || !isShown) {
      const over = facts === null ? "a plain connection" : `a connection made for ${facts.serverName || "no name"}`;
      const by = facts === null || facts.rules === "" ? "" : " by other rules";
      throw new Failure("misdirected-request", `site ${name} has TLS rules of its own; this came over ${over}${by}`);
    }
    return next(exchange);
  };
}

/** RFC 6797 §7.2: over HTTPS only. */
function stayWithHttps({ maxAge, subdomains, preload }: HstsConfig): Middleware {
  const age = `max-age=${Math.floor(maxAge / 1000)}`;
  const value = [age, ...(subdomains ? ["includeSubDomains"] : []), ...(preload ? ["preload"] : [])].join("; ");
  return (next) => async (exchange) => {
    const response = await next(exchange);
    if (exchange.request.scheme === "https") response.fields.set("strict-transport-security", value);
    return response;
  };
}

type Forward = ClientAuthConfig["forward"][number];

const FIELDS = {
  verified: "x-client-verified",
  subject: "x-client-subject",
  issuer: "x-client-issuer",
  serial: "x-client-serial",
  fingerprint: "x-client-fingerprint",
  certificate: "client-cert",
} as const satisfies Record<Forward, KnownName>;
const CLAIMS = fieldSet(...CERTIFICATE_FIELDS);

/**
 * On every site while one of them has client certificates: origin servers that serve several could not tell whose
 * word it is. A trusted proxy may speak where we have nothing to say.
 */
function tellOfCertificate(forward: readonly Forward[], trusts: SurroundingParts["trusts"]): Middleware {
  return (next) => (exchange) => {
    const { fields } = exchange.request;
    fields.deleteDisguised(CERTIFICATE_FIELDS);
    const certificate = exchange.client.tls?.clientCertificate ?? null;
    if (forward.length > 0 || !trusts(exchange)) fields.deleteSet(CLAIMS);
    if (certificate === null) return next(exchange);
    const isTrusted = certificate.distrust === "";
    for (const what of forward) {
      // Anybody can make a certificate with any name in it.
      if (what === "verified") fields.append(FIELDS.verified, isTrusted ? "yes" : "no");
      else if (!isTrusted) continue;
      else if (what === "certificate") fields.append(FIELDS.certificate, `:${derOf(certificate.pem)}:`);
      else fields.append(FIELDS[what], escaped(certificate[what]));
    }
    return next(exchange);
  };
}

/** DER in base64: RFC 9440 §2.1 has it as a byte sequence of RFC 8941. */
const derOf = (pem: string): string => pem.replace(/-----[A-Z ]+-----|\s/g, "");

/** What is not printable ASCII as RFC 4514 §2.4 writes it: a backslash and two hexadecimal digits per octet. */
function escaped(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text;
  return Array.from(Buffer.from(text), (octet) =>
    octet >= 0x20 && octet < 0x7f
      ? String.fromCharCode(octet)
      : `\\${octet.toString(16).toUpperCase().padStart(2, "0")}`,
  ).join("");
}
