/** From weights and priorities of SRV records (RFC 2782) to those of endpoints. */

interface Graded {
  readonly host: string;
  readonly port: number;
  /** 0 to 65535, lower ones first. */
  readonly priority: number;
  /** 0 to 65535. */
  readonly weight: number;
}

const HIGHEST = 1000;
/** What weight 0 ("a very small chance") is to the highest weight beside it, at most. */
const ZERO_SHARE = 100;

/**
 * Priorities become 0, 1, 2 … in their order. Weights stay as they are where they can: they are
 * scaled down if one is over 1000, and up so that one of 0 becomes 1 and is still small. What comes
 * twice is joined: the lowest priority counts, its weights are added up.
 */
export function gradesOf<T extends Graded>(records: readonly T[]): T[] {
  const joined = join(records);
  const ranks = [...new Set(joined.map(({ priority }) => priority))].sort((a, b) => a - b);
  return ranks.flatMap((priority, rank) => {
    const group = joined.filter((record) => record.priority === priority);
    const scale = scaleOf(group.map(({ weight }) => weight));
    const scaled = (weight: number) => Math.max(1, Math.round(weight * scale));
    return group.map((record) => ({ ...record, priority: rank, weight: scaled(record.weight) }));
  });
}

/** One record per host and port. */
function join<T extends Graded>(records: readonly T[]): T[] {
  const joined = new Map<string, T>();
  for (const record of records) {
    const key = `${record.host} ${record.port}`;
    const known = joined.get(key);
    if (known === undefined || record.priority < known.priority) joined.set(key, record);
    else if (record.priority === known.priority) joined.set(key, { ...known, weight: known.weight + record.weight });
  }
  return [...joined.values()];
}

function scaleOf(weights: readonly number[]): number {
  const highest = Math.max(...weights);
  if (highest > HIGHEST) return HIGHEST / highest;
  return highest > 0 && highest < ZERO_SHARE && weights.includes(0) ? ZERO_SHARE / highest : 1;
}
