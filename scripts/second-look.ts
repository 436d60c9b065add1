/**
 * The machine is full while all tests run. What fails then is looked at once more alone: a test that now passes
 * three times in a row is unsteady, which is a defect of the test, but none of the change that is to land.
 *
 * That is for a few tests. If those of more than three files fail, it is not chance; and what is no test that failed
 * (a crash, a file that cannot be loaded, one that hangs, a check) has failed for good. No file gets a third look.
 */
import type { TestCounts, TestFailure } from "./test-run.ts";

export const MOST_FILES = 3;
export const TIMES = 3;

export interface SecondLook {
  readonly failed: readonly TestFailure[];
  readonly unsteady: readonly TestFailure[];
}

/** @param runAlone runs the tests of one file while nothing else is run */
export async function lookAgain(
  failures: readonly TestFailure[],
  runAlone: (file: string) => Promise<TestCounts>,
): Promise<SecondLook> {
  const files = new Set(failures.map(({ file }) => file));
  if (files.size > MOST_FILES || !failures.every(({ isTest }) => isTest)) return { failed: failures, unsteady: [] };
  const steady = new Set<string>();
  for (const file of files) if (await passesEachTime(file, runAlone)) steady.add(file);
  return {
    failed: failures.filter(({ file }) => !steady.has(file)),
    unsteady: failures.filter(({ file }) => steady.has(file)),
  };
}

async function passesEachTime(file: string, runAlone: (file: string) => Promise<TestCounts>): Promise<boolean> {
  for (let time = 0; time < TIMES; time++) {
    const { passed, failures } = await runAlone(file);
    if (failures.length > 0 || passed === 0) return false;
  }
  return true;
}
