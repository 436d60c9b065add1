/** TLS to origin servers: connects, does the handshake, checks who answered. */
import { createHash, type X509Certificate } from "node:crypto";
import { Timer, timerList } from "../base/timer.ts";
import { isIp } from "./address.ts";
import { type ConnectHandler, Connecting } from "./connect.ts";
import type { TcpConnection } from "./tcp.ts";
import { type HandshakeOwner, TlsConnection } from "./tls-connection.ts";
import { isAlert, type RuntimeSocket, type TlsContext, tlsReason } from "./tls-runtime.ts";

/** How an upstream's endpoints are spoken to. Made once; contexts cost 20 KB. */
export interface TlsClientSettings {
  readonly context: TlsContext;
  /** The CA's signature, the dates and the name are checked. */
  readonly verify: boolean;
  /** SHA-256 of public keys (SPKI) in base64, one of which must be the server's; empty: any. */
  readonly pins: readonly string[];
  /** As from `alpnWire`. */
  readonly alpn: Buffer | undefined;
  readonly handshakeTimeoutMs: number;
}

export interface OriginFacts {
  readonly version: string;
  readonly cipher: string;
  /** "" if none was agreed on. */
  readonly alpn: string;
  readonly resumed: boolean;
}

/**
 * Why there is no TLS connection, as RFC 9209 §2.3 tells apart.
 * - `untrusted`: whoever answered could not show that it is the server
 * - `refused`: the server said by an alert that it does not want the connection
 * - `timeout`: the handshake took too long
 * - `protocol`: anything else, such as no version in common
 */
export type HandshakeProblem = "untrusted" | "refused" | "timeout" | "protocol";

export interface TlsConnectHandler {
  onConnected(connection: TlsConnection, facts: OriginFacts): void;
  /** There was no connection. @param error an errno name; "ETIMEDOUT" also when our own time limit passed */
  onConnectFailed(error: string): void;
  /** There was, but not for this. @param reason in words, such as "the certificate has expired" */
  onHandshakeFailed(problem: HandshakeProblem, reason: string): void;
  /** `onConnected` threw; that connection is destroyed. */
  fault(thrown: unknown): void;
}

const MOST_SESSIONS = 4;
const LEFT = "the server closed the connection during the handshake";

/**
 * What earlier connections to one endpoint can be resumed with. Each is used once (RFC 8446 §C.4),
 * so that nobody on the way can tell which connections belong together.
 */
export class TlsSessions {
  readonly #sessions: Buffer[] = [];

  put(session: Buffer): void {
    if (this.#sessions.length >= MOST_SESSIONS) this.#sessions.shift();
    this.#sessions.push(session);
  }

  take(): Buffer | null {
    return this.#sessions.pop() ?? null;
  }
}

/** A TLS connection being opened. */
export class TlsConnecting implements ConnectHandler, HandshakeOwner {
  readonly #settings: TlsClientSettings;
  readonly #serverName: string;
  readonly #sessions: TlsSessions | null;
  readonly #handler: TlsConnectHandler;
  readonly #preamble: Uint8Array | null;
  readonly #timer = new Timer(() => this.#fail("timeout", "the handshake took too long"));
  readonly #connecting: Connecting;
  #secure: TlsConnection | null = null;
  #done = false;

  /**
   * @param sockaddr    see `encodeSockaddr`
   * @param connectMs   for the connection alone; Infinity: the kernel's own limit
   * @param serverName  host name or IP address that the certificate must be good for; a name is sent as SNI
   * @param sessions    of this endpoint and these settings; null: nothing is resumed
   * @param preamble    octets that go before the handshake (a PROXY header); null: none
   */
  constructor(
    sockaddr: Uint8Array,
    connectMs: number,
    serverName: string,
    settings: TlsClientSettings,
    sessions: TlsSessions | null,
    handler: TlsConnectHandler,
    preamble: Uint8Array | null = null,
  ) {
    this.#settings = settings;
    this.#serverName = serverName;
    this.#sessions = sessions;
    this.#handler = handler;
    this.#preamble = preamble;
    this.#connecting = new Connecting(sockaddr, connectMs, this);
  }

