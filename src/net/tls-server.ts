/**
 * TLS for connections that a listener accepted. Our own loop reads the ClientHello; its server name
 * chooses the certificates and rules; then the runtime does the handshake, and the owner gets a
 * `Connection` with the facts of it.
 *
 * A handshake that fails is told with its reason and costs nothing else. How many the library has at a
 * time is bounded, because nothing else that a stranger can ask for costs as much; those beyond wait with
 * their ClientHello, and their time runs. Whoever has sent none holds up nobody, and whoever does not go on with
 * a handshake makes room for those that wait.
 */
import type { X509Certificate } from "node:crypto";
import { Chain, Member } from "../base/chain.ts";
import { clock, Timer, type TimerList, timerList } from "../base/timer.ts";
import type { ConnectionHandler } from "./connection.ts";
import type { TcpConnection } from "./tcp.ts";
import {
  alertRecord,
  type ClientHello,
  INTERNAL_ERROR,
  NotAClientHello,
  readClientHello,
  UNRECOGNIZED_NAME,
} from "./tls-client-hello.ts";
import { type HandshakeOwner, TlsConnection } from "./tls-connection.ts";
import { type TlsContext, tlsReason } from "./tls-runtime.ts";

/** How one name is served. */
export interface TlsIdentity {
  readonly context: TlsContext;
  readonly clientCertificate: "none" | "optional" | "required";
  /** As from `alpnWire`; best first. */
  readonly alpn: Buffer | undefined;
  /** By which rules of a site; comes back with the facts. */
  readonly rules: string;
}

export interface TlsServerSettings {
  /** From the accepted connection to the end of the handshake; Infinity: no limit. */
  readonly handshakeTimeoutMs: number;
  /** Handshakes at one time; more wait. */
  readonly maxHandshakes: number;
  /**
   * @returns null to refuse with unrecognized_name; a promise lets the client wait, while others go first
   * @throws {Error} to refuse with internal_error; its message becomes the reason
   */
  choose(hello: ClientHello): TlsIdentity | null | Promise<TlsIdentity | null>;
}

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

/** What is known once the handshake is over. */
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

/** Ways for a handshake to fail; what the metrics say. */
export const HANDSHAKE_FAILURES = [
  // Not in time.
  "timeout",
  // Closed or reset by the client, without a word.
  "client-left",
  // Plain HTTP, or something else that is no TLS.
  "not-tls",
  // TLS that breaks its rules.
  "malformed",
  // There is no certificate for the name, and no other is shown.
  "unknown-name",
  "no-common-version",
  "no-common-cipher",
  "no-common-protocol",
  // The client's was not sent, or not trusted.
  "client-certificate",
  // An alert of the client: it does not trust our certificate, most often.
  "refused-by-client",
  // Something is wrong here: a file that cannot be read, say.
  "internal",
] as const;

export type HandshakeFailure = (typeof HANDSHAKE_FAILURES)[number];

/** Who wanted a TLS connection. */
export interface TlsAcceptOwner {
  onSecured(connection: TlsConnection, facts: HandshakeFacts): void;
  /**
   * It is over, and everything is closed.
   * @param reason      in words
   * @param serverName  "" if none was sent, or none was read
   */
  onHandshakeFailed(code: HandshakeFailure, reason: string, serverName: string): void;
  /** `onSecured` threw; the connection is destroyed. */
  fault(thrown: unknown): void;
}

/** So long a client may take to answer while others wait for its place: a second round trip of a poor connection. */
const PATIENCE_MS = 1000;
/** How often it is asked whether somebody has taken longer. */
const LOOK_MS = 100;

export class TlsServer {
  #settings: TlsServerSettings;
  #timeout: TimerList | null;
  /** Their ClientHello has not come yet, or it is not known yet what they get. */
  readonly #early = new Chain<TlsHandshake>();
  readonly #running = new Chain<TlsHandshake>();
  readonly #waiting = new Chain<TlsHandshake>();
  readonly #look = new Timer(() => this.#makeRoom());
  #isBeginning = false;

  constructor(settings: TlsServerSettings) {
    this.#settings = settings;
    this.#timeout = timerList(settings.handshakeTimeoutMs);
  }

  /** For the handshakes from now on, and those that wait. */
  set settings(settings: TlsServerSettings) {
    this.#settings = settings;
    this.#timeout = timerList(settings.handshakeTimeoutMs);
    this.#next();
  }

  get settings(): TlsServerSettings {
    return this.#settings;
  }

  /** All that have not ended. */
  get open(): number {
    return this.#early.size + this.#running.size + this.#waiting.size;
  }

  /** Those that the library has. */
  get handshakes(): number {
    return this.#running.size;
  }

