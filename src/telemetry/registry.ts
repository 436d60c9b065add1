/**
 * What is measured, and in which cells of the zone it is counted.
 *
 * Everything is registered from the config, in the same order in the supervisor and every worker:
 * the supervisor gives each its cells (the same ones as under the config before), workers are told.
 * There are never more series than the config and its endpoints name. Registering returns a handle;
 * counting on it is one addition in memory.
 */
import { type Noted, Noting, type Placement, Sequence } from "../state/placement.ts";
import type { Zone } from "../state/zone.ts";

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

/** What was registered together, so that the registry of the next config can take it over. */
export interface Group<Made> {
  readonly made: Made;
  readonly noted: Noted;
  readonly shown: readonly Shown[];
}

/** Without the family itself, which holds all its series. */
interface Shown extends Omit<Family, "series"> {
  readonly series: Series;
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
  /** Found out when it is shown. */
  | { readonly in: "reading"; readonly labels: Labels; readonly read: () => number }
  /** Always 1: the labels are what it says. */
  | { readonly in: "text"; readonly labels: Labels };

/** Upper bounds of the histograms' buckets in seconds: 0.5 ms, doubled up to about 65 s. */
export const BUCKETS: readonly number[] = Array.from({ length: 18 }, (_, i) => 0.0005 * 2 ** i);
const LAST_BUCKET = BUCKETS.length; // +Inf
/** A histogram's cells: one per bucket (not cumulative), +Inf, and the sum of seconds. */
export const HISTOGRAM_CELLS = BUCKETS.length + 2;

/** One or more cells of this process's slot, or of nothing until the registry is attached. */
abstract class Handle<Cells> {
  cells: Cells;
  readonly cell: number;

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
    observe(this.cells, this.cell, ms);
  }
}

/** Counts a duration in the histogram that begins at a cell. */
export function observe(cells: Float64Array, cell: number, ms: number): void {
  const halves = Math.ceil(ms * 2);
  // The bucket is the smallest power of two, in half milliseconds, that is not below the duration.
  const bucket = halves <= 1 ? 0 : halves > 2 ** (LAST_BUCKET - 1) ? LAST_BUCKET : 32 - Math.clz32(halves - 1);
  cells[cell + bucket]! += 1;
  cells[cell + LAST_BUCKET + 1]! += ms / 1000;
}

const NO_LABELS: Labels = {};
const NO_DIMENSIONS: Dimensions = {};

export class Registry {
  readonly #families = new Map<string, Family>();
  readonly #onTotals: Handle<Float64Array>[] = [];
  readonly #onLevels: Level[] = [];
  /** Cells of gauges: they die with their worker, as levels do. */
  readonly #gaugeCells: number[] = [];
  readonly #isShown: boolean;
  #placement: Placement;
  /** What is shown of the group that is being registered. */
  #shown: Shown[] | null = null;
  #zone: { readonly zone: Zone; readonly slot: number } | null = null;
  /** Where handles count until they are attached: writing past the end of an array does nothing. */
  readonly #nowhere = new Float64Array(0);
  readonly #noLevels = new Int32Array(0);

