/**
 * Refuses request content over a size: a declared length at once, content of unknown length at the
 * first octet too many, so that whoever takes it never sees a complete message.
 *
 * RFC 9110 §8.6 (Content-Length), §15.5.14 (413 Content Too Large).
 */
import { Failure } from "../base/failure.ts";
import { type BodySource, BodyTransform } from "./body.ts";
import type { HttpRequest } from "./message.ts";

/**
 * @param option name of the option that sets the limit, for the message
 * @throws {Failure} `content-too-large` if the declared length is over the limit
 */
export function limitContent(request: HttpRequest, maxOctets: number, option: string): void {
  const declared = request.body.length;
  if (declared === null) {
    if (maxOctets !== Infinity) request.body = new CountedBody(request.body, maxOctets, option);
  } else if (declared > maxOctets) throw tooLarge(maxOctets, declared, option);
}

class CountedBody extends BodyTransform {
  readonly #max: number;
  readonly #option: string;
  #passed = 0;

  constructor(source: BodySource, max: number, option: string) {
    super(source);
    this.#max = max;
    this.#option = option;
  }

  override write(octets: Uint8Array): void {
    this.#passed += octets.length;
    if (this.#passed <= this.#max) return this.sink.write(octets);
    const failure = tooLarge(this.#max, this.#passed, this.#option);
    this.flow.cancel(failure);
    this.sink.abort(failure);
  }
}

function tooLarge(max: number, seen: number, option: string): Failure {
  return new Failure("content-too-large", `request content of at least ${seen} octets exceeds ${option} of ${max}`);
}
