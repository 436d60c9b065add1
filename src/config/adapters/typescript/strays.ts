/**
 * What goes wrong in callbacks and promises beside the evaluation of a config. By itself it refuses
 * nothing, for the file may come to an end all the same, and may yet see to a promise; where it does
 * not, this is why.
 */
import type { Thrown } from "./thrown.ts";

/** A timer may throw each millisecond. */
const MOST = 10;

interface Stray {
  readonly thrown: unknown;
  readonly failures: readonly Thrown[];
}

export class Strays {
  readonly #describe: (thrown: unknown) => readonly Thrown[];
  readonly #changed: (failures: readonly Thrown[]) => void;
  /** By their promises; what was thrown in a callback by a key of its own. */
  readonly #known = new Map<unknown, Stray>();

  /** @param changed  is told, each time that there is another or one less, what there is */
  constructor(describe: (thrown: unknown) => readonly Thrown[], changed: (failures: readonly Thrown[]) => void) {
    this.#describe = describe;
    this.#changed = changed;
    process.on("uncaughtException", (thrown: unknown) => this.#add(Symbol(), thrown));
    process.on("unhandledRejection", (thrown, promise) => this.#add(promise, thrown));
    process.on("rejectionHandled", (promise) => {
      if (this.#known.delete(promise)) this.#changed(this.failures());
    });
  }

  /** @param except  what is reported already */
  failures(except: { readonly thrown: unknown } | null = null): readonly Thrown[] {
    const others = [...this.#known.values()].filter(({ thrown }) => except === null || thrown !== except.thrown);
    return others.flatMap(({ failures }) => failures);
  }

  /** A promise that was seen to only now counts as such at the end of the turn. */
  async settle(): Promise<void> {
    if (this.#known.size > 0) await new Promise(setImmediate);
  }

  /** For the eyes of whoever runs it: the config was fine without. */
  async print(): Promise<void> {
    await this.settle();
    for (const { thrown } of this.#known.values()) console.error(thrown);
  }

  #add(key: unknown, thrown: unknown): void {
    if (this.#known.size >= MOST) return;
    this.#known.set(key, { thrown, failures: this.#describe(thrown) });
    this.#changed(this.failures());
  }
}
