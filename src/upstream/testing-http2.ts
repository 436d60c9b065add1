/** For tests: the server's end of a connection of HTTP/2 whose every frame is in the test. */
import { type Peer, until } from "../net/testing.ts";
import { CLIENT_PREFACE, Flag, FrameType } from "../protocol/http2/frame.ts";
import { HpackDecoder } from "../protocol/http2/hpack/decoder.ts";
import { pairs, word } from "../protocol/http2/testing.ts";

/** ":status" 200, 204, 404 of the static table (RFC 7541 appendix A). */
const STATUS = { 200: 0x88, 204: 0x89, 404: 0x8d } as const;

export interface AskedStream {
  readonly id: number;
  readonly head: Readonly<Record<string, string>>;
}

export class Http2Peer {
  readonly peer: Peer;
  /** Requests that have come, in order. */
  readonly asked: AskedStream[] = [];
  /** Streams that the client has reset. */
  readonly resets: number[] = [];
  goneAway = false;
  #octets: Buffer = Buffer.alloc(0);
  #greeted = false;
  /** Requests that were looked at. */
  #taken = 0;
  readonly #decoder = new HpackDecoder();

  constructor(peer: Peer) {
    this.peer = peer;
  }

  /** What a server begins with. @param values identifier, value, … */
  settings(...values: number[]): this {
    return this.frame(FrameType.settings, 0, 0, pairs(...values));
  }

  frame(type: number, flags: number, streamId: number, payload: Uint8Array | string = ""): this {
    const octets = typeof payload === "string" ? Buffer.from(payload, "latin1") : payload;
    const head = Buffer.alloc(9);
    head.writeUIntBE(octets.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(streamId, 5);
    this.peer.send(Buffer.concat([head, octets]));
    return this;
  }

  /** A response; with content the stream goes on. */
  respond({ id }: AskedStream, status: keyof typeof STATUS = 204, content: string | null = null): this {
    const end = content === null ? Flag.endStream : 0;
    this.frame(FrameType.headers, Flag.endHeaders | end, id, Uint8Array.of(STATUS[status]));
    return content === null ? this : this.frame(FrameType.data, Flag.endStream, id, content);
  }

  reset({ id }: AskedStream, code: number): this {
    return this.frame(FrameType.resetStream, 0, id, word(code));
  }

  goAway(lastStreamId: number, code = 0): this {
    return this.frame(FrameType.goAway, 0, 0, Buffer.concat([word(lastStreamId), word(code)]));
  }

  /** The next request that was not looked at yet. */
  async next(): Promise<AskedStream> {
    const had = this.#taken;
    await until(() => this.read().asked.length > had, "a request over HTTP/2");
    this.#taken++;
    return this.asked[had]!;
  }

  read(): this {
    const received = this.peer.receive();
    if (typeof received !== "string") this.#octets = Buffer.concat([this.#octets, received]);
    if (!this.#greeted && this.#octets.length >= CLIENT_PREFACE.length) {
      if (this.#octets.latin1Slice(0, CLIENT_PREFACE.length) !== CLIENT_PREFACE) throw new Error("not HTTP/2");
      this.#octets = this.#octets.subarray(CLIENT_PREFACE.length);
      this.#greeted = true;
    }
    while (this.#greeted && this.#octets.length >= 9) {
      const length = this.#octets.readUIntBE(0, 3);
      if (this.#octets.length < 9 + length) break;
      this.#note(this.#octets[3]!, this.#octets.readUInt32BE(5), this.#octets.subarray(9, 9 + length));
      this.#octets = this.#octets.subarray(9 + length);
    }
    return this;
  }

  #note(type: number, id: number, payload: Buffer): void {
    if (type === FrameType.resetStream) this.resets.push(id);
    else if (type === FrameType.goAway) this.goneAway = true;
    else if (type === FrameType.headers) {
      const head: Record<string, string> = {};
      this.#decoder.decode(payload, 0, payload.length, {
        onField: ({ name, value }) => {
          head[name] = value;
        },
      });
      this.asked.push({ id, head });
    }
  }
}
