/**
 * JSON by the runtime's own parser, ten times faster than with places. It says neither where a value
 * stands nor that a key came twice, so it is only for a text that nothing is to be said about.
 */
import { isPlainMap } from "../../node.ts";

const DEEPEST = 100;
const QUOTE = 0x22;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

/** The text's plain data, the same that `readJson` gives; null if that one has to look at it. */
export function quickJson(text: string): Readonly<Record<string, unknown>> | null {
  let tree: unknown;
  try {
    tree = JSON.parse(text);
  } catch {
    return null;
  }
  // Of a key that comes twice the parser keeps one, so the tree has fewer members than the text.
  return isPlainMap(tree) && membersOf(tree, 0) === colonsIn(text) ? tree : null;
}

/** Members of all maps; NaN if something in it is for `readJson` to refuse. */
function membersOf(value: unknown, depth: number): number {
  if (typeof value === "number") return Number.isFinite(value) ? 0 : Number.NaN;
  if (typeof value !== "object" || value === null) return 0;
  if (depth >= DEEPEST) return Number.NaN;
  let members = 0;
  if (Array.isArray(value)) {
    for (const item of value) members += membersOf(item, depth + 1);
    return members;
  }
  for (const key of Object.keys(value))
    members += 1 + membersOf((value as Readonly<Record<string, unknown>>)[key], depth + 1);
  return members;
}

/** Colons outside of strings: one for each member. */
function colonsIn(text: string): number {
  let colons = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === COLON) colons++;
    else if (code === QUOTE) at = endOfString(text, at);
  }
  return colons;
}

/** Where the closing quote stands; the text is valid. */
function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); ; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return at;
  }
}
