/**
 * The server side of one HTTP/2 connection: what a frame means for the connection and its streams.
 * Streams (server-stream.ts) carry the exchanges.
 *
 * RFC 9113; RFC 8441 (extended CONNECT). Priorities are ignored (RFC 9113 §5.3): streams take turns.
 */
import { Failure } from "../../base/failure.ts";
import { Timer } from "../../base/timer.ts";
import type { ClientInfo } from "../../http/exchange.ts";
import type { FieldSection } from "../../http/field-section.ts";
import type { Connection, ConnectionHandler } from "../../net/connection.ts";
import type { ExchangeHooks } from "../http1/server.ts";
import type { ServerConnection } from "../server-connection.ts";
import { ConnectionError, ErrorCode, errorName } from "./error-code.ts";
import { FloodGuard } from "./floods.ts";
import { CLIENT_PREFACE, DEFAULT_WINDOW_OCTETS, MAX_WINDOW_OCTETS } from "./frame.ts";
import { FrameDecoder, type FrameTaker } from "./frame-decoder.ts";
import { FrameOutput } from "./frame-output.ts";
import { Goodbye } from "./goodbye.ts";
import { Link } from "./link.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { RequestIntake } from "./request-intake.ts";
import { ResetStreams } from "./reset-streams.ts";
import { frameLimits, type Http2ServerSettings, ourSettings } from "./server-settings.ts";
import type { ServerStream } from "./server-stream.ts";

const PREFACE = Buffer.from(CLIENT_PREFACE, "latin1");
const out = new FrameOutput();

export class Http2ServerConnection implements ServerConnection, ConnectionHandler, FrameTaker {
  readonly connection: Connection;
  readonly settings: Http2ServerSettings;
  readonly hooks: ExchangeHooks;
  readonly link: Link;
  readonly #client: ClientInfo;
  readonly #decoder: FrameDecoder;
  readonly #intake: RequestIntake;
  readonly #goodbye: Goodbye;
  readonly #floods: FloodGuard;
  readonly #streams = new Map<number, ServerStream>();
  readonly #reset = new ResetStreams();

  /** Octets of the preface that were there. */
  #prefaceAt = 0;
  #hasSettings = false;
  #settingsAcked = false;
  #lastStreamId = 0;
  /** The client left out stream numbers: which of them were ever used is not known. */
  #hasSkipped = false;
  #clientLeaves = false;
  #isEnding = false;
  #isRetired = false;
  /** The DATA frame that is coming: its stream if anybody wants it, and its octets that are not content. */
  #dataStream: ServerStream | null = null;
  #dataOctets = 0;
  #padding = 0;
  /** Sent content that has been counted for the floods. */
  #countedOctets = 0;

  /** Until the first request, and between requests. */
  readonly #rest = new Timer(() => this.#restExpired());
  readonly #settingsTimer = new Timer(() => this.#end(ErrorCode.settingsTimeout, "no SETTINGS with ACK in time"));
  #headTimer: Timer | null = null;
  #age: Timer | null = null;

  constructor(connection: Connection, client: ClientInfo, settings: Http2ServerSettings, hooks: ExchangeHooks) {
    this.connection = connection;
    this.settings = settings;
    this.hooks = hooks;
    this.#client = client;
    this.#floods = new FloodGuard(settings.floods);
    this.#decoder = new FrameDecoder(frameLimits(settings), this);
    this.link = new Link(connection, out, settings.connectionWindowOctets);
    this.#intake = new RequestIntake(this, client);
    this.#goodbye = new Goodbye(this.link, () => this.#lastKnown());
    out.use(connection);
    out.settings(ourSettings(settings));
    this.link.openWindow();
    if (settings.headTime !== null) this.#rest.arm(settings.headTime);
    if (settings.settingsTime !== null) this.#settingsTimer.arm(settings.settingsTime);
    if (settings.maxAgeTime !== null) {
      this.#age = new Timer(() => this.drain());
      this.#age.arm(settings.maxAgeTime);
    }
  }

  get idle(): boolean {
    return this.#streams.size === 0;
  }

