/**
 * Gathers the small writes of a batch (head, first content, last chunk): one run of octets per connection, so that each
 * run leaves in one system call, and those calls are made one after another when the batch ends.
 */
import { ptr } from "bun:ffi";
import { putText } from "../base/buffer.ts";
import { onBatchEnd } from "./loop.ts";

export const CORK_OCTETS = 64 * 1024;

/** Who writes into the cork. */
export interface Corked {
  /** Which run is its own; -1: none. Only the cork sets it. */
  run: number;
  /** Takes its run out of the cork (`takeRun`) and sends it. */
  flush(): void;
}

const octets = Buffer.allocUnsafeSlow(CORK_OCTETS);
const address = ptr(octets);
let length = 0;

// Run `i` is octets[starts[i], starts[i + 1]), the last one up to `length`; no writer: it has been taken.
const writers: (Corked | null)[] = [];
const starts: number[] = [];
let runs = 0;

onBatchEnd(flushCork);

/**
 * Makes the writer's run the last one, with room for so many octets: `CORK_OCTETS` at most. That may send what it wrote
 * before, and so tell it that it has to queue what it is about to write.
 */
export function openRun(writer: Corked, room: number): void {
  const isLast = writer.run >= 0 && writer.run === runs - 1;
  if (isLast && length + room <= CORK_OCTETS) return;
  // What it wrote before has to leave before.
  if (writer.run >= 0 || length + room > CORK_OCTETS) flushCork();
  writer.run = runs;
  writers[runs] = writer;
  starts[runs++] = length;
}

/** Appends to the run that was opened. */
export function corkOctets(more: Uint8Array): void {
  octets.set(more, length);
  length += more.length;
}

/** As `corkOctets`, for text whose characters are octets. */
export function corkText(text: string): void {
  length = putText(octets, length, text);
}

/** A run that was taken: valid until anybody writes. */
export const taken = { address: 0, length: 0, start: 0 };

/** Takes the writer's run out, if it has one, into `taken`. @returns false if there is nothing in it */
export function takeRun(writer: Corked): boolean {
  const { run } = writer;
  if (run < 0) return false;
  const start = starts[run]!;
  const end = run === runs - 1 ? length : starts[run + 1]!;
  writer.run = -1;
  writers[run] = null;
  if (run === runs - 1) {
    runs = run;
    length = start;
  }
  taken.start = start;
  taken.length = end - start;
  taken.address = address + start;
  return end > start;
}

/** A view of what was taken, from an offset on. */
export function takenOctets(from: number): Uint8Array {
  return octets.subarray(taken.start + from, taken.start + taken.length);
}

export function flushCork(): void {
  const count = runs;
  for (let i = 0; i < count; i++) writers[i]?.flush();
  runs = 0;
  length = 0;
}
