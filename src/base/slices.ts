/** Long work cut into slices, so that traffic flows in between. */

const SLICE_MS = 4;

export class Slices {
  #startedAt = performance.now();

  /** True when it is time to let others run: `if (slices.isOver) await slices.next()` costs no promise while it is not. */
  get isOver(): boolean {
    return performance.now() - this.#startedAt > SLICE_MS;
  }

  /** Lets everything else have its turn. */
  async next(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#startedAt = performance.now();
  }
}
