/**
 * TLS for connections that a listener accepted: the handshakes that are under way (`tls-handshake`), and which of
 * them has a place.
 *
 * A handshake that fails is told with its reason and costs nothing else. How many the library has at a
 * time is bounded, because nothing else that a stranger can ask for costs as much; those beyond wait with
 * their ClientHello, and their time runs. Whoever has sent none holds up nobody, and whoever does not go on with
 * a handshake makes room for those that wait.
 */
import { Chain } from "../base/chain.ts";
import { clock, Timer, type TimerList, timerList } from "../base/timer.ts";
import type { TcpConnection } from "./tcp.ts";
import type { ClientHello } from "./tls-client-hello.ts";
import { type HandshakePlaces, type TlsAcceptOwner, TlsHandshake } from "./tls-handshake.ts";
import type { TlsIdentity } from "./tls-identity.ts";

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

/** So long a client may take to answer while others wait for its place: a second round trip of a poor connection. */
const PATIENCE_MS = 1000;
/** How often it is asked whether somebody has taken longer. */
const LOOK_MS = 100;

export class TlsServer implements HandshakePlaces {
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

  /** @internal */
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

  /** @internal */
  delayed(handshake: TlsHandshake): void {
    this.#running.delete(handshake);
    this.#early.add(handshake);
    this.#next();
  }

  /** @internal By the rules of now. */
  choose(hello: ClientHello): TlsIdentity | null | Promise<TlsIdentity | null> {
    return this.#settings.choose(hello);
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
