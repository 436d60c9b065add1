/**
 * Work that can be interrupted: a generator that yields where it may be, and returns what it makes. It
 * runs to its end at once (`runSteps`) or in slices between other work (net/slices.ts).
 */
export type Steps<T> = Generator<undefined, T, undefined>;

export function runSteps<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
