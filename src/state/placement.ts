/**
 * Which cells of the zone belong to what. The supervisor decides, by key, so that the same thing has
 * the same cells through all reloads; workers are told, in the order in which they ask.
 *
 * Cells that nobody uses any more are taken last: somebody may still count in them (an exchange
 * that began under an older config).
 */

/** The arrays of the zone (state/zone.ts). */
export type Area = "totals" | "levels" | "shared" | "times";
export const AREAS: readonly Area[] = ["totals", "levels", "shared", "times"];

export type AreaSizes = Readonly<Record<Area, number>>;

export interface Placement {
  /**
   * First of `cells` neighbouring cells.
   * @param key says what they are for; the same key gives the same cells
   * @throws {ZoneFull}
   */
  place(area: Area, key: string, cells: number): number;
  /**
   * Goes on with places that were given before and have been in use since.
   * @returns false if they have to be asked for again
   */
  keep(noted: Noted): boolean;
}

/** What was placed, in the order in which it was asked for. */
export interface Noted {
  readonly places: readonly number[];
  readonly keys: readonly PlacedKey[];
}

export type PlacedKey = readonly [area: Area, key: string, cells: number];

/** The config needs more room than the zone was made with. */
export class ZoneFull extends Error {
  constructor(readonly area: Area) {
    super(
      `the shared zone is full (${area}): raise \`zone.growth\` for metrics or \`zone.endpoints\` for endpoints, and restart or \`lintel upgrade\``,
    );
  }
}

/** One after the other from some place on: counts what a zone needs, or fills a block. */
export class Sequence implements Placement {
  readonly sizes: Record<Area, number>;

  constructor(start: Partial<AreaSizes> = {}) {
    this.sizes = { totals: 0, levels: 0, shared: 0, times: 0, ...start };
  }

  place(area: Area, _key: string, cells: number): number {
    const first = this.sizes[area];
    this.sizes[area] += cells;
    return first;
  }

  keep(): boolean {
    return false;
  }
}

interface Room {
  readonly cells: number;
  readonly first: number;
}

/** The supervisor's: remembers what lies where. */
export class Allocation implements Placement {
  readonly #sizes: AreaSizes;
  readonly #used: Record<Area, number> = { totals: 0, levels: 0, shared: 0, times: 0 };
  readonly #places = new Map<string, Room>();
  /** Given back, oldest first, by area and number of cells. */
  readonly #free = new Map<string, number[]>();
  readonly #clear: (area: Area, first: number, cells: number) => void;

  /** @param clear zeroes cells that are used for something else from now on */
  constructor(sizes: AreaSizes, clear: (area: Area, first: number, cells: number) => void) {
    this.#sizes = sizes;
    this.#clear = clear;
  }

  place(area: Area, key: string, cells: number): number {
    const id = `${area} ${cells} ${key}`;
    const known = this.#places.get(id);
    if (known !== undefined) return known.first;
    const first = this.#fresh(area, cells) ?? this.#reused(area, cells);
    this.#places.set(id, { cells, first });
    return first;
  }

  keep(): boolean {
    return true;
  }

  /** Gives back what one key had. */
  free(area: Area, key: string, cells: number): void {
    const id = `${area} ${cells} ${key}`;
    const room = this.#places.get(id);
    if (room === undefined) return;
    this.#places.delete(id);
    const size = `${area} ${cells}`;
    const free = this.#free.get(size);
    if (free === undefined) this.#free.set(size, [room.first]);
    else free.push(room.first);
  }

  #fresh(area: Area, cells: number): number | null {
    const first = this.#used[area];
    if (first + cells > this.#sizes[area]) return null;
    this.#used[area] = first + cells;
    return first;
  }

  #reused(area: Area, cells: number): number {
    const first = this.#free.get(`${area} ${cells}`)?.shift();
    if (first === undefined) throw new ZoneFull(area);
    this.#clear(area, first, cells);
    return first;
  }
}

/** Notes the places another placement gives, so that a worker can be told. */
export class Noting implements Placement, Noted {
  readonly places: number[] = [];
  /** What was placed, so that it can be given back. */
  readonly keys: PlacedKey[] = [];
  readonly #placement: Placement;

  constructor(placement: Placement) {
    this.#placement = placement;
  }

  place(area: Area, key: string, cells: number): number {
    const first = this.#placement.place(area, key, cells);
    this.places.push(first);
    this.keys.push([area, key, cells]);
    return first;
  }

  keep({ places, keys }: Noted): boolean {
    if (!this.#placement.keep({ places, keys })) return false;
    for (const place of places) this.places.push(place);
    for (const key of keys) this.keys.push(key);
    return true;
  }
}

/** A worker's: what it was told, in the same order. */
export class Told implements Placement {
  readonly #places: ArrayLike<number>;
  #next = 0;

  constructor(places: ArrayLike<number>) {
    this.#places = places;
  }

  place(area: Area, key: string): number {
    const first = this.#places[this.#next++];
    if (first === undefined) throw new Error(`no cell was given for ${area} ${key}: the supervisor has another config`);
    return first;
  }

  keep({ places }: Noted): boolean {
    const next = this.#next;
    if (!places.every((place, i) => this.#places[next + i] === place)) return false;
    this.#next += places.length;
    return true;
  }
}
