/**
 * The runtime's TLS, as far as this room uses it: contexts, and a descriptor of ours that becomes a
 * TLS socket of the runtime's. Most of it is not in the runtime's type declarations; all casts are
 * in this file; tls-server, tls-client and tls-connection.test.ts hold what we rely on.
 *
 * Why the runtime's: it brings BoringSSL, of whose CPU time the system's OpenSSL 3.0 needs 1.8
 * times for a record and 1.3 times for a handshake, and is there wherever Lintel runs. It does not work
 * on memory, only on sockets of its own; so a connection is ours until its first octets have been
 * looked at, and then its descriptor changes hands. bench/README.md has the numbers.
 */
import { constants, type X509Certificate } from "node:crypto";
import tls, { type SecureContextOptions } from "node:tls";

declare const contextBrand: unique symbol;
/** Certificates, keys, CAs, versions and ciphers, ready for handshakes (SSL_CTX). About 20 KB each. */
export interface TlsContext {
  readonly [contextBrand]: true;
}

export type TlsVersion = "TLSv1.2" | "TLSv1.3";

export interface TlsContextOptions {
  /** PEM chains, leaf first, each with the key at the same place in `keys`. */
  readonly certificates: readonly string[];
  readonly keys: readonly string[];
  /** PEM; null: the CAs that come with the runtime. */
  readonly ca: string | null;
  /** PEM revocation lists. With one, every CA of a chain needs one. */
  readonly crl: string | null;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** For TLS 1.2, in OpenSSL's names, separated by ":"; null: the runtime's. */
  readonly ciphers: string | null;
  /** Of a server: the order of its ciphers goes before the client's. */
  readonly prefersOwnCiphers?: boolean;
  /** Key exchange groups, separated by ":"; null: the runtime's. */
  readonly groups: string | null;
}

/** @throws {Error} if a certificate, a key or a list cannot be read, or a key is of another certificate */
export function createTlsContext(options: TlsContextOptions): TlsContext {
  const native: SecureContextOptions = {
    minVersion: options.minVersion,
    maxVersion: options.maxVersion,
    ...(options.certificates.length === 0 ? {} : { cert: [...options.certificates], key: [...options.keys] }),
    ...(options.ca === null ? {} : { ca: options.ca }),
    ...(options.crl === null ? {} : { crl: options.crl }),
    ...(options.ciphers === null ? {} : { ciphers: options.ciphers }),
    ...(options.groups === null ? {} : { ecdhCurve: options.groups }),
    ...(options.prefersOwnCiphers === true ? { secureOptions: constants.SSL_OP_CIPHER_SERVER_PREFERENCE } : {}),
  };
  try {
    return (tls.createSecureContext(native) as unknown as { context: TlsContext }).context;
  } catch (thrown) {
    throw new Error(tlsReason(thrown as Error));
  }
}

/** Protocol names for ALPN as they stand in the handshake: each after its length (RFC 7301 §3.1). */
export function alpnWire(protocols: readonly string[]): Buffer | undefined {
  if (protocols.length === 0) return undefined;
  return Buffer.concat(protocols.map((name) => Buffer.from(`${String.fromCharCode(name.length)}${name}`, "latin1")));
}

/** The runtime's TLS socket. */
export interface RuntimeSocket {
  /** @returns octets taken, 0 if full, -1 if closed; nothing is kept */
  write(octets: Uint8Array): number;
  /** Sends close_notify and FIN. */
  shutdown(): void;
  /** Closes; calls `close` before it returns. */
  end(): void;
  terminate(): void;
  pause(): void;
  resume(): void;
  readonly authorized: boolean;
  readonly alpnProtocol: string | false | null;
  getTLSVersion(): string;
  getCipher(): { readonly name: string } | null;
  getPeerX509Certificate(): X509Certificate | undefined;
  isSessionReused(): boolean;
  setSession(session: Uint8Array): void;
  readonly remoteAddress: string | undefined;
}

