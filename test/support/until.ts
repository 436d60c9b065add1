/** Waits until something holds, and says what did not if it takes too long. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string | (() => string),
  withinMs = 15_000,
): Promise<void> {
  for (const end = performance.now() + withinMs; !(await holds()); await Bun.sleep(5)) {
    if (performance.now() > end)
      throw new Error(`not within ${withinMs} ms: ${typeof what === "string" ? what : what()}`);
  }
}
