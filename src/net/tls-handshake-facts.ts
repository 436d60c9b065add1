/** What is known of a client once its handshake is over. */
import type { X509Certificate } from "node:crypto";
import type { TlsConnection } from "./tls-connection.ts";
import type { TlsIdentity } from "./tls-identity.ts";
import { tlsReason } from "./tls-runtime.ts";

/** The certificate a client showed. */
export interface ClientCertificate {
  /** As in "CN=alice, O=Example" (RFC 4514 order is not kept: as it stands in the certificate). */
  readonly subject: string;
  readonly issuer: string;
  /** Hexadecimal, upper case. */
  readonly serial: string;
  /** SHA-256 of the whole certificate; hexadecimal, lower case. */
  readonly fingerprint: string;
  /** "" if a CA that is trusted here has signed it and it is valid now; else why not. */
  readonly distrust: string;
  /** PEM. */
  readonly pem: string;
}

export interface HandshakeFacts {
  /** "TLSv1.2" or "TLSv1.3". */
  readonly version: string;
  readonly cipher: string;
  /** "" if the client sent none. */
  readonly serverName: string;
  /** "" if none was agreed on. */
  readonly alpn: string;
  readonly resumed: boolean;
  /** As in the identity that was chosen. */
  readonly rules: string;
  readonly clientCertificate: ClientCertificate | null;
}

/** @param why why the client's certificate is not trusted, or null */
export function factsOf(
  connection: TlsConnection,
  identity: TlsIdentity,
  serverName: string,
  why: Error | null,
): HandshakeFacts {
  const socket = connection.socket!;
  const shown = identity.clientCertificate === "none" ? undefined : socket.getPeerX509Certificate();
  return {
    version: socket.getTLSVersion(),
    cipher: socket.getCipher()?.name ?? "",
    serverName,
    alpn: socket.alpnProtocol || "",
    resumed: socket.isSessionReused(),
    rules: identity.rules,
    clientCertificate: shown === undefined ? null : describe(shown, socket.authorized, why),
  };
}

function describe(certificate: X509Certificate, trusted: boolean, why: Error | null): ClientCertificate {
  return {
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    serial: certificate.serialNumber,
    fingerprint: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    distrust: trusted ? "" : why === null ? "it was not verified" : tlsReason(why),
    pem: certificate.toString(),
  };
}

/** One attribute per line is how it comes. */
const oneLine = (name: string | undefined): string => (name ?? "").replaceAll("\n", ", ");
