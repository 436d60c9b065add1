/**
 * nginx's ketama ring: each endpoint stands at 160 points per unit of weight on a ring of 2^32, and a
 * key belongs to the first point at or after its hash. Adding an endpoint takes keys from all others
 * and moves none between them.
 */
import type { Endpoint } from "../endpoint.ts";
import { CRC_START, crcNumber, crcOf, crcText } from "./crc32.ts";

const POINTS_PER_WEIGHT = 160;
/** Points at most, 8 octets each: beyond it everybody has proportionally fewer. */
const MAX_POINTS = 1 << 20;

export class HashRing {
  #endpoints: readonly Endpoint[] = [];
  /** What the ring was made of. */
  #made = "";
  #points = new Uint32Array(0);
  /** Index of the endpoint that each point belongs to. */
  #owners = new Uint32Array(0);

  /** @param endpoints with a weight above 0 */
  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
    const made = endpoints.map(({ address, weight }) => `${address} ${weight}`).join("\n");
    if (made === this.#made) return;
    this.#made = made;
    this.#build();
  }

  get points(): number {
    return this.#points.length;
  }

  /** Number of the first point at or after a hash. There must be endpoints. */
  find(hash: number): number {
    const points = this.#points;
    let low = 0;
    for (let high = points.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if (points[middle]! < hash) low = middle + 1;
      else high = middle;
    }
    return low === points.length ? 0 : low;
  }

  /** @param point any number from `find` on: the ring is closed */
  at(point: number): Endpoint {
    return this.#endpoints[this.#owners[point % this.#owners.length]!]!;
  }

  #build(): void {
    const endpoints = this.#endpoints;
    const wanted = endpoints.reduce((sum, { weight }) => sum + weight, 0) * POINTS_PER_WEIGHT;
    const perWeight = wanted <= MAX_POINTS ? POINTS_PER_WEIGHT : (POINTS_PER_WEIGHT * MAX_POINTS) / wanted;
    const counts = endpoints.map(({ weight }) => Math.max(1, Math.round(weight * perWeight)));
    const points = new Uint32Array(counts.reduce((sum, count) => sum + count, 0));
    const owners = new Uint32Array(points.length);
    let at = 0;
    for (let i = 0; i < endpoints.length; i++) {
      const seed = seedOf(endpoints[i]!.address);
      for (let left = counts[i]!, point = 0; left > 0; left--) {
        point = crcOf(crcNumber(seed, point));
        points[at] = point;
        owners[at++] = i;
      }
    }
    sortByPoint(points, owners);
    // Of equal points the first one counts.
    let kept = 0;
    for (let i = 0; i < points.length; i++) {
      if (kept > 0 && points[i] === points[kept - 1]) continue;
      points[kept] = points[i]!;
      owners[kept++] = owners[i]!;
    }
    this.#points = points.subarray(0, kept);
    this.#owners = owners.subarray(0, kept);
  }
}

/** Host, NUL, port; a socket path has no port. */
function seedOf(address: string): number {
  const [, host, port = ""] = address.startsWith("unix:")
    ? address.split(/^unix:/)
    : /^(.*?)(?::(\d*))?$/.exec(address)!;
  return crcText(CRC_START, `${host}\0${port}`);
}

/** Sorts both by the first, octet by octet from the lowest: many times faster than comparing, and equals keep their order. */
function sortByPoint(points: Uint32Array<ArrayBuffer>, owners: Uint32Array<ArrayBuffer>): void {
  const otherPoints = new Uint32Array(points.length);
  const otherOwners = new Uint32Array(points.length);
  let [from, fromOwners, to, toOwners] = [points, owners, otherPoints, otherOwners];
  for (let shift = 0; shift < 32; shift += 8) {
    const places = new Uint32Array(257);
    for (let i = 0; i < from.length; i++) places[((from[i]! >>> shift) & 255) + 1]!++;
    for (let octet = 0; octet < 256; octet++) places[octet + 1]! += places[octet]!;
    for (let i = 0; i < from.length; i++) {
      const place = places[(from[i]! >>> shift) & 255]!++;
      to[place] = from[i]!;
      toOwners[place] = fromOwners[i]!;
    }
    [from, fromOwners, to, toOwners] = [to, toOwners, from, fromOwners];
  }
}
