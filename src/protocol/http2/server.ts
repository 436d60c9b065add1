/**
 * The server side of one HTTP/2 connection: how it begins, what it may take in time, how it ends.
 * What frames mean is server-streams.ts, and a stream's exchange server-stream.ts.
 *
 * RFC 9113 §3.4 (preface), §5.4.1 (errors of the connection), §6.8 (GOAWAY).
 */
import { Failure, type FailureCode } from "../../base/failure.ts";
import { Timer } from "../../base/timer.ts";
import type { ClientInfo } from "../../http/exchange.ts";
import type { Connection, ConnectionHandler } from "../../net/connection.ts";
import type { ExchangeHooks } from "../exchange-hooks.ts";
import { ServerConnection } from "../server-connection.ts";
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { CLIENT_PREFACE } from "./frame.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import { FrameOutput } from "./frame-output.ts";
import { Goodbye } from "./goodbye.ts";
import { Link } from "./link.ts";
import { frameLimits, type Http2ServerSettings, ourSettings } from "./server-settings.ts";
import { ServerStreams } from "./server-streams.ts";

const PREFACE = Buffer.from(CLIENT_PREFACE, "latin1");
const out = new FrameOutput();

export class Http2ServerConnection extends ServerConnection implements ConnectionHandler {
  readonly connection: Connection;
  readonly settings: Http2ServerSettings;
  readonly hooks: ExchangeHooks;
  readonly link: Link;
  readonly client: ClientInfo;
  readonly #decoder: FrameDecoder;
  readonly #streams: ServerStreams;
  readonly #goodbye: Goodbye;
  /** Octets of the preface that were there. */
  #prefaceAt = 0;
  #clientLeaves = false;
  #isEnding = false;
  /** This engine's work is over; what is left to send is the connection's business. */
  isRetired = false;

  /** Until the first request, and between requests. */
  readonly #rest = new Timer(() => this.#restExpired());
  readonly #settingsTimer = new Timer(() => this.#end(ErrorCode.settingsTimeout, "no SETTINGS with ACK in time"));
  #headTimer: Timer | null = null;
  #age: Timer | null = null;

  constructor(connection: Connection, client: ClientInfo, settings: Http2ServerSettings, hooks: ExchangeHooks) {
    super();
    this.connection = connection;
    this.settings = settings;
    this.hooks = hooks;
    this.client = client;
    this.link = new Link(connection, out, settings.connectionWindowOctets);
    this.#goodbye = new Goodbye(this.link, () => this.#lastKnown());
    this.#streams = new ServerStreams(this, client, this.#goodbye);
    this.#decoder = new FrameDecoder(frameLimits(settings), this.#streams);
    out.use(connection);
    out.settings(ourSettings(settings));
    this.link.openWindow();
    if (settings.headTime !== null) this.#rest.arm(settings.headTime);
    if (settings.settingsTime !== null) this.#settingsTimer.arm(settings.settingsTime);
    const { maxAgeTimes } = settings;
    if (maxAgeTimes.length > 0) {
      this.#age = new Timer(() => this.drain());
      this.#age.arm(maxAgeTimes[Math.floor(Math.random() * maxAgeTimes.length)]!);
    }
  }

  get idle(): boolean {
    return this.#streams.size === 0;
  }

  // ── octets in ──────────────────────────────────────────────────────────────────────────────

  onOctets(room: Buffer, length: number): void {
    try {
      const at = this.#prefaceAt < PREFACE.length ? this.#checkPreface(room, length) : 0;
      if (at < length) this.#decoder.decode(room, at, length);
    } catch (thrown) {
      if (thrown instanceof ConnectionError) this.#end(thrown.code, thrown.message);
      else this.onFault(thrown);
    }
  }

