/**
 * From the fields as the runtime gives them to the head of a request: it checks nothing (a value may
 * hold CR LF, a path anything), so every rule is kept here, and they are those of HTTP/2
 * (http2/message-head.ts, http2/request-head.ts; RFC 9114 §4.2 and §4.3 say the same).
 */
import { fieldValueOctet } from "../../http/grammar.ts";
import type { QuicFields } from "../../net/quic-runtime.ts";
import type { HeadLimits } from "../http1/head-decoder.ts";
import { HeaderField } from "../http2/hpack/header-field.ts";
import type { HeadKind, MessageHead } from "../http2/message-head.ts";

/** Field lines that the runtime takes beyond our limit, so that we see that there were too many: it says nothing of those it leaves out. */
export const SPARE_LINES = 256;

/** Octets of field lines that the runtime takes. Only one line that is larger than what is left of it is lost unseen. */
export const runtimeFieldOctets = ({ requestLineOctets, fieldSectionOctets }: HeadLimits): number =>
  Math.max(256 * 1024, 4 * (requestLineOctets + fieldSectionOctets));

/** Reads fields into a head, for `problem`, `tooLarge` and the rest of it to be looked at. */
export function readFields(head: MessageHead, kind: HeadKind, fields: QuicFields, limits: HeadLimits): void {
  head.begin(kind, limits);
  const names = Object.keys(fields);
  let lines = 0;
  // Names that look like numbers stand before all others in the runtime's object, whatever came first.
  for (const name of names) if (name.startsWith(":")) lines += take(head, name, fields[name]!);
  for (const name of names) if (!name.startsWith(":")) lines += take(head, name, fields[name]!);
  if (lines >= limits.fieldCount + SPARE_LINES) head.refuseTooMany();
}

function take(head: MessageHead, name: string, value: string | readonly string[]): number {
  if (typeof value === "string") {
    head.onField(fieldOf(name, value));
    return 1;
  }
  for (const one of value) head.onField(fieldOf(name, one));
  return value.length;
}

function fieldOf(name: string, value: string): HeaderField {
  return new HeaderField(name, value, `${name}: ${value}\r\n`, null, problemOfText(value));
}

/** Why a text cannot be a field value; null: it can. */
function problemOfText(text: string): string | null {
  const { length } = text;
  if (length === 0) return null;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255) return "a field value that is not octets";
    if (fieldValueOctet[code] !== 1) return `octet 0x${code.toString(16).padStart(2, "0")} in a field value`;
  }
  if (isSpace(text.charCodeAt(0)) || isSpace(text.charCodeAt(length - 1))) return "white space around a field value";
  return null;
}

const isSpace = (code: number): boolean => code === 0x20 || code === 0x09;
