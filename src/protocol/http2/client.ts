/**
 * The client side of one HTTP/2 connection to an endpoint: many requests at once, each on a stream
 * of its own. It says how many more it takes, and when it takes no more.
 *
 * What it writes is made here from parsed messages, never the client's octets. What breaks a rule of
 * one message fails that stream, what breaks one of the connection all of them (RFC 9113 §5.4).
 */
import { Failure } from "../../base/failure.ts";
import { Timer, type TimerList } from "../../base/timer.ts";
import type { HttpRequest } from "../../http/message.ts";
import type { Connection, ConnectionHandler } from "../../net/connection.ts";
import { type ClientConnection, NO_SIGN_OF_LIFE, type ResponseTaker } from "../client-connection.ts";
import { clientFrameLimits, clientSettings, type Http2ClientSettings } from "./client-settings.ts";
import { ClientStream } from "./client-stream.ts";
import { ClientStreams } from "./client-streams.ts";
import { ConnectionError, ErrorCode, errorName } from "./error-code.ts";
import { CLIENT_PREFACE, Flag, FrameType, MAX_STREAM_ID } from "./frame.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import { FrameOutput } from "./frame-output.ts";
import { Link } from "./link.ts";
import { ResponseIntake } from "./response-intake.ts";

/** Who keeps the connection. */
export interface Http2ClientOwner {
  /** The server has said how many streams it takes, and whether it offers tunnels. Requests may be sent before. */
  ready(client: Http2ClientConnection): void;
  /** It can carry a stream more than before; `openStreams` may be 0 now. */
  hasRoom(client: Http2ClientConnection): void;
  /** It takes no more streams; those that are open go on. `gone` follows after the last. */
  leaving(client: Http2ClientConnection): void;
  /** It is closed. @param why null: nothing is wrong */
  gone(client: Http2ClientConnection, why: Failure | null): void;
  fault(thrown: unknown): void;
}

const output = new FrameOutput();

export class Http2ClientConnection implements ClientConnection, ConnectionHandler {
  readonly connection: Connection;
  readonly settings: Http2ClientSettings;
  /** What its streams share. */
  readonly link: Link;
  /** Requests sent so far; more than one means that the connection was reused. */
  requests = 0;
  readonly #owner: Http2ClientOwner;
  readonly #intake: ResponseIntake;
  readonly #frames: FrameDecoder;
  readonly #streams = new ClientStreams();
  /** Octets of the server's first frame that were looked at. */
  #looked = 0;
  #isReady = false;
  #isLeaving = false;
  #isClosed = false;
  /** Of GOAWAY: streams above were not processed. */
  #lastId = MAX_STREAM_ID;

  readonly #idleTimer = new Timer(() => this.close());
  readonly #pingTimer = new Timer(() => this.#silent());
  #pinged = false;

  constructor(connection: Connection, settings: Http2ClientSettings, owner: Http2ClientOwner) {
    this.connection = connection;
    this.settings = settings;
    this.#owner = owner;
    this.link = new Link(connection, output, settings.connectionWindowOctets);
    this.#intake = new ResponseIntake(this, this.#streams);
    this.#frames = new FrameDecoder(clientFrameLimits(settings), this.#intake);
    // RFC 9113 §3.4
    output.use(connection);
    output.text(CLIENT_PREFACE);
    output.settings(clientSettings(settings));
    this.link.openWindow();
  }

