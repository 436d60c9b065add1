/**
 * Puts together what HPACK decodes: the pseudo-fields, the field section as a text with its table,
 * and what framing depends on. Rules that hold for requests and responses alike are kept here; the
 * first one broken is remembered while the rest of the block is read for the sake of HPACK's table.
 *
 * There is one per engine module, as there is one head decoder in http1/: its public properties hold
 * the last head and are read before the next.
 *
 * RFC 9113 §8.2 (fields), §8.2.3 (cookies in crumbs), §8.3 (pseudo-fields).
 */
import { Failure } from "../../base/failure.ts";
import { Field } from "../../http/field-name.ts";
import { FieldSection } from "../../http/field-section.ts";
import { NOT_IN_TRAILERS } from "../http1/content-decoder.ts";
import type { HeadLimits } from "../http1/head-decoder.ts";
import type { FieldTaker } from "./hpack/decoder.ts";
import { type HeaderField, Pseudo } from "./hpack/header-field.ts";

export type HeadKind = "request" | "response" | "trailers";

/** The table of lines while it grows; each section gets a copy of the right size. */
const scratch: number[] = [0];

export class MessageHead implements FieldTaker {
  #kind: HeadKind = "request";
  #limits!: HeadLimits;
  #text = "";
  /** Used length of the scratch. */
  #used = 0;
  #octets = 0;
  #hasField = false;
  #cookie: string | null = null;
  #isSilent = false;

  // Pseudo-fields; null: not there.
  method: string | null = null;
  scheme: string | null = null;
  authority: string | null = null;
  path: string | null = null;
  /** Of extended CONNECT (RFC 8441 §4). */
  protocol: string | null = null;
  /** 0: not there. */
  status = 0;

  fields = new FieldSection();
  /** Value of Content-Length; -1 if there is none. */
  contentLength = -1;
  host: string | null = null;
  expectContinue = false;
  /** Another Expect than 100-continue. */
  otherExpectation: string | null = null;
  teTrailers = false;
  /** RFC 9218 §5; null: not there. */
  priority: string | null = null;
  /** Why the message is malformed (RFC 9113 §8.1.1); null: it is not, as far as can be said here. */
  problem: string | null = null;
  /** The head is larger than allowed; null: it is not. */
  tooLarge: Failure | null = null;

  /** Begins another head. */
  begin(kind: HeadKind, limits: HeadLimits): void {
    this.#kind = kind;
    this.#limits = limits;
    this.#text = "";
    this.#used = 0;
    this.#octets = 0;
    this.#hasField = false;
    this.#cookie = null;
    this.#isSilent = false;
    this.method = null;
    this.scheme = null;
    this.authority = null;
    this.path = null;
    this.protocol = null;
    this.status = 0;
    this.contentLength = -1;
    this.host = null;
    this.expectContinue = false;
    this.otherExpectation = null;
    this.teTrailers = false;
    this.priority = null;
    this.problem = null;
    this.tooLarge = null;
  }

  onField(field: HeaderField): void {
    if (this.#isSilent) return;
    if (field.problem !== null) return this.#malformed(field.problem);
    if (field.pseudo !== Pseudo.none) return this.#pseudo(field);
    this.#hasField = true;
    const { id, line } = field;
    this.#octets += line.length;
    if (this.#octets > this.#limits.fieldSectionOctets || line.length > this.#limits.fieldLineOctets)
      return this.#refuse(this.#tooLong(line.length));
    if (id === Field.cookie) return this.#crumb(field.value);
    this.#append(id, field.name.length, line);
    if (id !== 0 && id <= Field.te) this.#note(field);
    else if (id === Field.priority) this.priority = field.value;
  }

  #append(id: number, nameLength: number, line: string): void {
    const start = this.#text.length;
    const at = this.#used;
    if (at >= this.#limits.fieldCount * 4)
      return this.#refuse(
        this.#tooLargeFailure(`there are more than limits.fields of ${this.#limits.fieldCount} field lines`),
      );
    scratch[at] = id;
    scratch[at + 1] = start;
    scratch[at + 2] = start + nameLength + 2;
    scratch[at + 3] = start + line.length - 2;
    this.#used = at + 4;
    this.#text += line;
  }

  /** RFC 9113 §8.2.3: what was sent in crumbs is one field line everywhere else. */
  #crumb(value: string): void {
    this.#cookie = this.#cookie === null ? value : `${this.#cookie}; ${value}`;
  }

