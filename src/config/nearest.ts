/** The word somebody probably meant. */

/** Edits (insert, delete, replace, swap neighbours) that turn one word into the other. */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      let edits = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + change);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) edits = Math.min(edits, before[j - 2]! + 1);
      row.push(edits);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}

/** The nearest of `known`, or null if none is near. Case, "-" and "_" count for nothing. */
export function nearest(word: string, known: Iterable<string>): string | null {
  const bare = strip(word);
  let best: string | null = null;
  let fewest = Math.max(1, Math.floor(bare.length / 3)) + 1;
  let startsAlike: string | null = null;
  for (const candidate of known) {
    const other = strip(candidate);
    if (
      startsAlike === null &&
      other.length >= 3 &&
      bare.length >= 3 &&
      (bare.startsWith(other) || other.startsWith(bare))
    ) {
      startsAlike = candidate;
    }
    if (Math.abs(other.length - bare.length) >= fewest) continue;
    const edits = editDistance(bare, other);
    if (edits < fewest) [best, fewest] = [candidate, edits];
  }
  return best ?? startsAlike;
}

const strip = (word: string) => word.slice(0, 64).toLowerCase().replace(/[-_ ]/g, "");

/** `did you mean "max"? (options: max, min)`; the list is cut after 20. */
export function suggestion(word: string, known: readonly string[], noun: string): string {
  const near = nearest(word, known);
  const list = known.length === 0 ? "none" : known.slice(0, 20).join(", ") + (known.length > 20 ? ", …" : "");
  return near === null ? `${noun}: ${list}` : `did you mean ${JSON.stringify(near)}? (${noun}: ${list})`;
}
