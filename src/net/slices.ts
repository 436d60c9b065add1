/** Long work cut into slices, so that traffic flows in between: each turn of the loop gets one. */
import type { Steps } from "../base/steps.ts";
import { nextTurn, type Pollable } from "./loop.ts";

const SLICE_MS = 2;

export class Slices {
  #endsAt = performance.now() + SLICE_MS;

  /** True when it is time to let others run: `if (slices.isOver) await slices.next()` costs no promise while it is not. */
  get isOver(): boolean {
    return performance.now() > this.#endsAt;
  }

  /** Runs work in slices. */
  async run<T>(steps: Steps<T>): Promise<T> {
    for (;;) {
      if (this.isOver) await this.next();
      const step = steps.next();
      if (step.done) return step.value;
    }
  }

  /** Settles in the next turn of the loop, when whatever waited has been served. */
  async next(): Promise<void> {
    await new Promise<void>((resolve) => nextTurn(new NextTurn(resolve)));
    this.#endsAt = performance.now() + SLICE_MS;
  }
}

class NextTurn implements Pollable {
  readonly #resolve: () => void;

  constructor(resolve: () => void) {
    this.#resolve = resolve;
  }

  onAgain(): void {
    this.#resolve();
  }

  onReady(): void {}

  onFault(thrown: unknown): void {
    throw thrown;
  }
}
