/**
 * Byte ranges (RFC 9110 §14.1.2, §14.2).
 *
 * What asks for more work than it is worth is answered with the whole: more than 16 ranges, or a
 * field that does not parse. Ranges that overlap, or lie so near to each other that another part's
 * head would be longer than the gap, are joined; so the parts together are never longer than the file.
 */

/** First octet, and the one after the last. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

const MAX_RANGES = 16;
/** About what a part costs besides its content. */
const PART_HEAD_OCTETS = 80;

const BYTES = /^bytes=/i;
const SPEC = /^[\t ]*(\d*)-(\d*)[\t ]*$/;

/**
 * @param size octets of the whole
 * @returns in the order asked for; "unsatisfiable" if none of them lies within the whole (416);
 *          null to ignore the field
 *
 * @example parseRanges("bytes=0-1,-1", 10) // [{ start: 0, end: 2 }, { start: 9, end: 10 }]
 */
export function parseRanges(value: string, size: number): ByteRange[] | "unsatisfiable" | null {
  if (!BYTES.test(value)) return null; // Other units are unknown here (§14.2).
  const specs = value
    .slice("bytes=".length)
    .split(",", MAX_RANGES + 1)
    .filter((spec) => !/^[\t ]*$/.test(spec));
  if (specs.length === 0 || specs.length > MAX_RANGES) return null;
  const ranges: ByteRange[] = [];
  for (const spec of specs) {
    const range = parseSpec(spec, size);
    if (range === null) return null;
    if (range !== "unsatisfiable") ranges.push(range);
  }
  if (ranges.length > 0) return coalesce(ranges);
  // A suffix of an empty file is satisfiable, but no Content-Range can say so: the whole is sent.
  return size === 0 && specs.some((spec) => /^[\t ]*-0*[1-9]/.test(spec)) ? null : "unsatisfiable";
}

function parseSpec(spec: string, size: number): ByteRange | "unsatisfiable" | null {
  const [, first = "", last = ""] = SPEC.exec(spec) ?? [];
  if (first === "" && last === "") return null;
  if (first === "") {
    const length = Math.min(Number(last), size);
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size };
  }
  const start = Number(first);
  const lastIncluded = last === "" ? Infinity : Number(last);
  if (lastIncluded < start) return null;
  return start >= size ? "unsatisfiable" : { start, end: Math.min(lastIncluded + 1, size) };
}

/** A joined range stands where the first of its members stood (RFC 9110 §15.3.7.2). */
function coalesce(ranges: readonly ByteRange[]): ByteRange[] {
  const joined: ByteRange[] = [];
  for (const range of ranges) {
    let { start, end } = range;
    let place = joined.length;
    for (let i = joined.length - 1; i >= 0; i--) {
      const other = joined[i]!;
      if (start > other.end + PART_HEAD_OCTETS || other.start > end + PART_HEAD_OCTETS) continue;
      start = Math.min(start, other.start);
      end = Math.max(end, other.end);
      joined.splice(i, 1);
      place = Math.min(place, i);
      i = joined.length; // It has grown and may reach others now.
    }
    joined.splice(place, 0, { start, end });
  }
  return joined;
}
