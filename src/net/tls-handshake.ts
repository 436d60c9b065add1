/**
 * One handshake, from the accepted connection to a `TlsConnection`, or to the reason why there is none.
 *
 * Our own loop reads the ClientHello. Once there is a place for it, the server name chooses the certificates and
 * rules, which may take a while; then the runtime does the rest. Until it has the connection, what is wrong is
 * answered by an alert of ours.
 */
import { Member } from "../base/chain.ts";
import { Timer, type TimerList } from "../base/timer.ts";
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
import { factsOf, type HandshakeFacts } from "./tls-handshake-facts.ts";
import { codeOf, type HandshakeFailure } from "./tls-handshake-failure.ts";
import type { TlsIdentity } from "./tls-identity.ts";
import { tlsReason } from "./tls-runtime.ts";

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

/** Who says when it is a handshake's turn. */
export interface HandshakePlaces {
  /** Its ClientHello is there, or what it waited for: `begin` is called when there is room. */
  ready(handshake: TlsHandshake): void;
  /** What it gets is not known yet: others may go first. */
  delayed(handshake: TlsHandshake): void;
  ended(handshake: TlsHandshake): void;
  /** As in `TlsServerSettings`. */
  choose(hello: ClientHello): TlsIdentity | null | Promise<TlsIdentity | null>;
}

/** Whose answer is waited for; null: nobody's any more. */
interface Ticket {
  handshake: TlsHandshake | null;
}

export class TlsHandshake extends Member implements ConnectionHandler, HandshakeOwner {
  readonly #places: HandshakePlaces;
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
  /** When the library got it. */
  begunAt = 0;

  constructor(
    places: HandshakePlaces,
    connection: TcpConnection,
    owner: TlsAcceptOwner,
    first: Uint8Array | null,
    timeout: TimerList | null,
  ) {
    super();
    this.#places = places;
    this.#plain = connection;
    this.#owner = owner;
    this.#received = first === null || first.length === 0 ? null : Buffer.from(first);
    connection.handler = this;
    if (timeout !== null) this.#timer.arm(timeout);
  }

  /** Looks at the octets it was made with, once whoever made it knows it. */
  start(): void {
    if (this.#received !== null) this.#look();
  }

  /** Ends it without a word to its owner. */
  cancel(): void {
    this.#close();
  }

  /** It has taken long enough, now that others wait. */
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
    this.#places.ready(this);
  }

  /** There is room for it: with the rules of now. */
  begin(): void {
    if (this.#chosen !== undefined) return this.#proceed(this.#chosen);
    try {
      const identity = this.#places.choose(this.#hello!);
      if (!(identity instanceof Promise)) return this.#proceed(identity);
      this.#places.delayed(this);
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

  /** The answer that was waited for. */
  chose(identity: TlsIdentity | null): void {
    this.#chosen = identity;
    this.#places.ready(this);
  }

  /** There will be none. */
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
    const facts = factsOf(connection, this.#identity!, this.#serverName, why);
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
    this.#places.ended(this);
  }
}
