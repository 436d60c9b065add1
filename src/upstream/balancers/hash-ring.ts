/**
 * nginx's ketama ring: each endpoint stands at 160 points per unit of weight on a ring of 2^32, and a
 * key belongs to the first point at or after its hash. Adding an endpoint takes keys from all others
 * and moves none between them.
 *
 * A ring of many endpoints takes tens of milliseconds to make, which traffic would wait for. So points
 * of those that stay are kept, and a change costs one pass over them.
 */
import type { Endpoint } from "../endpoint.ts";
import { CRC_START, crcNumber, crcOf, crcText } from "./crc32.ts";

const POINTS_PER_WEIGHT = 160;
/** Points at most, 8 octets each: beyond it everybody has proportionally fewer. */
const MAX_POINTS = 1 << 20;
/** A point is kept as its place on the ring times this plus the number of its owner: 52 bits, exact, and sorted as a number. */
const OWNERS = 2 ** 20;

export class HashRing {
  #points = new Float64Array(0);
  /** By number; one that is not in use is undefined. */
  #owners: (Endpoint | undefined)[] = [];
  /** Number of each owner, by address and weight. */
  #numbers: ReadonlyMap<string, number> = new Map();
  #perWeight = POINTS_PER_WEIGHT;

  /** @param endpoints with a weight above 0, less than 2^20 of them */
  update(endpoints: readonly Endpoint[]): void {
    const perWeight = pointsPerWeight(endpoints);
    if (perWeight !== this.#perWeight) {
      this.#perWeight = perWeight;
      this.#numbers = new Map();
    }
    const numbers = new Map<string, number>();
    const owners: (Endpoint | undefined)[] = new Array(this.#owners.length).fill(undefined);
    const added: [string, Endpoint][] = [];
    for (const endpoint of endpoints) {
      const key = `${endpoint.address} ${endpoint.weight}`;
      const number = this.#numbers.get(key);
      if (number === undefined) added.push([key, endpoint]);
      else {
        numbers.set(key, number);
        owners[number] = endpoint;
      }
    }
    const kept =
      numbers.size === this.#numbers.size && this.#numbers.size > 0 ? this.#points : pointsOf(this.#points, owners);
    let free = 0;
    const fresh = added.map(([key, endpoint]) => {
      while (owners[free] !== undefined) free++;
      owners[free] = endpoint;
      numbers.set(key, free);
      return pointsOn(endpoint, free, perWeight);
    });
    this.#owners = owners;
    this.#numbers = numbers;
    this.#points = fresh.length === 0 ? kept : merged(kept, joined(fresh).sort());
  }

  get points(): number {
    return this.#points.length;
  }

  /** Number of the first point at or after a hash. There must be endpoints. */
  find(hash: number): number {
    const points = this.#points;
    const least = hash * OWNERS;
    let low = 0;
    for (let high = points.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if (points[middle]! < least) low = middle + 1;
      else high = middle;
    }
    return low === points.length ? 0 : low;
  }

  /** @param point any number from `find` on: the ring is closed */
  at(point: number): Endpoint {
    return this.#owners[ownerOf(this.#points[point % this.#points.length]!)]!;
  }
}

const ownerOf = (point: number): number => point - Math.floor(point / OWNERS) * OWNERS;

function pointsPerWeight(endpoints: readonly Endpoint[]): number {
  const wanted = endpoints.reduce((sum, { weight }) => sum + weight, 0) * POINTS_PER_WEIGHT;
  return wanted <= MAX_POINTS ? POINTS_PER_WEIGHT : (POINTS_PER_WEIGHT * MAX_POINTS) / wanted;
}

/** The points of those who are still there. */
function pointsOf(points: Float64Array, owners: readonly unknown[]): Float64Array<ArrayBuffer> {
  const kept = new Float64Array(points.length);
  let count = 0;
  for (let i = 0; i < points.length; i++) {
    const point = points[i]!;
    if (owners[ownerOf(point)] !== undefined) kept[count++] = point;
  }
  return kept.slice(0, count);
}

/** Where an endpoint stands: each point is the hash of its address and the point before. */
function pointsOn({ address, weight }: Endpoint, number: number, perWeight: number): Float64Array {
  const points = new Float64Array(Math.max(1, Math.round(weight * perWeight)));
  const seed = seedOf(address);
  for (let i = 0, point = 0; i < points.length; i++) {
    point = crcOf(crcNumber(seed, point));
    points[i] = point * OWNERS + number;
  }
  return points;
}

/** Host, NUL, port; a socket path has no port. */
function seedOf(address: string): number {
  const [, host, port = ""] = address.startsWith("unix:")
    ? address.split(/^unix:/)
    : /^(.*?)(?::(\d*))?$/.exec(address)!;
  return crcText(CRC_START, `${host}\0${port}`);
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const whole = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Two sorted lists as one. */
function merged(some: Float64Array, others: Float64Array): Float64Array<ArrayBuffer> {
  const all = new Float64Array(some.length + others.length);
  for (let at = 0, i = 0, j = 0; at < all.length; at++) {
    const first = j === others.length || (i < some.length && some[i]! < others[j]!);
    all[at] = first ? some[i++]! : others[j++]!;
  }
  return all;
}
