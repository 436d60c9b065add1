/**
 * Content that both ends can tell without asking each other: the path /KIND/SEED/LENGTH decides
 * every octet. Octets of another exchange, lost ones and swapped ones all show.
 */

const POOL = 4 * 1024 * 1024;
export const MAX_LENGTH = POOL / 2;
const pool = fillPool();

function fillPool(): Buffer {
  const octets = Buffer.alloc(POOL);
  let state = 0x9e3779b9;
  for (let at = 0; at < POOL; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    octets.writeInt32LE(state | 0, at);
  }
  return octets;
}

/** Not to be changed: all contents are windows of one buffer. */
export function contentOf(seed: number, length: number): Buffer {
  const from = Math.imul(seed, 7919) >>> 0;
  const at = from % (POOL - MAX_LENGTH);
  return pool.subarray(at, at + length);
}

export function pathOf(kind: string, seed: number, length: number): string {
  return `/${kind}/${seed}/${length}`;
}

export interface Wanted {
  readonly kind: string;
  readonly seed: number;
  readonly length: number;
}

/** null if it is no path of ours. */
export function parsePath(path: string): Wanted | null {
  const parts = /^\/([a-z0-9-]+)\/(\d{1,9})\/(\d{1,8})$/.exec(path);
  if (parts === null) return null;
  const length = Number(parts[3]);
  return length > MAX_LENGTH ? null : { kind: parts[1]!, seed: Number(parts[2]), length };
}
