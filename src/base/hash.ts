/** Hashes for tables whose keys strangers choose: which of them collide is another matter in each process. */
import { randomInt } from "node:crypto";

const SEED = randomInt(2 ** 31);

/** @param value a whole number of up to 53 bits */
export function numberHash(value: number): number {
  return scatter(scatter(SEED ^ (value / 2 ** 32)) ^ (value % 2 ** 32));
}

export function textHash(text: string): number {
  let hash = SEED;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return scatter(hash);
}

/** Each bit of the result depends on all bits. */
function scatter(bits: number): number {
  let hash = Math.imul(bits ^ (bits >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return hash ^ (hash >>> 16);
}