  #pseudo({ pseudo, name, value }: HeaderField): void {
    if (this.#hasField) return this.#malformed(`${name} after a field (RFC 9113 §8.3)`);
    if (this.#kind === "trailers") return this.#malformed(`${name} in a trailer section (RFC 9113 §8.1)`);
    if ((pseudo === Pseudo.status) !== (this.#kind === "response"))
      return this.#malformed(`${name} in a ${this.#kind} (RFC 9113 §8.3)`);
    switch (pseudo) {
      case Pseudo.method:
        if (this.method !== null) return this.#malformed("two :method fields");
        this.method = value;
        return;
      case Pseudo.scheme:
        if (this.scheme !== null) return this.#malformed("two :scheme fields");
        this.scheme = value;
        return;
      case Pseudo.authority:
        if (this.authority !== null) return this.#malformed("two :authority fields");
        this.authority = value;
        return;
      case Pseudo.path:
        if (this.path !== null) return this.#malformed("two :path fields");
        if (value.length > this.#limits.requestLineOctets)
          return this.#refuse(
            new Failure(
              "request-line-too-long",
              `:path is longer than limits.requestLine of ${this.#limits.requestLineOctets} octets`,
            ),
          );
        this.path = value;
        return;
      case Pseudo.protocol:
        if (this.protocol !== null) return this.#malformed("two :protocol fields");
        this.protocol = value;
        return;
      case Pseudo.status:
        if (this.status !== 0) return this.#malformed("two :status fields");
        if (!/^[1-9]\d\d$/.test(value)) return this.#malformed(`:status of ${JSON.stringify(value)}`);
        this.status = Number(value);
        return;
    }
  }

  /** What framing depends on. The ids up to `te` come first in field-name.ts for this. */
  #note({ id, value }: HeaderField): void {
    switch (id) {
      case Field.host:
        if (this.host !== null) return this.#malformed("more than one Host field");
        this.host = value;
        return;
      case Field["content-length"]:
        return this.#noteLength(value);
      case Field.expect:
        if (value.toLowerCase() === "100-continue") this.expectContinue = true;
        else this.otherExpectation = value;
        return;
      case Field.te:
        this.teTrailers = true;
        return;
    }
  }

  #noteLength(value: string): void {
    if (this.contentLength >= 0) return this.#malformed("more than one Content-Length field");
    const length = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    if (!Number.isSafeInteger(length)) return this.#malformed(`Content-Length of ${JSON.stringify(value)}`);
    this.contentLength = length;
  }

  /** For decoders that know of more lines than they give. */
  refuseTooMany(): void {
    this.#refuse(this.#tooLargeFailure(`there are more than limits.fields of ${this.#limits.fieldCount} field lines`));
  }

  /** The block is complete: makes the field section. */
  end(): void {
    if (this.#cookie !== null) this.#append(Field.cookie, 6, `cookie: ${this.#cookie}\r\n`);
    this.fields = new FieldSection(this.#text, scratch.slice(0, this.#used));
    this.#text = "";
    this.#cookie = null;
  }

  /** As `end`, of trailers. @returns them, without what must not come after content; or why they are malformed */
  endTrailers(): FieldSection | string {
    const problem = this.problem ?? this.tooLarge?.message;
    if (problem !== undefined) return problem;
    this.end();
    this.fields.deleteSet(NOT_IN_TRAILERS);
    return this.fields;
  }

  /** Adds a field that stands in the head in another way. For decoders, before `end`. */
  add(id: number, name: string, value: string): void {
    this.#append(id, name.length, `${name}: ${value}\r\n`);
  }

  #malformed(problem: string): void {
    this.problem ??= problem;
    this.#isSilent = true;
  }

  /** Nothing more is kept of the head. */
  #refuse(failure: Failure): void {
    this.tooLarge ??= failure;
    this.#isSilent = true;
  }

  #tooLong(line: number): Failure {
    const { fieldLineOctets, fieldSectionOctets } = this.#limits;
    if (line > fieldLineOctets)
      return this.#tooLargeFailure(`a field line is longer than limits.fieldLine of ${fieldLineOctets} octets`);
    return this.#tooLargeFailure(
      `the field section is longer than limits.fieldSection of ${fieldSectionOctets} octets`,
    );
  }

  #tooLargeFailure(message: string): Failure {
    return new Failure(this.#kind === "response" ? "upstream-malformed" : "fields-too-large", message);
  }
}
