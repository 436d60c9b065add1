/**
 * Identity over reloads: what a config says as the one before did is the very same object. Whoever makes
 * something of a piece of a config keeps it with that object, and so has it still after a reload that
 * changes other pieces (the schema here, the router, the supervisor's way to the workers).
 *
 * It holds as long as nobody changes a config's tree, or what was made of it.
 */
import type { z } from "zod";
import { isPlainMap } from "./node.ts";

/**
 * Plain data with the objects of `before` in all places where both say the same. Items of lists are
 * compared by their name if they have one, else by their place, from both ends.
 * @param next is changed
 */
export function keepSame<T>(next: T, before: unknown): T {
  return same(next, before) as T;
}

function same(next: unknown, before: unknown): unknown {
  if (typeof next !== "object" || typeof before !== "object" || next === null || before === null) return next;
  if (next === before) return before;
  if (Array.isArray(next)) return Array.isArray(before) ? sameList(next, before) : next;
  return isPlainMap(before) ? sameMap(next as Record<string, unknown>, before) : next;
}

function sameList(next: unknown[], before: readonly unknown[]): unknown[] {
  const shift = before.length - next.length;
  let isSame = true;
  let named: Map<string | undefined, unknown> | null = null;
  for (let i = 0; i < next.length; i++) {
    const item = next[i];
    const name = nameOf(item);
    let partner = before[isSame ? i : i + shift];
    if (name !== undefined && name !== nameOf(partner)) {
      named ??= new Map(before.map((one) => [nameOf(one), one]));
      partner = named.get(name);
    }
    const kept = same(item, partner);
    next[i] = kept;
    isSame &&= kept === before[i];
  }
  return isSame && shift === 0 ? (before as unknown[]) : next;
}

function nameOf(item: unknown): string | undefined {
  const name = isPlainMap(item) ? item["name"] : undefined;
  return typeof name === "string" ? name : undefined;
}

function sameMap(next: Record<string, unknown>, before: Readonly<Record<string, unknown>>): unknown {
  const keys = Object.keys(next);
  const known = Object.keys(before);
  let isSame = keys.length === known.length;
  for (const [i, key] of keys.entries()) {
    const value = next[key];
    isSame &&= known[i] === key;
    if (!Object.hasOwn(before, key)) continue;
    const kept = same(value, before[key]);
    if (kept !== value) next[key] = kept;
    isSame &&= kept === before[key];
  }
  return isSame ? before : next;
}

/** The schema, which gives the same result for the same object. Reading it again takes a hundred times as long. */
export function remembering<Schema extends z.ZodType>(schema: Schema): Schema {
  const known = new WeakMap<object, unknown>();
  const { run } = schema._zod;
  schema._zod.run = (payload, ctx) => {
    const { value } = payload;
    if (typeof value !== "object" || value === null) return run(payload, ctx);
    const result = known.get(value);
    if (result !== undefined) {
      payload.value = result;
      return payload;
    }
    const read = run(payload, ctx);
    if (!(read instanceof Promise) && read.issues.length === 0) known.set(value, read.value);
    return read;
  };
  return schema;
}