export interface RuntimeTlsHandler {
  /** @param ok false: no connection came about. True does not mean that a peer's certificate was trusted. */
  onHandshake(socket: RuntimeSocket, ok: boolean, why: Error | null): void;
  /** A buffer of its own, safe to keep. May come after `pause`. */
  onData(octets: Buffer): void;
  /** The kernel takes octets again; also for no reason. */
  onDrain(): void;
  /** close_notify, or FIN without one: the runtime does not say which. */
  onEnd(): void;
  /** Once; also from within `end` and `terminate`. */
  onClose(why: Error | null): void;
  /** The connection cannot go on; `onClose` follows. */
  onError(why: Error): void;
  /** Something to resume with in another connection (client). */
  onSession(session: Buffer): void;
}

export interface RuntimeTlsOptions {
  readonly context: TlsContext;
  readonly server: boolean;
  /** Client: server name to send and to check; null: neither. */
  readonly serverName: string | null;
  /** As from `alpnWire`, best first. Nothing in common is fatal, as RFC 7301 §3.2 wants it. */
  readonly alpn: Buffer | undefined;
  /** Server: "required" fails without a certificate; one that is not trusted is for the caller to refuse. */
  readonly clientCertificate: "none" | "optional" | "required";
  /** Client: end the handshake at a certificate that is not trusted. */
  readonly verify: boolean;
  /** What has been read of the descriptor already. */
  readonly initial: Uint8Array | null;
  readonly session: Uint8Array | null;
}

interface Events {
  data: RuntimeTlsHandler;
}

/** The session of the connection that is being started. */
let offered: Uint8Array | null = null;

/** One set of functions for all sockets of the process. */
const tlsEvents = {
  /** Called within `upgradeTLS`, before the first octet is sent: the only moment to offer a session. */
  open(socket: RuntimeSocket) {
    if (offered !== null) socket.setSession(offered);
  },
  handshake(socket: RuntimeSocket & Events, ok: boolean, why: Error | null) {
    socket.data.onHandshake(socket, ok, why);
  },
  data(socket: Events, octets: Buffer) {
    socket.data.onData(octets);
  },
  drain(socket: Events) {
    socket.data.onDrain();
  },
  end(socket: Events) {
    socket.data.onEnd();
  },
  close(socket: Events, why?: Error) {
    socket.data.onClose(why ?? null);
  },
  error(socket: Events, why: Error) {
    socket.data.onError(why);
  },
  session(socket: Events, session: Buffer) {
    socket.data.onSession(session);
  },
};

interface RawSocket {
  upgradeTLS(options: object): readonly [unknown, RuntimeSocket];
}

/**
 * Makes a connected descriptor a TLS socket of the runtime's, which owns it from then on, also if
 * this fails. It must not be watched by our loop any more.
 *
 * @returns null if the runtime would not take it; the handler hears nothing then
 */
export function startTls(fd: number, options: RuntimeTlsOptions, handler: RuntimeTlsHandler): RuntimeSocket | null {
  let socket: RuntimeSocket | null = null;
  const upgrade = (raw: RawSocket) => {
    offered = options.session;
    [, socket] = raw.upgradeTLS({
      isServer: options.server,
      ...(options.initial === null ? {} : { initialData: options.initial }),
      data: handler,
      socket: tlsEvents,
      tls: {
        secureContext: options.context,
        ...(options.serverName === null ? {} : { serverName: options.serverName }),
        ...(options.alpn === undefined ? {} : { ALPNProtocols: options.alpn }),
        requestCert: options.server ? options.clientCertificate !== "none" : true,
        rejectUnauthorized: options.server ? options.clientCertificate === "required" : options.verify,
      },
    });
    offered = null;
  };
  // No `data`: the ciphertext would be copied for it. `open` is called before `connect` returns.
  const opening = Bun.connect({
    fd,
    allowHalfOpen: true,
    socket: { open: upgrade, drain() {}, end() {}, close() {}, error() {} },
  } as unknown as Parameters<typeof Bun.connect>[0]);
  opening.catch(() => {});
  return socket;
}

