/** The content of a response of gRPC as gRPC-Web has it: the same messages, and the trailers as a last frame. */
import type { Failure } from "../../base/failure.ts";
import { type BodySource, BodyTransform } from "../../http/body.ts";
import type { Exchange } from "../../http/exchange.ts";
import type { FieldSection } from "../../http/field-section.ts";
import { statusFields } from "../../http/grpc.ts";

/** A flag octet and the length (PROTOCOL-HTTP2.md, "Length-Prefixed-Message"). */
const PREFIX_OCTETS = 5;
/** The frame holds trailers. */
const TRAILERS = 0x80;

export class WebContent extends BodyTransform {
  readonly #exchange: Exchange;
  readonly #isText: boolean;
  /** Octets there were of a message's prefix, and the length it says so far. */
  #prefix = 0;
  #length = 0;
  /** Octets of a message still to come. */
  #left = 0;

  constructor(source: BodySource, exchange: Exchange, isText: boolean) {
    super(source);
    this.#exchange = exchange;
    this.#isText = isText;
  }

  override get length(): null {
    return null;
  }

  override write(octets: Uint8Array): void {
    this.#follow(octets);
    this.#send(octets);
  }

  override end(trailers: FieldSection | null): void {
    if (trailers !== null) this.#sendTrailers(trailers);
    this.sink.end(null);
  }

  override abort(why: Failure): void {
    // Within a message, the frame would be taken for its rest.
    if (why.side === "downstream" || this.#left > 0 || this.#prefix > 0) return this.sink.abort(why);
    this.#exchange.failure ??= why;
    this.#sendTrailers(statusFields(why));
    this.sink.end(null);
  }

  #sendTrailers(trailers: FieldSection): void {
    this.#exchange.trailers = trailers;
    let text = "";
    for (const [name, value] of trailers) text += `${name}: ${value}\r\n`;
    const frame = Buffer.alloc(PREFIX_OCTETS + text.length);
    frame[0] = TRAILERS;
    frame.writeUInt32BE(text.length, 1);
    frame.write(text, PREFIX_OCTETS, "latin1");
    this.#send(frame);
  }

  /** Each piece with a padding of its own: nothing waits for the next one to be sent. */
  #send(octets: Uint8Array): void {
    if (!this.#isText) return this.sink.write(octets);
    const { buffer, byteOffset, byteLength } = octets;
    this.sink.write(Buffer.from(Buffer.from(buffer, byteOffset, byteLength).toString("base64"), "latin1"));
  }

  /** Keeps track of where messages begin and end. */
  #follow(octets: Uint8Array): void {
    for (let at = 0; at < octets.length; ) {
      if (this.#left > 0) {
        const part = Math.min(this.#left, octets.length - at);
        this.#left -= part;
        at += part;
        continue;
      }
      this.#length = this.#prefix === 0 ? 0 : this.#length * 256 + octets[at]!;
      at++;
      if (++this.#prefix < PREFIX_OCTETS) continue;
      this.#prefix = 0;
      this.#left = this.#length;
    }
  }
}
