/**
 * Request content in base64 as octets. It may be several texts in a row, each with its padding: clients
 * encode piece by piece (PROTOCOL-WEB.md, "grpc-web-text").
 */
import { Failure } from "../../base/failure.ts";
import { BodyTransform } from "../../http/body.ts";
import type { FieldSection } from "../../http/field-section.ts";

/** Groups of four, of which any may be padded (RFC 4648 §4). */
const GROUPS = /^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)*$/;
/** A text up to its padding. */
const TEXTS = /[A-Za-z0-9+/]+=*/g;

export class Base64Decoder extends BodyTransform {
  /** Characters of a group that is not complete. */
  #rest = "";
  #isBroken = false;

  override get length(): null {
    return null;
  }

  override write(octets: Uint8Array): void {
    if (this.#isBroken) return;
    const { buffer, byteOffset, byteLength } = octets;
    const text = this.#rest + Buffer.from(buffer, byteOffset, byteLength).toString("latin1");
    const whole = text.length - (text.length % 4);
    this.#rest = text.slice(whole);
    this.#decode(text.slice(0, whole));
  }

  override end(trailers: FieldSection | null): void {
    if (this.#isBroken) return;
    // The last group need not be padded, but one character is no octet.
    if (this.#rest !== "") this.#decode(this.#rest.padEnd(4, "="));
    if (!this.#isBroken) this.sink.end(trailers);
  }

  #decode(text: string): void {
    if (!GROUPS.test(text)) {
      this.#isBroken = true;
      const failure = new Failure("request-malformed", "request content of gRPC-Web that is not base64");
      this.flow.cancel(failure);
      this.sink.abort(failure);
      return;
    }
    const parts = Array.from(text.matchAll(TEXTS), ([part]) => Buffer.from(part, "base64"));
    if (parts.length > 0) this.sink.write(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
  }

  override abort(why: Failure): void {
    if (!this.#isBroken) this.sink.abort(why);
  }
}