  /** RFC 9113 §3.4. @returns index after what there was of it */
  #checkPreface(room: Buffer, length: number): number {
    let at = 0;
    while (at < length && this.#prefaceAt < PREFACE.length) {
      if (room[at++] !== PREFACE[this.#prefaceAt++])
        throw new ConnectionError(ErrorCode.protocol, "the connection does not begin with the preface of HTTP/2");
    }
    return at;
  }

  // ── what the streams tell ──────────────────────────────────────────────────────────────────

  /** A head has begun, and its rest is still to come. */
  headBegun(): void {
    const { headTime } = this.settings;
    if (headTime === null) return;
    this.#headTimer ??= new Timer(() => this.#headExpired());
    this.#headTimer.arm(headTime);
  }

  headComplete(): void {
    if (this.#headTimer !== null) this.#headTimer.cancel();
  }

  /** A stream has begun. */
  busy(): void {
    this.#rest.cancel();
  }

  settingsKnown(): void {
    this.#settingsTimer.cancel();
  }

  clientLeaves(): void {
    this.#clientLeaves = true;
    this.rested();
  }

  onRoom(): void {
    this.link.goOn();
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────

  /** Nothing is in work, maybe: closes, or waits for the next request. */
  rested(): void {
    if (this.#streams.size > 0 || this.#isEnding) return;
    if (this.#goodbye.isSaid || this.#clientLeaves) {
      this.#end(ErrorCode.none, "");
      return;
    }
    const { keepAliveTime } = this.settings;
    if (keepAliveTime !== null) this.#rest.arm(keepAliveTime);
    else this.#rest.cancel();
  }

  #restExpired(): void {
    // A head has begun, and has its own limit.
    if (this.#decoder.inFieldBlock && this.#headTimer !== null) return;
    this.#end(ErrorCode.none, "");
  }

  #headExpired(): void {
    const failure = new Failure("head-timeout", "the request head took longer than timeouts.head");
    this.hooks.malformed(this.client, failure, 0);
    this.#end(ErrorCode.enhanceYourCalm, failure.message, false);
  }

  /** Ends the connection and what is in work. @param tell whether the log hears of an error */
  #end(code: number, message: string, tell = true): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    const failure = new Failure(failureCode(code), message);
    if (code !== ErrorCode.none && tell) this.hooks.malformed(this.client, failure, this.connection.octetsIn);
    out.use(this.connection);
    out.goAway(this.#streams.lastId, code, message);
    this.#loseAll(failure);
    out.use(this.connection);
    out.flush();
    this.connection.close(true);
    this.#retire();
  }

  #loseAll(why: Failure): void {
    this.#isEnding = true;
    for (const stream of this.#streams.all()) stream.lose(why);
  }

  /** The client takes nothing any more. */
  giveUp(why: Failure): void {
    this.#loseAll(why);
    this.connection.destroy(true);
    this.#retire();
  }

  onPeerEnd(): void {
    this.#loseAll(new Failure("client-closed", "the client closed the connection"));
    out.use(this.connection);
    out.flush();
    this.connection.close(false);
    this.#retire();
  }

  onLost(error: string): void {
    this.#loseAll(new Failure("client-closed", `the client's connection ended: ${error}`));
    this.#retire();
  }

  onFault(thrown: unknown): void {
    this.hooks.fault(thrown);
    this.#loseAll(Failure.from(thrown));
    this.connection.destroy(true);
    this.#retire();
  }

  #retire(): void {
    if (this.isRetired) return;
    this.isRetired = true;
    this.#rest.cancel();
    this.#settingsTimer.cancel();
    this.#headTimer?.cancel();
    this.#age?.cancel();
    this.#goodbye.cancel();
    this.link.end();
    this.hooks.closed(this);
  }

  /** The server stops: what is in work is finished, and what is on its way (RFC 9113 §6.8). */
  drain(): void {
    if (this.isRetired) return;
    if (this.#prefaceAt < PREFACE.length) this.#end(ErrorCode.none, "");
    else this.#goodbye.announce();
  }

  /** The client has heard of the end: which stream was the last is settled. */
  #lastKnown(): void {
    if (this.#streams.size === 0) return this.rested();
    out.use(this.connection);
    out.goAway(this.#streams.lastId, ErrorCode.none);
  }

  /** Ends now: an exchange without a response gets this failure, one in the middle of it is cut. */
  terminate(why: Failure): void {
    if (this.isRetired) return;
    this.#goodbye.cancel();
    for (const stream of this.#streams.all()) stream.refuse(why);
    // What has not left by now will not.
    for (const stream of this.#streams.all()) stream.cut(ErrorCode.cancel, why);
    this.#end(ErrorCode.none, "");
  }
}

/** What the log and the metrics call it. */
function failureCode(code: number): FailureCode {
  if (code === ErrorCode.none) return "client-closed";
  return code === ErrorCode.enhanceYourCalm ? "flooding" : "protocol-error";
}
