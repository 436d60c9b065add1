/**
 * What is measured, and in which cells of the zone it is counted.
 *
 * Everything is registered while a process starts, from the config alone, so the supervisor and
 * every worker give the same cell to the same thing, and there are never more series than the
 * config names. Registering returns a handle; counting on it is one addition in memory.
 */
import type { Zone, ZoneShape } from "../state/zone.ts";

export type Labels = Readonly<Record<string, string>>;
/** Label names with all values they can have; the series of each combination lie side by side. */
export type Dimensions = Readonly<Record<string, readonly string[]>>;

export type FamilyKind = "counter" | "gauge" | "histogram";

/** All series of one name. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly kind: FamilyKind;
  readonly series: Series[];
}

export type Series =
  | {
      readonly in: "totals" | "levels";
      readonly labels: Labels;
      readonly dimensions: Dimensions;
      readonly cell: number;
    }
  /** One sample for each slot instead of their sum. */
  | { readonly in: "slots"; readonly labels: Labels; readonly cell: number }
  | { readonly in: "histogram"; readonly labels: Labels; readonly cell: number }
  /** Always 1: the labels are what it says. */
  | { readonly in: "text"; readonly labels: Labels };

/** Upper bounds of the histograms' buckets in seconds: 0.5 ms, doubled up to about 65 s. */
export const BUCKETS: readonly number[] = Array.from({ length: 18 }, (_, i) => 0.0005 * 2 ** i);
const LAST_BUCKET = BUCKETS.length; // +Inf
/** A histogram's cells: one per bucket (not cumulative), +Inf, and the sum of seconds. */
export const HISTOGRAM_CELLS = BUCKETS.length + 2;

/** One or more cells of this process's slot, or of nothing until the registry is attached. */
abstract class Handle<Cells> {
  protected cells: Cells;
  protected readonly cell: number;

  constructor(cells: Cells, cell: number) {
    this.cells = cells;
    this.cell = cell;
  }

  attach(cells: Cells): void {
    this.cells = cells;
  }
}

/** A number that only grows, over restarts of workers too. */
export class Counter extends Handle<Float64Array> {
  add(amount: number): void {
    this.cells[this.cell]! += amount;
  }
}

/** Counters that differ in labels of few values: the `at`-th combination of the dimensions. */
export class CounterRow extends Handle<Float64Array> {
  add(at: number, amount: number): void {
    this.cells[this.cell + at]! += amount;
  }
}

/** A number that is set. */
export class Gauge extends Handle<Float64Array> {
  set(value: number): void {
    this.cells[this.cell] = value;
  }
}

/** How many there are right now: each `up` has its `down`, or dies with the worker. */
export class Level extends Handle<Int32Array> {
  up(): void {
    this.cells[this.cell]!++;
  }

  down(): void {
    this.cells[this.cell]!--;
  }

  /** Of this process alone. */
  get value(): number {
    return this.cells[this.cell]!;
  }
}

/** Durations by size. */
export class Histogram extends Handle<Float64Array> {
  observe(ms: number): void {
    const halves = Math.ceil(ms * 2);
    // The bucket is the smallest power of two, in half milliseconds, that is not below the duration.
    const bucket = halves <= 1 ? 0 : halves > 2 ** (LAST_BUCKET - 1) ? LAST_BUCKET : 32 - Math.clz32(halves - 1);
    this.cells[this.cell + bucket]! += 1;
    this.cells[this.cell + LAST_BUCKET + 1]! += ms / 1000;
  }
}

const NO_LABELS: Labels = {};
const NO_DIMENSIONS: Dimensions = {};

export class Registry {
  readonly #families = new Map<string, Family>();
  readonly #onTotals: Handle<Float64Array>[] = [];
  readonly #onLevels: Level[] = [];
  /** Cells of gauges: they die with their worker, as levels do. */
  readonly #gaugeCells: number[] = [];
  #totals = 0;
  #levels = 0;
  /** Where handles count until they are attached: writing past the end of an array does nothing. */
  readonly #nowhere = new Float64Array(0);
  readonly #noLevels = new Int32Array(0);

  get families(): Iterable<Family> {
    return this.#families.values();
  }