  /** Those that have a ClientHello and wait for room. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Begins a handshake.
   * @param first  octets already read, such as those after a PROXY header; borrowed
   */
  accept(connection: TcpConnection, owner: TlsAcceptOwner, first: Uint8Array | null = null): TlsHandshake {
    const handshake = new TlsHandshake(this, connection, owner, first, this.#timeout);
    this.#early.add(handshake);
    handshake.start();
    return handshake;
  }

  /** Ends all of them, without a word to their owners: the time to drain is over. */
  cancelAll(): void {
    this.#look.cancel();
    for (const chain of [this.#waiting, this.#early, this.#running])
      for (const handshake of chain.all()) handshake.cancel();
  }

  /** @internal Its ClientHello is there. */
  ready(handshake: TlsHandshake): void {
    this.#early.delete(handshake);
    if (this.#running.size < this.#settings.maxHandshakes) return this.#begin(handshake);
    this.#waiting.add(handshake);
    this.#makeRoom();
  }

  /** Else a few clients that begin handshakes and never go on would keep everybody else out. */
  #makeRoom(): void {
    for (let oldest = this.#running.first; oldest !== null; oldest = this.#running.first) {
      if (this.#waiting.size === 0 || clock.now - oldest.begunAt < PATIENCE_MS) break;
      // The next one begins as it ends.
      oldest.giveWay();
    }
    if (this.#waiting.size > 0) this.#look.arm(timerList(LOOK_MS)!);
    else this.#look.cancel();
  }

  /** @internal What it gets is not known yet: others may go first. */
  delayed(handshake: TlsHandshake): void {
    this.#running.delete(handshake);
    this.#early.add(handshake);
    this.#next();
  }

  /** @internal */
  ended(handshake: TlsHandshake): void {
    if (this.#early.delete(handshake) || this.#waiting.delete(handshake)) return;
    this.#running.delete(handshake);
    this.#next();
  }

  /** One that ends as it begins calls this again; the call on top of the stack goes on then. */
  #next(): void {
    if (this.#isBeginning) return;
    this.#isBeginning = true;
    try {
      for (let next = this.#waiting.first; next !== null; next = this.#waiting.first) {
        if (this.#running.size >= this.#settings.maxHandshakes) return;
        this.#waiting.delete(next);
        this.#begin(next);
      }
    } finally {
      this.#isBeginning = false;
    }
  }

  #begin(handshake: TlsHandshake): void {
    this.#running.add(handshake);
    handshake.begunAt = clock.now;
    handshake.begin();
  }
}

/** Whose answer is waited for; null: nobody's any more. */
interface Ticket {
  handshake: TlsHandshake | null;
}

/** One handshake, from the accepted connection on. */
export class TlsHandshake extends Member implements ConnectionHandler, HandshakeOwner {
  readonly #server: TlsServer;
  readonly #owner: TlsAcceptOwner;
  readonly #timer = new Timer(() => this.#fail("timeout", "it took too long", 0));
  /** Until the runtime has it. */
  #plain: TcpConnection | null;
  #secure: TlsConnection | null = null;
  #received: Buffer | null;
  #hello: ClientHello | null = null;
  /** What was waited for. */
  #chosen: TlsIdentity | null | undefined;
  #ticket: Ticket | null = null;
  #identity: TlsIdentity | null = null;
  #serverName = "";
  #done = false;
  /** @internal When the library got it. */
  begunAt = 0;

  constructor(
    server: TlsServer,
    connection: TcpConnection,
    owner: TlsAcceptOwner,
    first: Uint8Array | null,
    timeout: TimerList | null,
  ) {
    super();
    this.#server = server;
    this.#plain = connection;
    this.#owner = owner;
    this.#received = first === null || first.length === 0 ? null : Buffer.from(first);
    connection.handler = this;
    if (timeout !== null) this.#timer.arm(timeout);
  }

  /** @internal */
  start(): void {
    if (this.#received !== null) this.#look();
  }

  /** Ends it without a word to its owner. */
  cancel(): void {
    this.#close();
  }

  /** @internal */
  giveWay(): void {
    this.#fail("timeout", "others waited for its place", 0);
  }

  /** Something has come from the client. */
  get hasBegun(): boolean {
    return this.#plain === null || this.#received !== null;
  }

  get expectsHead(): boolean {
    return true;
  }

  onOctets(room: Buffer, length: number): void {
    const octets = room.subarray(0, length);
    this.#received = this.#received === null ? Buffer.from(octets) : Buffer.concat([this.#received, octets]);
    this.#look();
  }

  onRoom(): void {}

  onPeerEnd(): void {
    this.#fail("client-left", "the client closed the connection", 0);
  }

  onLost(error: string): void {
    this.#fail("client-left", `the connection was lost (${error})`, 0);
  }

  onFault(thrown: unknown): void {
    this.#close();
    this.#owner.fault(thrown);
  }

  /** Whether enough is there to begin. */
  #look(): void {
    try {
      const hello = readClientHello(this.#received!);
      if (hello === null) return;
      this.#hello = hello;
      this.#serverName = hello.serverName ?? "";
    } catch (thrown) {
      if (thrown instanceof NotAClientHello)
        return this.#fail(thrown.alert === 0 ? "not-tls" : "malformed", thrown.message, thrown.alert);
      throw thrown;
    }
    this.#plain!.pause();
    this.#server.ready(this);
  }

  /** @internal There is room for it: with the rules of now. */
  begin(): void {
    if (this.#chosen !== undefined) return this.#proceed(this.#chosen);
    try {
      const identity = this.#server.settings.choose(this.#hello!);
      if (!(identity instanceof Promise)) return this.#proceed(identity);
      this.#server.delayed(this);
      // The answer may come long after this handshake has ended, and must not keep it alive.
      const ticket: Ticket = { handshake: this };
      this.#ticket = ticket;
      void identity.then(
        (chosen) => ticket.handshake?.chose(chosen),
        (thrown: Error) => ticket.handshake?.cannotChoose(thrown),
      );
    } catch (thrown) {
      this.#fail("internal", (thrown as Error).message, INTERNAL_ERROR);
    }
  }

  /** @internal */
  chose(identity: TlsIdentity | null): void {
    this.#chosen = identity;
    this.#server.ready(this);
  }

  /** @internal */
  cannotChoose(why: Error): void {
    this.#fail("internal", why.message, INTERNAL_ERROR);
  }

  #proceed(identity: TlsIdentity | null): void {
    if (identity === null) return this.#fail("unknown-name", "no certificate for the server name", UNRECOGNIZED_NAME);
    const plain = this.#plain!;
    const initial = this.#received;
    this.#identity = identity;
    this.#received = null;
    this.#plain = null;
    const options = {
      context: identity.context,
      server: true,
      serverName: null,
      alpn: identity.alpn,
      clientCertificate: identity.clientCertificate,
      verify: false,
      initial,
      session: null,
    };
    this.#secure = new TlsConnection(plain.surrender(), options, this);
  }

  onHandshake(connection: TlsConnection, ok: boolean, why: Error | null): void {
    this.#secure = connection;
    if (!ok) {
      const reason = why === null ? "the handshake failed" : tlsReason(why);
      return this.#fail(codeOf(reason), reason, 0);
    }
    const { clientCertificate } = this.#identity!;
    const facts = this.#facts(connection, why);
    if (clientCertificate === "required" && facts.clientCertificate?.distrust !== "") {
      const reason = facts.clientCertificate?.distrust ?? "no client certificate was sent";
      return this.#fail("client-certificate", `the client certificate was refused: ${reason}`, 0);
    }
    this.#secure = null;
    this.#end();
    try {
      this.#owner.onSecured(connection, facts);
    } catch (thrown) {
      connection.destroy(true);
      this.#owner.fault(thrown);
    }
  }

  onHandshakeLost(_connection: TlsConnection, error: string): void {
    this.#secure = null;
    if (error === "") this.#fail("client-left", "the client closed the connection", 0);
    else if (/^E[A-Z]+$/.test(error)) this.#fail("client-left", `the connection was lost (${error})`, 0);
    else this.#fail(codeOf(error), error, 0);
  }

  #facts(connection: TlsConnection, why: Error | null): HandshakeFacts {
    const socket = connection.socket!;
    const shown = this.#identity!.clientCertificate === "none" ? undefined : socket.getPeerX509Certificate();
    return {
      version: socket.getTLSVersion(),
      cipher: socket.getCipher()?.name ?? "",
      serverName: this.#serverName,
      alpn: socket.alpnProtocol || "",
      resumed: socket.isSessionReused(),
      rules: this.#identity!.rules,
      clientCertificate: shown === undefined ? null : describe(shown, socket.authorized, why),
    };
  }

  /** @param alert 0: none is sent */
  #fail(code: HandshakeFailure, reason: string, alert: number): void {
    if (this.#done) return;
    const plain = this.#plain;
    if (plain !== null && alert !== 0) {
      this.#plain = null;
      plain.write(alertRecord(alert));
      plain.close(false);
    }
    this.#close();
    this.#owner.onHandshakeFailed(code, reason, this.#serverName);
  }

  #close(): void {
    if (this.#done) return;
    this.#plain?.destroy();
    this.#plain = null;
    this.#received = null;
    const secure = this.#secure;
    this.#secure = null;
    this.#end();
    // No reset: it could overtake the alert that says why.
    secure?.destroy();
  }

  #end(): void {
    this.#done = true;
    if (this.#ticket !== null) this.#ticket.handshake = null;
    this.#timer.cancel();
    this.#server.ended(this);
  }
}

/** From the library's reasons, as `tlsReason` says them. */
function codeOf(reason: string): HandshakeFailure {
  if (reason.startsWith("no TLS version")) return "no-common-version";
  if (/^no (?:cipher|key exchange group|signature algorithm) in common/.test(reason)) return "no-common-cipher";
  if (reason.startsWith("no application protocol")) return "no-common-protocol";
  if (reason === "no client certificate was sent" || reason.startsWith("the certificate ")) return "client-certificate";
  if (reason.startsWith("the peer ") || /\balert\b/.test(reason)) return "refused-by-client";
  if (reason.startsWith("what was sent is ")) return "not-tls";
  return "malformed";
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
