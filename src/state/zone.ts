/**
 * The zone: memory that the supervisor and all workers share, so that one scrape, one health
 * state and one limit cover them all without a message.
 *
 * It is a file in /dev/shm without a name: unlinked as soon as it is open, inherited by workers as
 * a descriptor, and gone with the last process that holds it, however that ends. Its size is fixed
 * at the start, and its header says what it is; which cell means what is decided by the supervisor
 * (state/placement.ts), and workers are told. Cells nobody has touched cost no memory.
 *
 * - totals: Float64 per slot. Only the worker in that slot writes; readers add the slots up. A
 *   worker that takes the slot over goes on adding.
 * - levels: Int32 per slot, what the slot's worker holds right now (connections, exchanges in
 *   flight). Only that worker writes; the supervisor zeroes them when it has died.
 * - shared: Int32 that anybody may change, by `Atomics` only. Plain `++` from four processes lost
 *   a quarter of the increments.
 * - times: Float64 that anybody may set: the last writer wins.
 */
import { closeSync, ftruncateSync, openSync, statfsSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import type { AreaSizes } from "./placement.ts";

/** `totals` and `levels` are cells per slot. */
export interface ZoneShape extends AreaSizes {
  readonly slots: number;
}

const MAGIC = 0x4c4e544c; // "LNTL"
const LAYOUT_VERSION = 2;
const HEADER_OCTETS = 64;
/** Slots begin on cache lines of their own, else two workers would fight over one. */
const LINE_OCTETS = 64;

export class Zone {
  readonly shape: ZoneShape;
  /** Descriptor to hand to workers. */
  readonly fd: number;
  readonly totals: readonly Float64Array[];
  readonly levels: readonly Int32Array[];
  readonly shared: Int32Array;
  readonly times: Float64Array;

  constructor(shape: ZoneShape, fd: number, octets: Uint8Array) {
    this.shape = shape;
    this.fd = fd;
    const { buffer, byteOffset } = octets;
    const at = layout(shape);
    this.times = new Float64Array(buffer, byteOffset + HEADER_OCTETS, shape.times);
    this.shared = new Int32Array(buffer, byteOffset + HEADER_OCTETS + shape.times * 8, shape.shared);
    this.totals = at.slots.map((start) => new Float64Array(buffer, byteOffset + start, shape.totals));
    this.levels = at.slots.map((start) => new Int32Array(buffer, byteOffset + start + shape.totals * 8, shape.levels));
  }

  get slots(): number {
    return this.shape.slots;
  }

  /** A total over all slots. */
  total(cell: number): number {
    let sum = 0;
    for (const cells of this.totals) sum += cells[cell]!;
    return sum;
  }

  /** A level over all slots. */
  level(cell: number): number {
    let sum = 0;
    for (const cells of this.levels) sum += cells[cell]!;
    return sum;
  }

  /** What the slot's worker held is gone with it. */
  clearLevels(slot: number): void {
    this.levels[slot]!.fill(0);
  }

  /** Zeroes cells that will mean something else. */
  clear(area: keyof AreaSizes, first: number, cells: number): void {
    const arrays = area === "shared" || area === "times" ? [this[area]] : this[area];
    for (const array of arrays) array.fill(0, first, first + cells);
  }

  close(): void {
    closeSync(this.fd);
  }
}

/**
 * Makes a zone with every cell zero.
 * @param folders tried in order; one without room is skipped, because touching a page that the
 *                file system cannot give ends the process
 */
export function createZone(shape: ZoneShape, folders: readonly string[] = ["/dev/shm", tmpdir()]): Zone {
  const { octets } = layout(shape);
  const fd = createNameless(octets, folders);
  const memory = map(fd);
  header(memory).set(headerOf(shape));
  return new Zone(shape, fd, memory);
}

/**
 * Maps an inherited zone.
 * @throws {Error} if it is not one, or of another version of the program
 */
export function openZone(fd: number): Zone {
  const memory = map(fd);
  const [magic, version, slots, totals, levels, shared, times] = header(memory);
  if (magic !== MAGIC || version !== LAYOUT_VERSION) {
    throw new Error(`the shared zone is of another program: found ${magic} version ${version}`);
  }
  return new Zone({ slots: slots!, totals: totals!, levels: levels!, shared: shared!, times: times! }, fd, memory);
}

function layout(shape: ZoneShape): { octets: number; slots: number[] } {
  const first = roundUp(HEADER_OCTETS + shape.times * 8 + shape.shared * 4);
  const perSlot = roundUp(shape.totals * 8 + shape.levels * 4);
  const slots = Array.from({ length: shape.slots }, (_, slot) => first + slot * perSlot);
  return { octets: first + shape.slots * perSlot, slots };
}

const roundUp = (octets: number): number => Math.ceil(octets / LINE_OCTETS) * LINE_OCTETS;

const header = (memory: Uint8Array): Int32Array => new Int32Array(memory.buffer, memory.byteOffset, 7);

const headerOf = (shape: ZoneShape): number[] => [
  MAGIC,
  LAYOUT_VERSION,
  shape.slots,
  shape.totals,
  shape.levels,
  shape.shared,
  shape.times,
];

/** Opening through /proc reaches the file although it has no name any more. */
const map = (fd: number): Uint8Array => Bun.mmap(`/proc/self/fd/${fd}`, { shared: true });

function createNameless(octets: number, folders: readonly string[]): number {
  const refusals: string[] = [];
  for (const folder of folders) {
    try {
      const { bavail, bsize } = statfsSync(folder);
      if (bavail * bsize < octets) throw new Error(`${bavail * bsize} of ${octets} octets free`);
      const path = `${folder}/lintel-zone-${crypto.randomUUID()}`;
      const fd = openSync(path, "wx+", 0o600);
      unlinkSync(path);
      ftruncateSync(fd, octets);
      return fd;
    } catch (error) {
      refusals.push(`${folder}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(`no place for the shared zone (${refusals.join("; ")})`);
}