  /**
   * @param placement where the cells lie; by default one after the other
   * @param isShown false where the series are only counted in, and shown by another process
   */
  constructor(placement: Placement = new Sequence(), isShown = true) {
    this.#placement = placement;
    this.#isShown = isShown;
  }

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
    const cell = this.#place("totals", name, labels, 1);
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
    const cell = this.#place("levels", name, labels, 1);
    this.#add(name, help, "gauge", { in: "levels", labels, dimensions: NO_DIMENSIONS, cell });
    const level = new Level(this.#noLevels, cell);
    if (this.#zone === null) this.#onLevels.push(level);
    else level.attach(this.#zone.zone.levels[this.#zone.slot]!);
    return level;
  }

  histogram(name: string, help: string, labels = NO_LABELS): Histogram {
    const cell = this.#place("totals", name, labels, HISTOGRAM_CELLS);
    this.#add(name, help, "histogram", { in: "histogram", labels, cell });
    return this.#onAttach(new Histogram(this.#nowhere, cell));
  }

  /** A number that is found out when it is shown. Takes no cells, so a process may know some of its own. */
  reading(name: string, help: string, labels: Labels, read: () => number, kind: "gauge" | "counter" = "gauge"): void {
    this.#add(name, help, kind, { in: "reading", labels, read });
  }

  /** A fact that labels tell. Not part of the layout, so a process may know some of its own. */
  info(name: string, help: string, labels: Labels): void {
    this.#add(name, help, "gauge", { in: "text", labels });
  }

  /** From here on every handle counts in that slot of the zone, those registered later too. */
  attach(zone: Zone, slot: number): void {
    this.#zone = { zone, slot };
    for (const handle of this.#onTotals.splice(0)) handle.attach(zone.totals[slot]!);
    for (const level of this.#onLevels.splice(0)) level.attach(zone.levels[slot]!);
  }

  /** Registers something with cells of its own, such as an endpoint that came while we run. */
  within<Made>(placement: Placement, register: () => Made): Made {
    const before = this.#placement;
    this.#placement = placement;
    try {
      return register();
    } finally {
      this.#placement = before;
    }
  }

  /** Registers what lies side by side under one key: of 10,000 routes, finding the places takes a third of the time. */
  together<Made>(key: string, cells: number, register: () => Made): Made {
    return this.within(new Sequence({ totals: this.#placement.place("totals", key, cells) }), register);
  }

  /** Registers counters, histograms and levels that can go over to the next config's registry. */
  group<Made>(register: () => Made): Group<Made> {
    const noting = new Noting(this.#placement);
    const shown: Shown[] = [];
    this.#shown = shown;
    const made = this.within(noting, register);
    this.#shown = null;
    // Nobody gives cells back who is only told about them.
    return { made, noted: { places: noting.places, keys: this.#isShown ? noting.keys : [] }, shown };
  }

  /**
   * Takes over what was registered under the config before: its handles count on where they did.
   * @returns false if it has other cells now: it must be registered again
   */
  adopt({ noted, shown }: Group<unknown>): boolean {
    if (!this.#placement.keep(noted)) return false;
    for (const one of shown) this.#family(one).series.push(one.series);
    return true;
  }

  /** Series with exactly these labels are shown no more. */
  drop(labels: Labels): void {
    for (const { series } of this.#families.values()) {
      const at = series.findIndex((one) => one.labels === labels);
      if (at >= 0) series.splice(at, 1);
    }
  }

  /** Zeroes what a worker that has died was holding. */
  clear(zone: Zone, slot: number): void {
    zone.clearLevels(slot);
    const totals = zone.totals[slot]!;
    for (const cell of this.#gaugeCells) totals[cell] = 0;
  }

  #total(name: string, help: string, labels: Labels, dimensions: Dimensions): number {
    const cells = Object.values(dimensions).reduce((product, values) => product * values.length, 1);
    const cell = this.#place("totals", name, labels, cells, dimensions);
    this.#add(name, help, "counter", { in: "totals", labels, dimensions, cell });
    return cell;
  }

  #perSlot(name: string, help: string, kind: FamilyKind): number {
    const cell = this.#place("totals", name, NO_LABELS, 1);
    this.#add(name, help, kind, { in: "slots", labels: NO_LABELS, cell });
    return cell;
  }

  /** The key has the dimensions' values in it: with other values the cells mean something else. */
  #place(area: "totals" | "levels", name: string, labels: Labels, cells: number, dimensions = NO_DIMENSIONS): number {
    let key = name;
    for (const label in labels) key += ` ${labels[label]}`;
    for (const dimension in dimensions) key += ` ${dimensions[dimension]!.join(",")}`;
    return this.#placement.place(area, key, cells);
  }

  #add(name: string, help: string, kind: FamilyKind, series: Series): void {
    if (!this.#isShown) return;
    this.#family({ name, help, kind }).series.push(series);
    this.#shown?.push({ name, help, kind, series });
  }

  #family({ name, help, kind }: Omit<Family, "series">): Family {
    let family = this.#families.get(name);
    if (family === undefined) {
      family = { name, help, kind, series: [] };
      this.#families.set(name, family);
    }
    return family;
  }

  #onAttach<Made extends Handle<Float64Array>>(handle: Made): Made {
    if (this.#zone === null) this.#onTotals.push(handle);
    else handle.attach(this.#zone.zone.totals[this.#zone.slot]!);
    return handle;
  }
}
