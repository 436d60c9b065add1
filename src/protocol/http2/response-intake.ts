/**
 * The frames that a server sends, each taken to its stream or to what all streams share. What breaks
 * a rule of one message fails that stream, what breaks one of the connection is thrown (RFC 9113 §5.4).
 */
import type { Http2ClientConnection } from "./client.ts";
import type { ClientStream } from "./client-stream.ts";
import type { ClientStreams } from "./client-streams.ts";
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { FrameGuard } from "./floods.ts";
import { MAX_WINDOW_OCTETS } from "./frame.ts";
import type { FrameTaker } from "./frame-decoder.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import { MessageHead } from "./message-head.ts";

/** Answers that the server makes us give although it takes none of them. */
const MOST_UNREAD_ANSWERS = 1000;

const head = new MessageHead();

export class ResponseIntake implements FrameTaker {
  readonly #client: Http2ClientConnection;
  readonly #streams: ClientStreams;
  readonly #floods: FrameGuard;
  readonly #hpack = new HpackDecoder();
  #unreadAnswers = 0;
  #settingsAcked = false;

  // The DATA frame that is arriving.
  #dataStream: ClientStream | null = null;
  #dataOctets = 0;
  #dataLeft = 0;

  constructor(client: Http2ClientConnection, streams: ClientStreams) {
    this.#client = client;
    this.#streams = streams;
    this.#floods = new FrameGuard(client.settings.floods);
  }

  /** We have opened a stream: more may come. */
  streamBegun(): void {
    this.#floods.streamBegun();
  }

  get stopped(): boolean {
    return this.#client.isClosed;
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────

  onDataBegin(streamId: number, octets: number): void {
    const stream = this.#streams.find(streamId);
    if (!this.#client.link.receiveWindow.arrive(octets))
      throw new ConnectionError(ErrorCode.flowControl, "more content than the connection's window (RFC 9113 §6.9.1)");
    this.#dataStream = stream;
    this.#dataOctets = octets;
    this.#dataLeft = octets;
    if (stream === null) this.#streams.letPass(streamId);
    else if (!stream.onDataBegin(octets))
      throw new ConnectionError(ErrorCode.flowControl, "more content than the stream's window (RFC 9113 §6.9.1)");
  }

  onData(_streamId: number, octets: Uint8Array): void {
    const stream = this.#dataStream;
    this.#dataLeft -= octets.length;
    if (stream === null || stream.isOver) return this.#client.link.took(octets.length);
    try {
      stream.onData(octets);
    } catch (thrown) {
      this.#client.onStreamFault(stream, thrown);
    }
  }

  onDataEnd(_streamId: number, endStream: boolean): void {
    const stream = this.#dataStream;
    const padding = this.#dataLeft;
    const content = this.#dataOctets - padding;
    this.#dataStream = null;
    if (content === 0 && !endStream) this.#floods.frame("empty DATA");
    else this.#floods.content(content);
    if (stream === null || stream.isOver) {
      if (padding > 0) this.#client.link.took(padding);
      return;
    }
    if (padding > 0) stream.onPadding(padding);
    if (!endStream) return;
    try {
      stream.onEnd(null);
    } catch (thrown) {
      this.#client.onStreamFault(stream, thrown);
    }
  }

  onFieldBlock(streamId: number, endStream: boolean, octets: Buffer, start: number, end: number): void {
    const stream = this.#streams.find(streamId);
    head.begin(stream?.hasResponse === true ? "trailers" : "response", this.#client.settings.head);
    // Also for nobody: the table must be as the server has it.
    this.#hpack.decode(octets, start, end, head);
    head.end();
    if (stream === null) {
      this.#floods.frame("HEADERS");
      return this.#streams.letPass(streamId);
    }
    try {
      stream.onHead(head, endStream);
    } catch (thrown) {
      this.#client.onStreamFault(stream, thrown);
    }
  }

  onResetStream(streamId: number, code: number): void {
    const stream = this.#streams.find(streamId);
    if (stream === null) this.#floods.frame("RST_STREAM");
    else stream.onReset(code);
  }

  // ── windows and settings ───────────────────────────────────────────────────────────────────

  onWindowUpdate(streamId: number, octets: number): void {
    const { link } = this.#client;
    this.#floods.windowUpdate(link.contentOctets, link.contentMessages);
    if (streamId === 0) {
      if (octets === 0) throw new ConnectionError(ErrorCode.protocol, "an increment of 0 (RFC 9113 §6.9)");
      link.sendWindow += octets;
      if (link.sendWindow > MAX_WINDOW_OCTETS)
        throw new ConnectionError(ErrorCode.flowControl, "a window above 2^31-1 (RFC 9113 §6.9.1)");
    } else {
      const stream = this.#streams.find(streamId);
      if (stream === null) return;
      if (octets === 0) stream.cut(ErrorCode.protocol, "an increment of 0 (RFC 9113 §6.9)");
      else if (!stream.addWindow(octets)) stream.cut(ErrorCode.flowControl, "a window above 2^31-1 (RFC 9113 §6.9.1)");
    }
    link.goOn();
  }

  onSettings(octets: Buffer, start: number, end: number): void {
    this.#floods.frame("SETTINGS");
    const { link, capacity } = this.#client;
    const { peer, encoder } = link;
    const before = peer.initialWindowOctets;
    peer.apply(octets, start, end, true);
    encoder.limit(Math.min(peer.leastHeaderTableOctets, peer.headerTableOctets));
    encoder.limit(peer.headerTableOctets);
    const change = peer.initialWindowOctets - before;
    if (change !== 0) {
      for (const stream of this.#streams.all) {
        if (!stream.addWindow(change))
          throw new ConnectionError(ErrorCode.flowControl, "a window above 2^31-1 (RFC 9113 §6.9.2)");
      }
    }
    this.#answer();
    link.out.settingsAck();
    link.goOn();
    this.#client.onSettled(capacity);
  }

  onSettingsAck(): void {
    if (this.#settingsAcked) return this.#floods.frame("SETTINGS");
    this.#settingsAcked = true;
    this.#client.link.settingsAnswered();
  }

  onPing(ack: boolean, octets: Buffer, at: number): void {
    this.#floods.frame("PING");
    if (ack) return;
    this.#answer();
    this.#client.link.out.ping(true, octets, at);
  }

  /** We are made to write something: not without end, if nobody reads it. */
  #answer(): void {
    const { link } = this.#client;
    this.#unreadAnswers = link.connection.full ? this.#unreadAnswers + 1 : 0;
    if (this.#unreadAnswers > MOST_UNREAD_ANSWERS)
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "frames that ask for an answer, which is not read");
    link.out.use(link.connection);
  }

  onGoAway(lastStreamId: number, code: number, debug: string): void {
    this.#floods.frame("GOAWAY");
    this.#client.onGoAway(lastStreamId, code, debug);
  }

  onPushPromise(): void {
    throw new ConnectionError(ErrorCode.protocol, "PUSH_PROMISE, which we did not allow (RFC 9113 §8.4)");
  }

  onFieldBlockBegin(): void {}

  onPriority(): void {
    this.#floods.frame("PRIORITY");
  }

  onPriorityUpdate(): void {
    this.#floods.frame("PRIORITY_UPDATE");
  }

  onUnknown(): void {
    this.#floods.frame("unknown");
  }
}