  counter(name: string, help: string, labels = NO_LABELS): Counter {
    return this.#onAttach(new Counter(this.#nowhere, this.#total(name, help, labels, NO_DIMENSIONS)));
  }

  /** @param dimensions the row's cells are all combinations, the last dimension counting fastest */
  counters(name: string, help: string, labels: Labels, dimensions: Dimensions): CounterRow {
    return this.#onAttach(new CounterRow(this.#nowhere, this.#total(name, help, labels, dimensions)));
  }

  /** A counter that is shown for each worker. */
  counterPerWorker(name: string, help: string): Counter {
    return this.#onAttach(new Counter(this.#nowhere, this.#perSlot(name, help, "counter")));
  }

  gauge(name: string, help: string, labels = NO_LABELS): Gauge {
    const cell = this.#allocate(1);
    this.#gaugeCells.push(cell);
    this.#add(name, help, "gauge", { in: "totals", labels, dimensions: NO_DIMENSIONS, cell });
    return this.#onAttach(new Gauge(this.#nowhere, cell));
  }

  /** A gauge that is shown for each worker. */
  gaugePerWorker(name: string, help: string): Gauge {
    const cell = this.#perSlot(name, help, "gauge");
    this.#gaugeCells.push(cell);
    return this.#onAttach(new Gauge(this.#nowhere, cell));
  }

  level(name: string, help: string, labels = NO_LABELS): Level {
    const cell = this.#levels++;
    this.#add(name, help, "gauge", { in: "levels", labels, dimensions: NO_DIMENSIONS, cell });
    const level = new Level(this.#noLevels, cell);
    this.#onLevels.push(level);
    return level;
  }

  histogram(name: string, help: string, labels = NO_LABELS): Histogram {
    const cell = this.#allocate(HISTOGRAM_CELLS);
    this.#add(name, help, "histogram", { in: "histogram", labels, cell });
    return this.#onAttach(new Histogram(this.#nowhere, cell));
  }

  /** A fact that labels tell. Not part of the layout, so a process may know some of its own. */
  info(name: string, help: string, labels: Labels): void {
    this.#add(name, help, "gauge", { in: "text", labels });
  }

  /** The zone that these metrics need. Nothing may be registered after it is made. */
  shape(slots: number, shared = 0): ZoneShape {
    return { slots, totals: this.#totals, levels: this.#levels, shared, fingerprint: this.#fingerprint() };
  }

  /** From here on every handle counts in that slot of the zone. */
  attach(zone: Zone, slot: number): void {
    for (const handle of this.#onTotals) handle.attach(zone.totals[slot]!);
    for (const level of this.#onLevels) level.attach(zone.levels[slot]!);
  }

  /** Zeroes what a worker that has died was holding. */
  clear(zone: Zone, slot: number): void {
    zone.clearLevels(slot);
    const totals = zone.totals[slot]!;
    for (const cell of this.#gaugeCells) totals[cell] = 0;
  }

  #total(name: string, help: string, labels: Labels, dimensions: Dimensions): number {
    const cell = this.#allocate(Object.values(dimensions).reduce((cells, values) => cells * values.length, 1));
    this.#add(name, help, "counter", { in: "totals", labels, dimensions, cell });
    return cell;
  }

  #perSlot(name: string, help: string, kind: FamilyKind): number {
    const cell = this.#allocate(1);
    this.#add(name, help, kind, { in: "slots", labels: NO_LABELS, cell });
    return cell;
  }

  #allocate(cells: number): number {
    const first = this.#totals;
    this.#totals += cells;
    return first;
  }

  #add(name: string, help: string, kind: FamilyKind, series: Series): void {
    const family = this.#families.get(name);
    if (family === undefined) this.#families.set(name, { name, help, kind, series: [series] });
    else family.series.push(series);
  }

  #onAttach<Made extends Handle<Float64Array>>(handle: Made): Made {
    this.#onTotals.push(handle);
    return handle;
  }

  #fingerprint(): number {
    let hash = 0;
    for (const { name, series } of this.#families.values()) {
      for (const one of series) {
        if (one.in !== "text") hash = Bun.hash.xxHash32(`${name} ${JSON.stringify(one)}`, hash);
      }
    }
    return hash;
  }
}
