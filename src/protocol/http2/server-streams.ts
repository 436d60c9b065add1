/**
 * The streams of a server connection: what each frame means for them, and for what they share.
 *
 * RFC 9113 §5, §6; RFC 8441 (extended CONNECT); RFC 9218 (priorities; those of RFC 7540 are ignored).
 */
import { Failure } from "../../base/failure.ts";
import { Table } from "../../base/table.ts";
import type { ClientInfo } from "../../http/exchange.ts";
import type { FieldSection } from "../../http/field-section.ts";
import type { ExchangeHooks } from "../exchange-hooks.ts";
import { ConnectionError, ErrorCode, errorName } from "./error-code.ts";
import { FloodGuard } from "./floods.ts";
import { DEFAULT_WINDOW_OCTETS, MAX_WINDOW_OCTETS } from "./frame.ts";
import type { FrameTaker } from "./frame-decoder.ts";
import type { FrameOutput } from "./frame-output.ts";
import type { Goodbye } from "./goodbye.ts";
import type { Link } from "./link.ts";
import { firstStreamWindow, ReceiveWindow } from "./receive-window.ts";
import { Reprioritized } from "./reprioritized.ts";
import { RequestIntake } from "./request-intake.ts";
import { ResetStreams } from "./reset-streams.ts";
import type { Http2ServerConnection } from "./server.ts";
import type { Http2ServerSettings } from "./server-settings.ts";
import type { ServerStream } from "./server-stream.ts";
import { streamHash } from "./stream-hash.ts";

export class ServerStreams implements FrameTaker {
  readonly server: Http2ServerConnection;
  readonly link: Link;
  readonly settings: Http2ServerSettings;
  readonly hooks: ExchangeHooks;
  readonly #goodbye: Goodbye;
  readonly #intake: RequestIntake;
  readonly #floods: FloodGuard;
  readonly #streams = new Table<number, ServerStream>(streamHash);
  readonly #reset = new ResetStreams();
  readonly reprioritized = new Reprioritized();
  #hasSettings = false;
  #settingsAcked = false;
  #lastId = 0;
  /** The client left out stream numbers: which of them were ever used is not known. */
  #hasSkipped = false;
  /** The DATA frame that is coming: its stream if anybody wants it, and its octets that are not content. */
  #dataStream: ServerStream | null = null;
  #dataOctets = 0;
  #padding = 0;

  constructor(server: Http2ServerConnection, client: ClientInfo, goodbye: Goodbye) {
    this.server = server;
    this.link = server.link;
    this.settings = server.settings;
    this.hooks = server.hooks;
    this.#goodbye = goodbye;
    this.#floods = new FloodGuard(server.settings.floods);
    this.#intake = new RequestIntake(this, client);
  }

  /** Streams in work. */
  get size(): number {
    return this.#streams.size;
  }

  /** All of them, as they are now. */
  all(): ServerStream[] {
    return this.#streams.all();
  }

  /** The last stream that was taken. */
  get lastId(): number {
    return this.#lastId;
  }

  /** For FrameDecoder. */
  get stopped(): boolean {
    return this.server.isRetired;
  }

  /** RFC 9113 §3.4: the preface ends with SETTINGS. */
  #checkFirst(): void {
    if (!this.#hasSettings) throw protocolError("the first frame is not SETTINGS (RFC 9113 §3.4)");
  }

  // ── requests ───────────────────────────────────────────────────────────────────────────────

  onFieldBlockBegin(): void {
    this.#checkFirst();
    this.server.headBegun();
  }

