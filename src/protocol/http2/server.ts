/**
 * The server side of one HTTP/2 connection: what a frame means for the connection and its streams.
 * Streams (server-stream.ts) carry the exchanges.
 *
 * RFC 9113; RFC 8441 (extended CONNECT). Priorities are ignored (RFC 9113 §5.3): streams take turns.
 */
import { Failure } from "../../base/failure.ts";
import { clock, Timer, timerList } from "../../base/timer.ts";
import { NO_BODY } from "../../http/body.ts";
import { type ClientInfo, Exchange } from "../../http/exchange.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpRequest, HttpResponse } from "../../http/message.ts";
import type { Connection, ConnectionHandler } from "../../net/connection.ts";
import { NOT_IN_TRAILERS } from "../http1/content-decoder.ts";
import type { ExchangeHooks } from "../http1/server.ts";
import type { ServerConnection } from "../server-connection.ts";
import { ConnectionError, ErrorCode, errorName } from "./error-code.ts";
import { beginHandshake } from "./extended-connect.ts";
import { FloodGuard } from "./floods.ts";
import { CLIENT_PREFACE, DEFAULT_WINDOW_OCTETS, MAX_STREAM_ID, MAX_WINDOW_OCTETS } from "./frame.ts";
import { FrameDecoder, type FrameTaker } from "./frame-decoder.ts";
import { FrameOutput } from "./frame-output.ts";
import { type FieldTaker, HpackDecoder } from "./hpack/decoder.ts";
import { Link } from "./link.ts";
import { MessageHead } from "./message-head.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { RequestTarget } from "./request-head.ts";
import { writeResponseHead } from "./response-head.ts";
import { frameLimits, type Http2ServerSettings, ourSettings } from "./server-settings.ts";
import { ServerStream } from "./server-stream.ts";

const PREFACE = Buffer.from(CLIENT_PREFACE, "latin1");
/** Streams that we reset: frames of theirs may still be on their way, and are ignored (RFC 9113 §5.4.2). */
const REMEMBERED_RESETS = 512;
/** After the first GOAWAY: how long a client has to hear of it before no stream is taken any more. */
const LAST_STREAMS_TIME = timerList(1000)!;
const DRAIN_PING = Buffer.from("draining");

/** How far the goodbye has come (RFC 9113 §6.8). */
const Goodbye = { none: 0, announced: 1, said: 2 } as const;

const out = new FrameOutput();
const head = new MessageHead();
const target = new RequestTarget();
const NOBODY: FieldTaker = { onField() {} };

export class Http2ServerConnection implements ServerConnection, ConnectionHandler, FrameTaker {
  readonly connection: Connection;
  readonly settings: Http2ServerSettings;
  readonly hooks: ExchangeHooks;
  readonly link: Link;
  readonly #client: ClientInfo;
  readonly #decoder: FrameDecoder;
  readonly #hpack = new HpackDecoder();
  readonly #floods: FloodGuard;
  readonly #streams = new Map<number, ServerStream>();
  readonly #reset = new Set<number>();

  /** Octets of the preface that were there. */
  #prefaceAt = 0;
  #hasSettings = false;
  #settingsAcked = false;
  #lastStreamId = 0;
  /** The client left out stream numbers: which of them were ever used is not known. */
  #hasSkipped = false;
  #goodbye: number = Goodbye.none;
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
  #lastStreamsTimer: Timer | null = null;

