/**
 * Conditional requests (RFC 9110 §13): decided in the order of §13.2.2, for GET and HEAD of a
 * representation that exists.
 */
import { parseHttpDate } from "../../http/date.ts";
import { Field } from "../../http/field-name.ts";
import type { FieldSection } from "../../http/field-section.ts";

/** What a representation is recognised by. */
export interface Validators {
  /** Strong, with its quotes. */
  readonly etag: string;
  /** Milliseconds since 1970, whole seconds: as Last-Modified says it. */
  readonly lastModifiedMs: number;
}

/** 200: go on; 304 and 412 answer the request. */
export type Verdict = 200 | 304 | 412;

/** @see RFC 9110 §13.2.2, steps 1 to 4 */
export function evaluatePreconditions(fields: FieldSection, current: Validators): Verdict {
  const ifMatch = fields.get("if-match");
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, current.etag, "strong")) return 412;
  } else {
    const since = dateOf(fields.get("if-unmodified-since"));
    if (since !== null && current.lastModifiedMs > since) return 412;
  }
  const ifNoneMatch = fields.getKnown(Field["if-none-match"]);
  if (ifNoneMatch !== undefined) return matches(ifNoneMatch, current.etag, "weak") ? 304 : 200;
  const since = dateOf(fields.getKnown(Field["if-modified-since"]));
  return since !== null && current.lastModifiedMs <= since ? 304 : 200;
}

/**
 * May a Range be honoured? Without If-Range it may; with it the client's part must be of the
 * representation there is now: the same strong tag, or the very date it was given.
 *
 * @see RFC 9110 §13.1.5, §13.2.2 step 5
 */
export function isRangeCurrent(fields: FieldSection, current: Validators): boolean {
  const condition = fields.getKnown(Field["if-range"]);
  if (condition === undefined) return true;
  if (condition.startsWith('"') || condition.startsWith("W/")) return condition === current.etag;
  return dateOf(condition) === current.lastModifiedMs;
}

/** A value that is no date is ignored (RFC 9110 §13.1.3, §13.1.4). */
function dateOf(value: string | undefined): number | null {
  return value === undefined ? null : parseHttpDate(value);
}

/** An entity tag and the rest of the list (RFC 9110 §8.8.3). */
const ENTITY_TAG = /[\t ,]*(W\/)?("[\x21\x23-\x7e\x80-\xff]*")[\t ]*(?=,|$)/y;

/**
 * Is the tag in the list? Weak comparison overlooks `W/`, strong takes no weak tag (§8.8.3.2). What
 * cannot be read as a list matches nothing from there on.
 */
function matches(list: string, etag: string, comparison: "strong" | "weak"): boolean {
  if (list === "*") return true;
  ENTITY_TAG.lastIndex = 0;
  for (let tag = ENTITY_TAG.exec(list); tag !== null; tag = ENTITY_TAG.exec(list)) {
    if (tag[2] === etag && (comparison === "weak" || tag[1] === undefined)) return true;
  }
  return false;
}
