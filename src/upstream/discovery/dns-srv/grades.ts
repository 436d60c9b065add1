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
  const ranks = [...new Set(records.map(({ priority }) => priority))].sort((a, b) => a - b);
  const seen = new Set<string>();
  const graded: T[] = [];
  for (const [rank, priority] of ranks.entries()) {
    const group = new Map<string, T>();
    for (const record of records) {
      const key = `${record.host} ${record.port}`;
      if (record.priority !== priority || seen.has(key)) continue;
      const known = group.get(key);
      group.set(key, { ...record, weight: record.weight + (known?.weight ?? 0) });
    }
    const scale = scaleOf([...group.values()].map(({ weight }) => weight));
    for (const [key, record] of group) {
      seen.add(key);
      graded.push({ ...record, priority: rank, weight: Math.max(1, Math.round(record.weight * scale)) });
    }
  }
  return graded;
}

function scaleOf(weights: readonly number[]): number {
  const highest = Math.max(...weights);
  if (highest > HIGHEST) return HIGHEST / highest;
  return highest > 0 && highest < ZERO_SHARE && weights.includes(0) ? ZERO_SHARE / highest : 1;
}