  constructor(connection: Connection, client: ClientInfo, settings: Http2ServerSettings, hooks: ExchangeHooks) {
    this.connection = connection;
    this.settings = settings;
    this.hooks = hooks;
    this.#client = client;
    this.#floods = new FloodGuard(settings.floods);
    this.#decoder = new FrameDecoder(frameLimits(settings), this);
    this.link = new Link(connection, out, settings.connectionWindowOctets);
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
    head.begin("request", this.settings.head);
    this.#hpack.decode(octets, start, end, head);
    // RFC 9113 §6.8: what comes after the last one is as if it had not come.
    if (this.#goodbye === Goodbye.said) return;
    this.#lastStreamId = id;
    if (this.hooks.draining && this.#goodbye === Goodbye.none) this.drain();
    if (this.#streams.size >= this.settings.maxStreams) {
      this.resetStream(id, ErrorCode.refusedStream);
      this.#floods.frame("HEADERS");
    } else if (dependsOn === id) this.#malformed(id, "a stream that depends on itself (RFC 9113 §5.3.1)", end - start);
    else this.#begin(id, endStream, end - start);
  }

  /** Frames of a stream that is over. */
  #onLateBlock(id: number, octets: Buffer, start: number, end: number): void {
    if (!this.#reset.has(id))
      throw new ConnectionError(
        this.#hasSkipped ? ErrorCode.protocol : ErrorCode.streamClosed,
        `HEADERS on stream ${id}, which is closed (RFC 9113 §5.1)`,
      );
    this.#hpack.decode(octets, start, end, NOBODY);
    this.#floods.frame("HEADERS");
  }

  /** A complete head: makes its exchange. @param octets of it, for the record */
  #begin(id: number, endStream: boolean, octets: number): void {
    if (head.tooLarge !== null) return this.#refuseHead(id, endStream, head.tooLarge, octets);
    const problem = target.resolve(head) ?? this.#problemOfLength(endStream);
    if (problem !== null) return this.#malformed(id, problem, octets);
    if (head.otherExpectation !== null) {
      const failure = new Failure("expectation-failed", `Expect: ${head.otherExpectation} cannot be met`);
      return this.#refuseHead(id, endStream, failure, octets);
    }
    head.end();
    if (head.tooLarge !== null) return this.#refuseHead(id, endStream, head.tooLarge, octets);
    const { protocol } = target;
    const method = protocol === null ? target.method : "GET";
    const { scheme } = this.settings;
    const request = new HttpRequest(method, scheme, target.authority, target.target, head.fields, NO_BODY);
    request.acceptsTrailers = head.teTrailers;
    let exchange: Exchange;
    try {
      exchange = new Exchange(this.#client, "HTTP/2", request, clock.now);
    } catch (thrown) {
      return this.#refuseHead(id, endStream, Failure.from(thrown), octets);
    }
    const stream = new ServerStream(this, id, endStream);
    if (protocol !== null) {
      request.upgrade = protocol;
      stream.expectTunnel(beginHandshake(protocol, head.fields));
    } else if (method === "CONNECT") stream.expectTunnel(null);
    else if (!endStream) stream.expectContent(request, head.contentLength, head.expectContinue);
    else if (head.contentLength === 0) request.hasEmptyContent = true;
    exchange.informer = stream;
    this.#streams.set(id, stream);
    this.#rest.cancel();
    this.#floods.streamBegun();
    stream.handle(exchange);
  }

  #problemOfLength(endStream: boolean): string | null {
    if (head.contentLength < 0) return null;
    if (target.method === "CONNECT") return "Content-Length in CONNECT (RFC 9110 §9.3.6)";
    if (endStream && head.contentLength > 0)
      return `no content, but a Content-Length of ${head.contentLength} (RFC 9113 §8.1.1)`;
    return null;
  }

  /** RFC 9113 §8.1.1: a malformed request ends its stream, and is never passed on. */
  #malformed(id: number, problem: string, octets: number): void {
    this.resetStream(id, ErrorCode.protocol);
    this.hooks.malformed(this.#client, new Failure("request-malformed", problem), octets);
    this.#floods.reset();
    this.#rested();
  }

  /** A head that can be read, and is answered without an exchange. */
  #refuseHead(id: number, endStream: boolean, failure: Failure, octets: number): void {
    const fields = FieldSection.of({ "proxy-status": `lintel; error=${failure.code}` });
    writeResponseHead(this.link, id, new HttpResponse(failure.status, fields, NO_BODY), "GET", true);
    if (!endStream) this.resetStream(id, ErrorCode.none);
    this.hooks.malformed(this.#client, failure, octets);
    this.#floods.reset();
    this.#rested();
  }

  #onTrailers(stream: ServerStream, endStream: boolean, octets: Buffer, start: number, end: number): void {
    const { head: limits, trailerOctets } = this.settings;
    head.begin("trailers", { ...limits, fieldSectionOctets: trailerOctets });
    this.#hpack.decode(octets, start, end, head);
    if (stream.isRequestComplete)
      return this.#fault(stream, ErrorCode.streamClosed, "HEADERS after the end of its stream");
    if (!endStream)
      return this.#fault(stream, ErrorCode.protocol, "trailers that do not end the stream (RFC 9113 §8.1)");
    const problem = head.problem ?? head.tooLarge?.message ?? null;
    if (problem !== null) return this.#fault(stream, ErrorCode.protocol, problem);
    head.end();
    head.fields.deleteSet(NOT_IN_TRAILERS);
    this.#ended(stream, head.fields);
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
    if ((id & 1) === 0 || (id > this.#lastStreamId && this.#goodbye !== Goodbye.said))
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
    if (ack) {
      if (this.#goodbye === Goodbye.announced && DRAIN_PING.compare(octets, at, at + 8) === 0) this.#sayGoodbye();
      return;
    }
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
    if (this.#reset.size <= REMEMBERED_RESETS) return;
    for (const oldest of this.#reset) {
      this.#reset.delete(oldest);
      break;
    }
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
    if (this.#goodbye === Goodbye.said || this.#clientLeaves) {
      this.#end(ErrorCode.none, "");
      return;
    }
    const { keepAliveTime } = this.settings;
    if (keepAliveTime !== null) this.#rest.arm(keepAliveTime);
    else this.#rest.cancel();
  }

  #restExpired(): void {
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
    this.#lastStreamsTimer?.cancel();
    this.hooks.closed(this);
  }

  /**
   * The server stops. Requests may be on their way: first the client is told to send no more, and
   * once it must have heard of it, which one was the last (RFC 9113 §6.8).
   */
  drain(): void {
    if (this.#goodbye !== Goodbye.none || this.#isRetired) return;
    if (this.#prefaceAt < PREFACE.length) return this.#end(ErrorCode.none, "");
    this.#goodbye = Goodbye.announced;
    out.use(this.connection);
    out.goAway(MAX_STREAM_ID, ErrorCode.none);
    out.ping(false, DRAIN_PING);
    this.#lastStreamsTimer = new Timer(() => this.#sayGoodbye());
    this.#lastStreamsTimer.arm(LAST_STREAMS_TIME);
  }

  #sayGoodbye(): void {
    if (this.#goodbye === Goodbye.said || this.#isRetired) return;
    this.#goodbye = Goodbye.said;
    this.#lastStreamsTimer?.cancel();
    if (this.#streams.size > 0) {
      out.use(this.connection);
      out.goAway(this.#lastStreamId, ErrorCode.none);
    } else this.#rested();
  }

  /** Ends now: an exchange without a response gets this failure, one in the middle of it is cut. */
  terminate(why: Failure): void {
    if (this.#isRetired) return;
    this.#goodbye = Goodbye.said;
    for (const stream of [...this.#streams.values()]) stream.refuse(why);
    // What has not left by now will not.
    for (const stream of [...this.#streams.values()]) stream.cut(ErrorCode.cancel, why);
    this.#end(ErrorCode.none, "");
  }
}

const protocolError = (message: string): ConnectionError => new ConnectionError(ErrorCode.protocol, message);