const REASONS: Readonly<Record<string, string>> = {
  UNSUPPORTED_PROTOCOL: "no TLS version in common",
  WRONG_VERSION_NUMBER: "what was sent is not TLS",
  HTTP_REQUEST: "what was sent is plain HTTP",
  HTTPS_PROXY_REQUEST: "what was sent is a plain CONNECT request",
  NO_SHARED_CIPHER: "no cipher in common",
  WRONG_CURVE: "no key exchange group in common",
  NO_SHARED_GROUP: "no key exchange group in common",
  NO_COMMON_SIGNATURE_ALGORITHMS: "no signature algorithm in common",
  NO_APPLICATION_PROTOCOL: "no application protocol in common (ALPN)",
  PEER_DID_NOT_RETURN_A_CERTIFICATE: "no client certificate was sent",
  KEY_TYPE_MISMATCH: "the key is of another kind than the certificate's",
  KEY_VALUES_MISMATCH: "the key is not the certificate's",
  NO_START_LINE: "there is no PEM block of the wanted kind",
  NO_CIPHER_MATCH: "no cipher of the list is known",
  NO_RENEGOTIATION: "renegotiation is not allowed",
  TLSV1_ALERT_UNKNOWN_CA: "the peer does not know the CA of our certificate",
  SSLV3_ALERT_BAD_CERTIFICATE: "the peer refused our certificate",
  SSLV3_ALERT_CERTIFICATE_UNKNOWN: "the peer refused our certificate",
  SSLV3_ALERT_CERTIFICATE_EXPIRED: "the peer says that our certificate has expired",
  // OpenSSL's clients send the alert in the clear where TLS 1.3 expects it encrypted.
  BAD_PACKET_LENGTH: "the peer broke off; most likely it does not trust our certificate",
  TLSV1_ALERT_CERTIFICATE_REQUIRED: "the peer wants a client certificate",
  SSLV3_ALERT_HANDSHAKE_FAILURE: "the peer found nothing in common (handshake_failure)",
  TLSV1_ALERT_PROTOCOL_VERSION: "the peer does not speak the version (protocol_version)",
  TLSV1_ALERT_NO_APPLICATION_PROTOCOL: "the peer speaks none of our application protocols (ALPN)",
  TLSV1_UNRECOGNIZED_NAME: "the peer does not know the server name",
  ERR_TLS_CERT_ALTNAME_INVALID: "the certificate is for other names",
  CERT_HAS_EXPIRED: "the certificate has expired",
  CERT_NOT_YET_VALID: "the certificate is not valid yet",
  CERT_REVOKED: "the certificate is revoked",
  DEPTH_ZERO_SELF_SIGNED_CERT: "the certificate is signed by itself, not by a CA that is trusted",
  SELF_SIGNED_CERT_IN_CHAIN: "the CA of the certificate is not trusted",
  UNABLE_TO_GET_ISSUER_CERT: "the CA of the certificate is not known",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "the CA of the certificate is not known",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "the CA of the certificate is not known",
  UNABLE_TO_GET_CRL: "there is no revocation list of the certificate's CA",
  CRL_HAS_EXPIRED: "the revocation list has expired",
  INVALID_PURPOSE: "the certificate is not meant for this use",
};

/** The peer said so, by an alert; the library names such errors in this way. */
export function isAlert(why: Error): boolean {
  return /OPENSSL_internal:(?:SSLV3_ALERT|TLSV1)_/.test(why.message);
}

/** What went wrong, in words if it is something usual, else as the library says it. */
export function tlsReason(why: Error & { readonly code?: string }): string {
  const library = /OPENSSL_internal:(\w+)/.exec(why.message)?.[1];
  const code = library ?? why.code ?? "";
  const words = REASONS[code];
  if (words !== undefined) return words;
  return library === undefined ? why.message : library.toLowerCase().replaceAll("_", " ");
}