  /** Gives up; the handler is not called. */
  cancel(): void {
    if (this.#done) return;
    this.#end();
    this.#connecting.cancel();
    this.#secure?.destroy(true);
  }

  onConnected(connection: TcpConnection): void {
    const { context, verify, alpn, handshakeTimeoutMs } = this.#settings;
    const timeout = timerList(handshakeTimeoutMs);
    if (timeout !== null) this.#timer.arm(timeout);
    // The kernel's buffer is empty: it takes the whole of it.
    if (this.#preamble !== null) connection.write(this.#preamble);
    const secure = new TlsConnection(
      connection.surrender(),
      {
        context,
        server: false,
        // An address is no server name (RFC 6066 §3): `#distrust` checks it.
        serverName: isIp(this.#serverName) ? null : this.#serverName,
        alpn,
        clientCertificate: "none",
        // What it does not verify it tells all the same, and leaves the connection open.
        verify: verify && !isIp(this.#serverName),
        initial: null,
        session: this.#sessions?.take() ?? null,
      },
      this,
    );
    if (this.#done) return;
    this.#secure = secure;
    if (this.#sessions !== null) secure.onSession = (session) => this.#sessions!.put(session);
  }

  onConnectFailed(error: string): void {
    if (this.#done) return;
    this.#end();
    this.#handler.onConnectFailed(error);
  }

  fault(thrown: unknown): void {
    this.#end();
    this.#handler.fault(thrown);
  }

  onHandshake(connection: TlsConnection, ok: boolean, why: (Error & { readonly code?: string }) | null): void {
    if (this.#done) return;
    this.#secure = connection;
    const { socket } = connection;
    // Its name for a handshake that went wrong; everything else is about the certificate.
    if (socket === null || (!ok && (why === null || why.code === "EPROTO" || why.code === "ECONNRESET"))) {
      if (why === null || why.code === "ECONNRESET") return this.#fail("protocol", LEFT);
      return this.#fail(isAlert(why) ? "refused" : "protocol", tlsReason(why));
    }
    const distrust = this.#distrust(socket, ok, why);
    if (distrust !== "") return this.#fail("untrusted", distrust);
    const facts: OriginFacts = {
      version: socket.getTLSVersion(),
      cipher: socket.getCipher()?.name ?? "",
      alpn: socket.alpnProtocol || "",
      resumed: socket.isSessionReused(),
    };
    this.#secure = null;
    this.#end();
    try {
      this.#handler.onConnected(connection, facts);
    } catch (thrown) {
      connection.destroy(true);
      this.#handler.fault(thrown);
    }
  }

  onHandshakeLost(_connection: TlsConnection, error: string): void {
    this.#secure = null;
    if (error === "") this.#fail("protocol", LEFT);
    else if (/^E[A-Z]+$/.test(error)) this.#fail("protocol", `the connection was lost during the handshake (${error})`);
    else this.#fail("protocol", error);
  }

  /** "" if it is who it should be. */
  #distrust(socket: RuntimeSocket, ok: boolean, why: (Error & { readonly code?: string }) | null): string {
    const { verify, pins } = this.#settings;
    const code = why?.code;
    const byAddress = isIp(this.#serverName);
    // Without a server name the runtime looks for "localhost", but only after everything else was right.
    const trusted = (ok && socket.authorized) || (byAddress && code === "ERR_TLS_CERT_ALTNAME_INVALID");
    if (verify && !trusted) return why === null ? "the certificate was not verified" : tlsReason(why);
    if (pins.length === 0 && !(verify && byAddress)) return "";
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return "the server has shown no certificate";
    if (verify && byAddress && certificate.checkIP(this.#serverName) === undefined)
      return "the certificate is for other names";
    return pins.length === 0 || pins.includes(pinOf(certificate))
      ? ""
      : "the server's public key is not one that is pinned";
  }

  #fail(problem: HandshakeProblem, reason: string): void {
    if (this.#done) return;
    this.#end();
    const secure = this.#secure;
    this.#secure = null;
    secure?.destroy();
    this.#handler.onHandshakeFailed(problem, reason);
  }

  #end(): void {
    this.#done = true;
    this.#timer.cancel();
  }
}

/** SHA-256 of a certificate's public key in base64; what `openssl` and curl call a pin. */
export function pinOf(certificate: X509Certificate): string {
  const spki = certificate.publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(spki).digest("base64");
}
