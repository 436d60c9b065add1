/**
 * Time that all processes of the machine agree on and that never steps: CLOCK_MONOTONIC. `clock.now`
 * counts from the start of its process, so what goes into shared memory is said in this one.
 */
import { clock } from "../base/timer.ts";
import { libc } from "./libc.ts";

const CLOCK_MONOTONIC = 1;

function monotonicMs(): number {
  const time = new BigInt64Array(2);
  libc.clock_gettime(CLOCK_MONOTONIC, time);
  return Number(time[0]) * 1000 + Number(time[1]) / 1e6;
}

/** What to add to this process's `performance.now()`. */
const offset = monotonicMs() - performance.now();

/** Milliseconds, as of the present turn of the loop. */
export const machineNow = (): number => clock.now + offset;

/** Milliseconds, read now: for processes that do not run our loop. */
export const machineTime = (): number => performance.now() + offset;
