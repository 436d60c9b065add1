/**
 * A field as HPACK knows it: a name and a value, judged once when they are decoded. One that the
 * dynamic table gives again and again is not looked at again.
 *
 * RFC 9113 §8.2.1 (what no field may hold), §8.2.2 (fields about a connection), §8.3 (pseudo-fields).
 */
import { Field, fieldId, fieldSet } from "../../../http/field-name.ts";
import { fieldValueOctet, tokenLower } from "../../../http/grammar.ts";

/** Which pseudo-field a name is; `none` = a field of the section. */
export const Pseudo = { none: 0, method: 1, scheme: 2, authority: 3, path: 4, protocol: 5, status: 6 } as const;

const PSEUDO_NAMES: Readonly<Record<string, number>> = {
  ":method": Pseudo.method,
  ":scheme": Pseudo.scheme,
  ":authority": Pseudo.authority,
  ":path": Pseudo.path,
  ":protocol": Pseudo.protocol,
  ":status": Pseudo.status,
};

/** What says something about an HTTP/1 connection has no meaning here, and is how requests are smuggled (RFC 9113 §8.2.2). */
const CONNECTION_SPECIFIC = fieldSet("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade");

/** What an entry costs besides its octets (RFC 7541 §4.1). */
export const ENTRY_OVERHEAD = 32;

export class HeaderField {
  readonly name: string;
  readonly value: string;
  /** The number in http/field-name.ts; 0: not a known name. */
  readonly id: number;
  /** Which of `Pseudo`. */
  readonly pseudo: number;
  /** `name: value CRLF`, as it stands in the text of a field section. */
  readonly line: string;
  /** Why a message with it is malformed; null: it is not. */
  readonly problem: string | null;
  /** The part of it that lies in the name, and goes with it to other values. */
  readonly nameProblem: string | null;

  constructor(name: string, value: string, line: string, named: HeaderField | null, valueProblem: string | null) {
    this.name = name;
    this.value = value;
    this.line = line;
    if (named !== null) {
      this.id = named.id;
      this.pseudo = named.pseudo;
      this.nameProblem = named.nameProblem;
    } else {
      this.id = fieldId(name);
      this.pseudo = PSEUDO_NAMES[name] ?? Pseudo.none;
      this.nameProblem = this.pseudo === Pseudo.none ? problemOfName(name, this.id) : null;
    }
    this.problem = this.nameProblem ?? valueProblem;
    // RFC 9113 §8.2.2: TE says one thing only.
    if (this.id === Field.te && value !== "trailers") this.problem ??= `te: ${value}: only "trailers" may be said`;
  }

  static of(name: string, value: string): HeaderField {
    return new HeaderField(name, value, `${name}: ${value}\r\n`, null, null);
  }

  /** Octets it takes in a dynamic table (RFC 7541 §4.1). */
  get size(): number {
    return this.name.length + this.value.length + ENTRY_OVERHEAD;
  }
}

function problemOfName(name: string, id: number): string | null {
  if (id !== 0) {
    return CONNECTION_SPECIFIC[id] === 1 ? `${name} is about a connection of HTTP/1 (RFC 9113 §8.2.2)` : null;
  }
  if (name === "") return "a field name of no octets";
  if (name.charCodeAt(0) === 0x3a) return `${JSON.stringify(name)} is not a pseudo-field`;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code === 0 || tokenLower[code] !== code) return `${JSON.stringify(name)} is not a field name in lower case`;
  }
  return null;
}

/** Why octets cannot be a field value; null: they can. */
export function problemOfValue(octets: Uint8Array, start: number, end: number): string | null {
  if (start === end) return null;
  for (let at = start; at < end; at++) {
    if (fieldValueOctet[octets[at]!] !== 1)
      return `octet 0x${octets[at]!.toString(16).padStart(2, "0")} in a field value`;
  }
  if (isSpace(octets[start]!) || isSpace(octets[end - 1]!)) return "white space around a field value";
  return null;
}

const isSpace = (octet: number): boolean => octet === 0x20 || octet === 0x09;
