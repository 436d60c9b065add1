/** Which precompressed sibling a client would rather have (RFC 9110 §12.5.3). */
import { parseWeighted } from "../quality.ts";
import type { Coding } from "./options.ts";

export const SUFFIX: Readonly<Record<Coding, string>> = { br: ".br", zstd: ".zst", gzip: ".gz" };

/**
 * The codings worth looking for, best first. One that the client likes less than the file as it is
 * is not among them; that it must name: by itself the plain file counts as the last resort.
 */
export function acceptableCodings(acceptEncoding: string, offered: readonly Coding[]): Coding[] {
  const weights = new Map<string, number>();
  for (const { name, q } of parseWeighted(acceptEncoding)) weights.set(name === "x-gzip" ? "gzip" : name, q);
  const rest = weights.get("*") ?? 0;
  const identity = weights.get("identity") ?? 0;
  return offered
    .map((coding) => ({ coding, q: weights.get(coding) ?? rest }))
    .filter(({ q }) => q > 0 && q >= identity)
    .toSorted((a, b) => b.q - a.q)
    .map(({ coding }) => coding);
}