  /** Streams that may be opened now. */
  get capacity(): number {
    if (this.#isLeaving || this.#isClosed) return 0;
    return Math.max(0, Math.min(this.settings.maxStreams, this.link.peer.maxStreams) - this.#streams.size);
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The server's settings have arrived. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** A WebSocket can go over it (RFC 8441 §3). Known once it is ready; without it an Upgrade is left out of the request. */
  get offersTunnels(): boolean {
    return this.link.peer.enableConnectProtocol;
  }

  /** Keeps the connection without streams for at most this long. */
  rest(idleTime: TimerList | null): void {
    if (idleTime !== null && this.#streams.size === 0) this.#idleTimer.arm(idleTime);
  }

  /**
   * Sends a request on a new stream; without `capacity` it fails with `upstream-refused`.
   * @param authority for `:authority`
   */
  send(
    request: HttpRequest,
    authority: string,
    firstOctetTime: TimerList | null,
    idleTime: TimerList | null,
    taker: ResponseTaker,
  ): ClientStream {
    const stream = new ClientStream(this, this.#streams.nextId, request, firstOctetTime, idleTime, taker);
    if (this.capacity === 0) {
      stream.lose(new Failure("upstream-refused", "the connection takes no more streams"), CUT);
      return stream;
    }
    this.#streams.open(stream);
    this.#intake.streamBegun();
    this.requests++;
    this.#idleTimer.cancel();
    if (this.#streams.size === 1) this.#listen();
    if (this.#streams.areUsedUp) this.#leave();
    try {
      stream.send(authority);
    } catch (thrown) {
      stream.fail(thrown);
    }
    return stream;
  }

  // ── octets in ──────────────────────────────────────────────────────────────────────────────

  onOctets(room: Buffer, length: number): void {
    try {
      if (this.#looked < LOOKED_AT) this.#lookAtPreface(room, length);
      this.#frames.decode(room, 0, length);
    } catch (thrown) {
      this.#breakOff(thrown);
    }
    if (this.#streams.size > 0) this.#listen();
  }

  /** RFC 9113 §3.4: SETTINGS come first. What begins otherwise is not HTTP/2. */
  #lookAtPreface(room: Buffer, length: number): void {
    for (let at = 0; at < length && this.#looked < LOOKED_AT; at++, this.#looked++) {
      const octet = room[at]!;
      if (this.#looked === 3 ? octet !== FrameType.settings : this.#looked === 4 && (octet & Flag.ack) !== 0)
        throw new ConnectionError(ErrorCode.protocol, "the endpoint does not begin with SETTINGS (RFC 9113 §3.4)");
    }
  }

  // ── for its intake ─────────────────────────────────────────────────────────────────────────

  /** A callback threw: a fault of ours ends that exchange, and nothing else. */
  onStreamFault(stream: ClientStream, thrown: unknown): void {
    this.#owner.fault(thrown);
    stream.fail(thrown);
  }

  /** SETTINGS arrived. @param before `capacity` before them */
  onSettled(before: number): void {
    if (!this.#isReady) {
      this.#isReady = true;
      this.#owner.ready(this);
    } else if (this.capacity > before) this.#owner.hasRoom(this);
  }

  onGoAway(lastStreamId: number, code: number, debug: string): void {
    this.#lastId = Math.min(this.#lastId, lastStreamId);
    const said = `the endpoint goes away: ${errorName(code)}${debug === "" ? "" : ` (${debug})`}`;
    this.#leave();
    for (const stream of this.#streams.all) {
      // RFC 9113 §6.8: whatever was asked on them has not been done.
      if (stream.id > this.#lastId) stream.lose(new Failure("upstream-refused", said), CUT);
    }
    if (this.#streams.size === 0) this.close();
  }

  onRoom(): void {
    this.link.goOn();
  }

  // ── for its streams ────────────────────────────────────────────────────────────────────────

  /** Writes RST_STREAM. */
  resetStream(streamId: number, code: number): void {
    if (this.#isClosed) return;
    this.#streams.noteReset(streamId);
    output.use(this.connection);
    output.resetStream(streamId, code);
  }

  /** A stream is over. */
  streamDone({ id }: ClientStream): void {
    if (!this.#streams.close(id) || this.#isClosed) return;
    if (this.#streams.size === 0) this.#pingTimer.cancel();
    if (!this.#isLeaving) this.#owner.hasRoom(this);
    else if (this.#streams.size === 0) this.close();
  }

  // ── is the endpoint still there? ───────────────────────────────────────────────────────────

  /** A sign of life: silence is counted from here. */
  #listen(): void {
    this.#pinged = false;
    if (this.settings.pingTime !== null && !this.#isClosed) this.#pingTimer.arm(this.settings.pingTime);
  }

  #silent(): void {
    if (this.#pinged) {
      const why = new Failure("upstream-reset", "no answer to PING", { cause: NO_SIGN_OF_LIFE });
      return this.#lost(why, "no answer to PING");
    }
    this.#pinged = true;
    output.use(this.connection);
    output.ping(false, PING);
    if (this.settings.pingAnswerTime !== null) this.#pingTimer.arm(this.settings.pingAnswerTime);
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────

  onPeerEnd(): void {
    this.#lost(
      new Failure("upstream-closed", "the endpoint closed the connection before a response"),
      "closed the connection",
    );
  }

  onLost(error: string): void {
    this.#lost(
      new Failure("upstream-reset", `the endpoint ended the connection before a response (${error})`),
      `ended the connection (${error})`,
    );
  }

  onFault(thrown: unknown): void {
    this.#owner.fault(thrown);
    const failure = Failure.from(thrown);
    this.connection.destroy();
    this.#end(failure, failure);
  }

  #lost(why: Failure, what: string): void {
    this.connection.destroy();
    this.#end(why, new Failure("upstream-truncated", `the endpoint ${what} in the middle of the content`));
  }

  /** RFC 9113 §5.4.1: says why, and ends everything. */
  #breakOff(thrown: unknown): void {
    if (!(thrown instanceof ConnectionError)) return this.onFault(thrown);
    output.use(this.connection);
    output.goAway(0, thrown.code, thrown.message);
    output.flush();
    this.connection.close(true);
    const failure = new Failure("upstream-malformed", thrown.message);
    this.#end(failure, failure);
  }

  /** @param why fails what has no response yet @param cut ends what has */
  #end(why: Failure, cut: Failure): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#idleTimer.cancel();
    this.#pingTimer.cancel();
    this.link.end();
    this.#owner.gone(this, why);
    for (const stream of this.#streams.all) stream.lose(why, cut);
  }

  /** Takes no more streams; closes after the last one. */
  retire(): void {
    if (this.#isClosed) return;
    this.#leave();
    if (this.#streams.size === 0) this.close();
  }

  #leave(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.#idleTimer.cancel();
    this.#owner.leaving(this);
  }

  /** Closes a connection that carries nothing (RFC 9113 §5.4.1: an end is announced). */
  close(): void {
    if (this.#isClosed || this.#streams.size > 0) return;
    this.#isClosed = true;
    this.#isLeaving = true;
    this.#idleTimer.cancel();
    this.#pingTimer.cancel();
    output.use(this.connection);
    output.goAway(0, ErrorCode.none);
    output.flush();
    this.link.end();
    this.connection.close(false);
    this.#owner.gone(this, null);
  }
}

/** Octets of the first frame that tell its type and flags. */
const LOOKED_AT = 5;
const PING = Buffer.from("lintel\r\n", "latin1");
const CUT = new Failure("upstream-truncated", "the endpoint went away in the middle of the content");