  /** For FrameDecoder. */
  get stopped(): boolean {
    return this.#isRetired;
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

  /** RFC 9113 §3.4: the preface ends with SETTINGS. */
  #checkFirst(): void {
    if (!this.#hasSettings) throw protocolError("the first frame is not SETTINGS (RFC 9113 §3.4)");
  }

  // ── requests ───────────────────────────────────────────────────────────────────────────────

  onFieldBlockBegin(): void {
    this.#checkFirst();
    const { headTime } = this.settings;
    if (headTime === null) return;
    this.#headTimer ??= new Timer(() => this.#headExpired());
    this.#headTimer.arm(headTime);
  }

  onFieldBlock(id: number, endStream: boolean, octets: Buffer, start: number, end: number, dependsOn: number): void {
    this.#checkFirst();
    if (this.#headTimer !== null) this.#headTimer.cancel();
    const stream = this.#streams.get(id);
    if (stream !== undefined) return this.#onTrailers(stream, endStream, octets, start, end);
    if ((id & 1) === 0) throw protocolError(`stream ${id} is not a client's (RFC 9113 §5.1.1)`);
    if (id <= this.#lastStreamId) return this.#onLateBlock(id, octets, start, end);
    if (id !== this.#lastStreamId + 2 && this.#lastStreamId !== 0) this.#hasSkipped = true;
    this.#intake.decode(octets, start, end);
    // RFC 9113 §6.8: what comes after the last one is as if it had not come.
    if (this.#goodbye.isSaid) return;
    this.#lastStreamId = id;
    if (this.hooks.draining) this.#goodbye.announce();
    if (this.#streams.size >= this.settings.maxStreams) {
      this.resetStream(id, ErrorCode.refusedStream);
      this.#floods.frame("HEADERS");
      return;
    }
    if (dependsOn === id) {
      this.#intake.malformed(id, "a stream that depends on itself (RFC 9113 §5.3.1)", end - start);
      return;
    }
    const begun = this.#intake.begin(id, endStream, end - start);
    if (begun === null) return;
    this.#streams.set(id, begun);
    this.#rest.cancel();
    this.#floods.streamBegun();
    begun.handle();
  }

  /** Frames of a stream that is over. */
  #onLateBlock(id: number, octets: Buffer, start: number, end: number): void {
    if (!this.#reset.has(id))
      throw new ConnectionError(
        this.#hasSkipped ? ErrorCode.protocol : ErrorCode.streamClosed,
        `HEADERS on stream ${id}, which is closed (RFC 9113 §5.1)`,
      );
    this.#intake.skip(octets, start, end);
    this.#floods.frame("HEADERS");
    this.#rested();
  }

  #onTrailers(stream: ServerStream, endStream: boolean, octets: Buffer, start: number, end: number): void {
    const trailers = this.#intake.decodeTrailers(octets, start, end);
    if (stream.isRequestComplete) this.#fault(stream, ErrorCode.streamClosed, "HEADERS after the end of its stream");
    else if (!endStream) this.#fault(stream, ErrorCode.protocol, "trailers that do not end the stream (RFC 9113 §8.1)");
    else if (typeof trailers === "string") this.#fault(stream, ErrorCode.protocol, trailers);
    else this.#ended(stream, trailers);
  }

  #ended(stream: ServerStream, trailers: FieldSection | null): void {
    try {
      stream.onRequestEnd(trailers);
    } catch (thrown) {
      this.#contentFailed(stream, thrown);
    }
  }

  // ── content ────────────────────────────────────────────────────────────────────────────────

  onDataBegin(id: number, octets: number): void {
    this.#checkFirst();
    if (!this.link.receiveWindow.arrive(octets))
      throw new ConnectionError(ErrorCode.flowControl, "more DATA than the connection's window (RFC 9113 §6.9)");
    this.#dataOctets = octets;
    this.#padding = octets;
    const stream = this.#streams.get(id) ?? null;
    this.#dataStream = stream;
    if (stream === null) this.#onLateFrame(id, "DATA");
    else if (stream.isRequestComplete) this.#fault(stream, ErrorCode.streamClosed, "DATA after the end of its stream");
    else if (!stream.onDataBegin(octets))
      this.#fault(stream, ErrorCode.flowControl, "more DATA than the stream's window (RFC 9113 §6.9)");
  }

  onData(_id: number, octets: Uint8Array): void {
    this.#padding -= octets.length;
    const stream = this.#dataStream;
    if (stream === null) return this.link.took(octets.length);
    try {
      stream.onData(octets);
    } catch (thrown) {
      this.#contentFailed(stream, thrown);
    }
  }

  onDataEnd(_id: number, endStream: boolean): void {
    const stream = this.#dataStream;
    if (this.#padding > 0) {
      if (stream === null) this.link.took(this.#padding);
      else stream.onPadding(this.#padding);
    }
    const content = this.#dataOctets - this.#padding;
    if (content === 0 && !endStream) this.#floods.frame("empty DATA");
    else this.#floods.content(content);
    this.#dataStream = null;
    if (stream !== null && endStream) this.#ended(stream, null);
  }

  #contentFailed(stream: ServerStream, thrown: unknown): void {
    const failure = Failure.from(thrown);
    if (failure.code === "internal") this.hooks.fault(thrown);
    if (failure.code === "request-malformed") this.#fault(stream, ErrorCode.protocol, failure.message);
    else stream.refuse(failure);
  }

  /** The client broke a rule of a stream (RFC 9113 §5.4.2). */
  #fault(stream: ServerStream, code: number, message: string): void {
    stream.cut(code, new Failure("request-malformed", message));
    this.#floods.reset();
  }

  // ── other frames ───────────────────────────────────────────────────────────────────────────

  onResetStream(id: number, code: number): void {
    this.#checkFirst();
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      this.#onLateFrame(id, "RST_STREAM");
      return this.#floods.frame("RST_STREAM");
    }
    stream.lose(new Failure("client-closed", `the client reset the stream: ${errorName(code)}`));
    this.#floods.reset();
  }

  /** A frame of a stream that is not there: fine if it was. */
  #onLateFrame(id: number, name: string): void {
    if ((id & 1) === 0 || (id > this.#lastStreamId && !this.#goodbye.isSaid))
      throw protocolError(`${name} on stream ${id}, which is idle (RFC 9113 §5.1)`);
    if (name !== "DATA" || id > this.#lastStreamId || this.#reset.has(id)) return;
    this.resetStream(id, ErrorCode.streamClosed);
    this.#floods.reset();
  }

  onWindowUpdate(id: number, octets: number): void {
    this.#checkFirst();
    const { link } = this;
    this.#floods.content(link.contentOctets - this.#countedOctets);
    this.#countedOctets = link.contentOctets;
    this.#floods.frame("WINDOW_UPDATE");
    if (id === 0) {
      if (octets === 0) throw protocolError("WINDOW_UPDATE of 0 (RFC 9113 §6.9)");
      link.sendWindow += octets;
      if (link.sendWindow > MAX_WINDOW_OCTETS)
        throw new ConnectionError(ErrorCode.flowControl, "a window of more than 2^31-1 octets (RFC 9113 §6.9.1)");
    } else {
      const stream = this.#streams.get(id);
      if (stream === undefined) return this.#onLateFrame(id, "WINDOW_UPDATE");
      if (octets === 0) return this.#fault(stream, ErrorCode.protocol, "WINDOW_UPDATE of 0 (RFC 9113 §6.9)");
      if (!stream.addWindow(octets))
        return this.#fault(stream, ErrorCode.flowControl, "a window of more than 2^31-1 octets (RFC 9113 §6.9.1)");
    }
    link.goOn();
  }

  onSettings(octets: Buffer, start: number, end: number): void {
    this.#floods.frame("SETTINGS");
    this.#hasSettings = true;
    const { peer, encoder } = this.link;
    const before = peer.initialWindowOctets;
    peer.apply(octets, start, end, false);
    encoder.limit(Math.min(peer.leastHeaderTableOctets, peer.headerTableOctets));
    encoder.limit(peer.headerTableOctets);
    const change = peer.initialWindowOctets - before;
    if (change !== 0) {
      for (const stream of this.#streams.values()) {
        if (!stream.addWindow(change))
          throw new ConnectionError(ErrorCode.flowControl, "a window of more than 2^31-1 octets (RFC 9113 §6.9.2)");
      }
    }
    out.use(this.connection);
    out.settingsAck();
    if (change > 0) this.link.goOn();
  }

  onSettingsAck(): void {
    this.#checkFirst();
    if (this.#settingsAcked) return this.#floods.frame("SETTINGS");
    this.#settingsAcked = true;
    this.#settingsTimer.cancel();
    // A smaller window than the one the client began with holds from now on (RFC 9113 §6.9.2).
    const change = this.settings.streamWindowOctets - DEFAULT_WINDOW_OCTETS;
    if (change < 0) for (const stream of this.#streams.values()) stream.moveReceiveWindow(change);
  }

  /** The window of a new stream: while the client may not know ours, what it may think it is. */
  newReceiveWindow(): ReceiveWindow {
    const { streamWindowOctets } = this.settings;
    return new ReceiveWindow(
      streamWindowOctets,
      this.#settingsAcked ? streamWindowOctets : Math.max(streamWindowOctets, DEFAULT_WINDOW_OCTETS),
    );
  }

  onPing(ack: boolean, octets: Buffer, at: number): void {
    this.#checkFirst();
    this.#floods.frame("PING");
    if (ack) return this.#goodbye.onPong(octets, at);
    out.use(this.connection);
    out.ping(true, octets, at);
  }

  onGoAway(): void {
    this.#checkFirst();
    this.#clientLeaves = true;
    this.#rested();
  }

  onPriority(id: number, dependsOn: number): void {
    this.#checkFirst();
    this.#floods.frame("PRIORITY");
    if (dependsOn !== id) return;
    const stream = this.#streams.get(id);
    if (stream === undefined) this.resetStream(id, ErrorCode.protocol);
    else this.#fault(stream, ErrorCode.protocol, "a stream that depends on itself (RFC 9113 §5.3.1)");
  }

  onPriorityUpdate(id: number): void {
    this.#checkFirst();
    this.#floods.frame("PRIORITY_UPDATE");
    if (id === 0) throw protocolError("PRIORITY_UPDATE of stream 0 (RFC 9218 §7.1)");
  }

  onPushPromise(): void {
    throw protocolError("PUSH_PROMISE from a client (RFC 9113 §8.4)");
  }

  onUnknown(): void {
    this.#checkFirst();
    this.#floods.frame("unknown");
  }

  onRoom(): void {
    this.link.goOn();
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────

  resetStream(id: number, code: number): void {
    out.use(this.connection);
    out.resetStream(id, code);
    this.#reset.add(id);
  }

  /** For the intake: a stream was answered or reset instead of begun. */
  streamRefused(): void {
    this.#floods.reset();
    this.#rested();
  }

  /** For a stream: it is over. @param wentToEnd its response did */
  streamDone(stream: ServerStream, wentToEnd: boolean): void {
    this.#streams.delete(stream.id);
    if (this.#dataStream === stream) this.#dataStream = null;
    if (wentToEnd) this.#floods.streamDone();
    this.#rested();
  }

  /** Nothing is in work, maybe: closes, or waits for the next request. */
  #rested(): void {
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
    this.hooks.malformed(this.#client, failure, 0);
    this.#end(ErrorCode.enhanceYourCalm, failure.message, false);
  }

  /** Ends the connection and what is in work. @param tell whether the log hears of an error */
  #end(code: number, message: string, tell = true): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    const failure = new Failure(code === ErrorCode.none ? "client-closed" : "request-malformed", message);
    if (code !== ErrorCode.none && tell) this.hooks.malformed(this.#client, failure, this.connection.octetsIn);
    out.use(this.connection);
    out.goAway(this.#lastStreamId, code, message);
    this.#loseAll(failure);
    out.use(this.connection);
    out.flush();
    this.connection.close(true);
    this.#retire();
  }

  #loseAll(why: Failure): void {
    this.#isEnding = true;
    for (const stream of [...this.#streams.values()]) stream.lose(why);
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
    if (this.#isRetired) return;
    this.#isRetired = true;
    this.#rest.cancel();
    this.#settingsTimer.cancel();
    this.#headTimer?.cancel();
    this.#age?.cancel();
    this.#goodbye.cancel();
    this.hooks.closed(this);
  }

  /** The server stops: what is in work is finished, and what is on its way (RFC 9113 §6.8). */
  drain(): void {
    if (this.#isRetired) return;
    if (this.#prefaceAt < PREFACE.length) this.#end(ErrorCode.none, "");
    else this.#goodbye.announce();
  }

  /** The client has heard of the end: which stream was the last is settled. */
  #lastKnown(): void {
    if (this.#streams.size === 0) return this.#rested();
    out.use(this.connection);
    out.goAway(this.#lastStreamId, ErrorCode.none);
  }

  /** Ends now: an exchange without a response gets this failure, one in the middle of it is cut. */
  terminate(why: Failure): void {
    if (this.#isRetired) return;
    this.#goodbye.cancel();
    for (const stream of [...this.#streams.values()]) stream.refuse(why);
    // What has not left by now will not.
    for (const stream of [...this.#streams.values()]) stream.cut(ErrorCode.cancel, why);
    this.#end(ErrorCode.none, "");
  }
}

const protocolError = (message: string): ConnectionError => new ConnectionError(ErrorCode.protocol, message);
