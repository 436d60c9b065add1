/** Differences between two texts, line by line, as a unified diff. */

interface Change {
  readonly kind: " " | "-" | "+";
  readonly line: string;
}

/**
 * Beyond this many differing lines no shortest way is looked for: the time it takes grows with its
 * square, and nobody reads it.
 */
const MAX_EDITS = 2000;

/** @returns "" if they say the same */
export function unifiedDiff(from: string, to: string, fromName: string, toName: string, context = 3): string {
  if (from === to) return "";
  const changes = changesBetween(linesOf(from), linesOf(to));
  const lines = [`--- ${fromName}`, `+++ ${toName}`];
  let fromLine = 1;
  let toLine = 1;
  let done = 0;
  for (const [start, end] of hunks(changes, context)) {
    for (; done < start; done++) [fromLine, toLine] = passed(changes[done]!, fromLine, toLine);
    const part = changes.slice(start, end);
    const inFrom = part.filter(({ kind }) => kind !== "+").length;
    const inTo = part.filter(({ kind }) => kind !== "-").length;
    lines.push(`@@ -${range(fromLine, inFrom)} +${range(toLine, inTo)} @@`);
    for (const { kind, line } of part) lines.push(kind + line);
  }
  return `${lines.join("\n")}\n`;
}

const linesOf = (text: string): string[] => (text === "" ? [] : text.replace(/\n$/, "").split("\n"));

const passed = ({ kind }: Change, from: number, to: number): [number, number] => [
  from + (kind === "+" ? 0 : 1),
  to + (kind === "-" ? 0 : 1),
];

/** A hunk without lines on one side stands behind the line before it. */
const range = (start: number, count: number): string =>
  count === 1 ? String(start) : `${count === 0 ? start - 1 : start},${count}`;

/** Stretches of changes with what stands around them; those whose surroundings meet are one. */
function hunks(changes: readonly Change[], context: number): [number, number][] {
  const found: [number, number][] = [];
  for (const [i, { kind }] of changes.entries()) {
    if (kind === " ") continue;
    const start = Math.max(0, i - context);
    const end = Math.min(changes.length, i + context + 1);
    const last = found.at(-1);
    if (last !== undefined && start <= last[1]) last[1] = end;
    else found.push([start, end]);
  }
  return found;
}

function changesBetween(from: readonly string[], to: readonly string[]): Change[] {
  let start = 0;
  while (start < from.length && start < to.length && from[start] === to[start]) start++;
  let end = 0;
  while (end < from.length - start && end < to.length - start && from.at(-1 - end) === to.at(-1 - end)) end++;
  const kept = (line: string): Change => ({ kind: " ", line });
  return [
    ...from.slice(0, start).map(kept),
    ...shortestEdit(from.slice(start, from.length - end), to.slice(start, to.length - end)),
    ...from.slice(from.length - end).map(kept),
  ];
}

/** E. Myers, An O(ND) Difference Algorithm and Its Variations (1986). */
function shortestEdit(from: readonly string[], to: readonly string[]): Change[] {
  const limit = Math.min(from.length + to.length, MAX_EDITS);
  /** By diagonal (index of `from` minus index of `to`): how far one gets in `from`, for each number of edits. */
  const reached: Map<number, number>[] = [];
  let furthest = new Map([[1, 0]]);
  for (let edits = 0; edits <= limit; edits++) {
    const next = new Map<number, number>();
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      const down = furthest.get(diagonal + 1) ?? -1;
      const right = (furthest.get(diagonal - 1) ?? -2) + 1;
      let x = diagonal === -edits || (diagonal !== edits && right <= down) ? down : right;
      while (x < from.length && x - diagonal < to.length && x >= 0 && from[x] === to[x - diagonal]) x++;
      if (x < 0 || x > from.length || x - diagonal > to.length) continue;
      next.set(diagonal, x);
      if (x === from.length && x - diagonal === to.length) return walkBack([...reached, next], from, to);
    }
    reached.push(next);
    furthest = next;
  }
  return [...from.map((line): Change => ({ kind: "-", line })), ...to.map((line): Change => ({ kind: "+", line }))];
}

function walkBack(
  reached: readonly ReadonlyMap<number, number>[],
  from: readonly string[],
  to: readonly string[],
): Change[] {
  const changes: Change[] = [];
  let x = from.length;
  let y = to.length;
  for (let edits = reached.length - 1; edits > 0; edits--) {
    const before = reached[edits - 1]!;
    const diagonal = x - y;
    const down = before.get(diagonal + 1) ?? -1;
    const right = (before.get(diagonal - 1) ?? -2) + 1;
    const inserted = diagonal === -edits || (diagonal !== edits && right <= down);
    const startX = inserted ? down : right - 1;
    const startY = inserted ? down - (diagonal + 1) : right - 1 - (diagonal - 1);
    const afterX = inserted ? startX : startX + 1;
    while (x > afterX) {
      changes.push({ kind: " ", line: from[--x]! });
      y--;
    }
    changes.push(inserted ? { kind: "+", line: to[startY]! } : { kind: "-", line: from[startX]! });
    x = startX;
    y = startY;
  }
  while (x > 0) changes.push({ kind: " ", line: from[--x]! });
  return changes.reverse();
}
