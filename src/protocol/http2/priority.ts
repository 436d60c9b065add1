/**
 * What a client or an origin server says of a response's urgency (RFC 9218 §4): a dictionary of
 * structured fields, `u=0` to `u=7` and `i`. What is not understood counts as not said.
 *
 * A priority is one small number, so that it costs nothing to keep. Whoever says nothing shares: the
 * RFC's default would have each such response wait for the ones before it, and clients that do not
 * know of priorities (curl, gRPC) expect no such thing.
 */
export type Priority = number;

export const URGENCIES = 8;
const DEFAULT_URGENCY = 3;
/** Bits beside the urgency: takes turns with others of the same urgency; nobody has said anything. */
const SHARES = 8;
const UNSAID = 16;

export const NO_PRIORITY: Priority = DEFAULT_URGENCY | SHARES | UNSAID;

export const urgencyOf = (priority: Priority): number => priority & 7;
/** It takes turns with others of the same urgency; else it goes before those that came later. */
export const isShared = (priority: Priority): boolean => (priority & SHARES) !== 0;

/** One member of a dictionary with what follows it (RFC 8941 §4.2.2); parameters are passed over. */
const MEMBER =
  /[ \t]*([a-z*][a-z0-9_.*-]*)(?:=("(?:[^"\\]|\\.)*"|\([^)]*\)|[^\s,;"()]+))?(?:;[ \t]*[a-z*][a-z0-9_.*-]*(?:=(?:"(?:[^"\\]|\\.)*"|[^\s,;"()]+))?)*[ \t]*(,|$)/y;

/** A longer value is no priority that anybody means. */
const MAX_OCTETS = 256;

/** Browsers send a handful of values, again and again. */
const known = new Map<string, { urgency: number; isIncremental: boolean | null } | null>();
const MOST_KNOWN = 256;

/**
 * @param before what it is put over: a member that is left out keeps its value (RFC 9218 §8)
 * @returns `before` if the value says nothing
 */
export function readPriority(value: string, before: Priority = NO_PRIORITY): Priority {
  if (value.length > MAX_OCTETS) return before;
  let said = known.get(value);
  if (said === undefined) {
    said = parse(value);
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(value, said);
  }
  if (said === null) return before;
  const urgency = said.urgency < 0 ? urgencyOf(before) : said.urgency;
  // Whoever speaks of priorities, and not of this one, has said "not incremental" (RFC 9218 §4.2).
  const isIncremental = said.isIncremental ?? (before & (SHARES | UNSAID)) === SHARES;
  return urgency | (isIncremental ? SHARES : 0);
}

function parse(value: string): { urgency: number; isIncremental: boolean | null } | null {
  let urgency = -1;
  let isIncremental: boolean | null = null;
  let saysSomething = false;
  MEMBER.lastIndex = 0;
  for (let more = true; more; ) {
    const member = MEMBER.exec(value);
    if (member === null) return null;
    const [, key, item, end] = member;
    if (key === "u" && item !== undefined && /^[0-7]$/.test(item)) {
      urgency = Number(item);
      saysSomething = true;
    } else if (key === "i" && (item === undefined || item === "?1" || item === "?0")) {
      isIncremental = item !== "?0";
      saysSomething = true;
    }
    more = end === ",";
  }
  return saysSomething ? { urgency, isIncremental } : null;
}