  onFieldBlock(id: number, endStream: boolean, octets: Buffer, start: number, end: number, dependsOn: number): void {
    this.#checkFirst();
    this.server.headComplete();
    const stream = this.#streams.get(id);
    if (stream !== null) return this.#onTrailers(stream, endStream, octets, start, end);
    if ((id & 1) === 0) throw protocolError(`stream ${id} is not a client's (RFC 9113 §5.1.1)`);
    if (id <= this.#lastId) return this.#onLateBlock(id, octets, start, end);
    if (id !== this.#lastId + 2 && this.#lastId !== 0) this.#hasSkipped = true;
    this.#intake.decode(octets, start, end);
    // RFC 9113 §6.8: what comes after the last one is as if it had not come.
    if (this.#goodbye.isSaid) return;
    this.#lastId = id;
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
    this.#streams.add(id, begun);
    this.server.busy();
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
    this.server.rested();
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
    const stream = this.#streams.get(id);
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
    if (stream === null) {
      this.#onLateFrame(id, "RST_STREAM");
      return this.#floods.frame("RST_STREAM");
    }
    stream.lose(new Failure("client-closed", `the client reset the stream: ${errorName(code)}`));
    this.#floods.reset();
  }

  /** A frame of a stream that is not there: fine if it was. */
  #onLateFrame(id: number, name: string): void {
    if ((id & 1) === 0 || (id > this.#lastId && !this.#goodbye.isSaid))
      throw protocolError(`${name} on stream ${id}, which is idle (RFC 9113 §5.1)`);
    if (name !== "DATA" || id > this.#lastId || this.#reset.has(id)) return;
    this.resetStream(id, ErrorCode.streamClosed);
    this.#floods.reset();
  }

  onWindowUpdate(id: number, octets: number): void {
    this.#checkFirst();
    const { link } = this;
    this.#floods.windowUpdate(link.contentOctets, link.contentMessages);
    if (id === 0) {
      if (octets === 0) throw protocolError("WINDOW_UPDATE of 0 (RFC 9113 §6.9)");
      link.sendWindow += octets;
      if (link.sendWindow > MAX_WINDOW_OCTETS)
        throw new ConnectionError(ErrorCode.flowControl, "a window of more than 2^31-1 octets (RFC 9113 §6.9.1)");
    } else {
      const stream = this.#streams.get(id);
      if (stream === null) return this.#onLateFrame(id, "WINDOW_UPDATE");
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
      for (const stream of this.#streams.all()) {
        if (!stream.addWindow(change))
          throw new ConnectionError(ErrorCode.flowControl, "a window of more than 2^31-1 octets (RFC 9113 §6.9.2)");
      }
    }
    this.#use().settingsAck();
    if (change > 0) this.link.goOn();
  }

  onSettingsAck(): void {
    this.#checkFirst();
    if (this.#settingsAcked) return this.#floods.frame("SETTINGS");
    this.#settingsAcked = true;
    this.server.settingsKnown();
    this.link.settingsAnswered();
    // A smaller window than the one the client began with holds from now on (RFC 9113 §6.9.2).
    const change = firstStreamWindow(this.settings.streamWindowOctets) - DEFAULT_WINDOW_OCTETS;
    if (change < 0) for (const stream of this.#streams.all()) stream.moveReceiveWindow(change);
  }

  /** The window of a new stream: while the client may not know ours, what it may think it is. */
  newReceiveWindow(): ReceiveWindow {
    const { streamWindowOctets } = this.settings;
    const first = firstStreamWindow(streamWindowOctets);
    return new ReceiveWindow(
      first,
      streamWindowOctets,
      this.#settingsAcked ? first : Math.max(first, DEFAULT_WINDOW_OCTETS),
    );
  }

  onPing(ack: boolean, octets: Buffer, at: number): void {
    this.#checkFirst();
    this.#floods.frame("PING");
    if (ack) return this.#goodbye.onPong(octets, at);
    this.#use().ping(true, octets, at);
  }

  onGoAway(): void {
    this.#checkFirst();
    this.#floods.frame("GOAWAY");
    this.server.clientLeaves();
  }

  onPriority(id: number, dependsOn: number): void {
    this.#checkFirst();
    this.#floods.frame("PRIORITY");
    if (dependsOn !== id) return;
    const stream = this.#streams.get(id);
    if (stream === null) this.resetStream(id, ErrorCode.protocol);
    else this.#fault(stream, ErrorCode.protocol, "a stream that depends on itself (RFC 9113 §5.3.1)");
  }

  onPriorityUpdate(id: number, value: string): void {
    this.#checkFirst();
    this.#floods.frame("PRIORITY_UPDATE");
    if ((id & 1) === 0) throw protocolError(`PRIORITY_UPDATE of stream ${id} (RFC 9218 §7.1)`);
    const stream = this.#streams.get(id);
    if (stream !== null || id > this.#lastId) this.reprioritized.update(id, stream, value);
  }

  onPushPromise(): void {
    throw protocolError("PUSH_PROMISE from a client (RFC 9113 §8.4)");
  }

  onUnknown(): void {
    this.#checkFirst();
    this.#floods.frame("unknown");
  }

  // ── what streams say ──────────────────────────────────────────────────────────────────────

  resetStream(id: number, code: number): void {
    this.#use().resetStream(id, code);
    this.#reset.add(id);
  }

  /** For the intake: a stream was answered or reset instead of begun. */
  streamRefused(): void {
    this.#floods.reset();
    this.server.rested();
  }

  /** For a stream: it is over. @param wentToEnd its response did */
  streamDone(stream: ServerStream, wentToEnd: boolean): void {
    this.#streams.delete(stream.id);
    if (this.#dataStream === stream) this.#dataStream = null;
    if (wentToEnd) this.#floods.streamDone();
    this.server.rested();
  }

  /** The output, for this connection. */
  #use(): FrameOutput {
    const { out, connection } = this.link;
    out.use(connection);
    return out;
  }
}

const protocolError = (message: string): ConnectionError => new ConnectionError(ErrorCode.protocol, message);
