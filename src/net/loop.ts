/**
 * The event loop of the traffic: one epoll set, edge-triggered, turned from `setImmediate`.
 *
 * The runtime's own loop (timers of libraries, DNS, files, messages from the supervisor) keeps
 * running: its epoll descriptor is a member of our set, so anything it waits for wakes us and gets
 * a pass at once; else it gets one every `SLICE_MS` of work. (A pass at each turn cost 1 µs of CPU
 * per request.) Only its timers and immediates cannot be seen from here; they may be late by
 * `FOREIGN_TIMER_MS`. Our own deadlines (base/timer.ts) bound the wait exactly.
 *
 * A turn: expire timers → wait → read and write what is ready → flush. A descriptor closed
 * during a turn is only given back to the kernel at its end: an event that is still to come in it
 * can never meet a descriptor of the same number opened since.
 *
 * What is ready is worked on in batches: first all reads of a batch, then all of our own work, then
 * all that was written is sent. The kernel's code and ours push each other out of the processor's
 * caches; in batches both run warm, which spares 5 to 10 % of a small request's cost.
 */
import { drainMicrotasks } from "bun:jsc";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { clock, nextDeadline, tickTimers } from "../base/timer.ts";
import { libc, SOCK_CLOEXEC } from "./libc.ts";

export const READABLE = 0x001;
export const WRITABLE = 0x004;
export const BROKEN = 0x008 | 0x010; // EPOLLERR | EPOLLHUP
export const PEER_ENDED = 0x2000; // EPOLLRDHUP
const EDGE_TRIGGERED = 0x80000000;

const FOREIGN_TIMER_MS = 20;
const SLICE_MS = 10;
const EVENTS_PER_TURN = 512;
/** Events worked on together. More spare nothing more, and keep the peers waiting: they would all work while we do not. */
export const BATCH = 8;

const CTL_ADD = 1;
const CTL_DEL = 2;

/** Something with a descriptor in the set. */
export interface Pollable {
  /** @param events READABLE, WRITABLE, BROKEN and PEER_ENDED bits */
  onReady(events: number): void;
  /**
   * Comes before `onReady`, and before that of all others in the batch: a chance to read.
   * @param place in the batch, below `BATCH`
   */
  readAhead?(events: number, place: number): void;
  /** Its turn after `nextTurn`. */
  onAgain(): void;
  /** `onReady` or `onAgain` threw: a fault of ours. It must cost this connection only. */
  onFault(thrown: unknown): void;
}

// struct epoll_event is packed on x86-64: 12 octets, else 16.
const EVENT_WORDS = process.arch === "x64" ? 3 : 4;
const DATA_WORD = process.arch === "x64" ? 1 : 2;

const epoll = libc.epoll_create1(SOCK_CLOEXEC);
const events = new Int32Array(EVENT_WORDS * EVENTS_PER_TURN);
const change = new Int32Array(EVENT_WORDS);

const pollables: (Pollable | null)[] = [];
let count = 0;
let running = false;
/** The runtime's epoll descriptor, and whether it has something for itself. */
let runtime = -1;
let runtimeReady = false;
let foreignTimerMs = FOREIGN_TIMER_MS;
let attending = false;

/** Pollables that have more to do in the next turn, without waiting for an event. */
let again: Pollable[] = [];
let againSpare: Pollable[] = [];
const closing: number[] = [];
const turnEnd: (() => void)[] = [];
const batchEnd: (() => void)[] = [];

/** Puts a descriptor into the set: edge-triggered for connections, level-triggered for listeners. */
export function watch(fd: number, pollable: Pollable, mode: "connection" | "listener"): void {
  while (pollables.length <= fd) pollables.push(null);
  pollables[fd] = pollable;
  count++;
  change[0] = mode === "listener" ? READABLE : READABLE | WRITABLE | PEER_ENDED | EDGE_TRIGGERED;
  change[DATA_WORD] = fd;
  libc.epoll_ctl(epoll, CTL_ADD, fd, change);
  run();
}

/** Takes a descriptor out of the set without closing it. */
export function unwatch(fd: number): void {
  if (pollables[fd] == null) return;
  pollables[fd] = null;
  count--;
  libc.epoll_ctl(epoll, CTL_DEL, fd, change);
}

/** Takes a descriptor out of the set and closes it at the end of the turn. */
export function closeAtTurnEnd(fd: number): void {
  if (pollables[fd] != null) {
    pollables[fd] = null;
    count--;
  }
  closing.push(fd);
  run();
}

/** Calls `onAgain` in the next turn; never within the current one. */
export function nextTurn(pollable: Pollable): void {
  again.push(pollable);
  run();
}

/** Registers what every turn ends with (writing what was put off until then). */
export function onTurnEnd(callback: () => void): void {
  turnEnd.push(callback);
}

/** Registers what every batch ends with, and every turn after all else (sending). */
export function onBatchEnd(callback: () => void): void {
  batchEnd.push(callback);
}

/**
 * For a process whose traffic is the runtime's: turns with nothing of ours to wait for, and looks after the
 * runtime's timers this often. They pace what QUIC sends, so they are worth more wake-ups there.
 */
export function attendRuntime(everyMs = FOREIGN_TIMER_MS): void {
  foreignTimerMs = everyMs;
  if (attending) return;
  attending = true;
  count++;
  run();
}

/** Keeps the loop turning for timers even while no descriptor is watched. */
export function run(): void {
  if (running) return;
  running = true;
  joinRuntimeLoop();
  setImmediate(slice);
}

/** Turns until the runtime needs a pass. */
function slice(): void {
  const end = performance.now() + SLICE_MS;
  try {
    do {
      if (!turn()) {
        running = false; // Nothing left to wait for: let the process end if nobody else needs it.
        return;
      }
    } while (!runtimeReady && clock.now < end);
  } catch (thrown) {
    setImmediate(slice); // A process that outlives such a fault still has its connections.
    throw thrown;
  }
  setImmediate(slice);
}

/** @returns false if there is nothing to wait for */
function turn(): boolean {
  // Continuations of promises ran since the last turn and may have written.
  finishTurn();
  const deadline = nextDeadline();
  if (count === 0 && again.length === 0 && deadline === Infinity) return false;
  const ready = libc.epoll_wait(epoll, events, EVENTS_PER_TURN, patience(deadline));
  tickTimers();
  const due = again;
  again = againSpare;
  againSpare = due;
  for (let i = 0; i < due.length; i++) {
    try {
      due[i]!.onAgain();
    } catch (thrown) {
      due[i]!.onFault(thrown);
    }
  }
  due.length = 0;
  runtimeReady = ready <= 0;
  for (let from = 0; from < ready; from += BATCH) work(from, Math.min(from + BATCH, ready));
  finishTurn();
  drainMicrotasks();
  return true;
}

/** Works on the batch of events [from, to). */
function work(from: number, to: number): void {
  for (let i = from; i < to; i++) {
    const pollable = pollables[events[i * EVENT_WORDS + DATA_WORD]!];
    pollable?.readAhead?.(events[i * EVENT_WORDS]!, i - from);
  }
  for (let i = from; i < to; i++) {
    const fd = events[i * EVENT_WORDS + DATA_WORD]!;
    if (fd === runtime) runtimeReady = true;
    const pollable = pollables[fd];
    if (pollable == null) continue;
    try {
      pollable.onReady(events[i * EVENT_WORDS]!);
    } catch (thrown) {
      faultOf(pollable, thrown);
    }
  }
  finishBatch();
}

/** What even its handler of faults throws ends the process, or not; the others of the batch have their turn all the same. */
function faultOf(pollable: Pollable, thrown: unknown): void {
  try {
    pollable.onFault(thrown);
  } catch (worse) {
    queueMicrotask(() => {
      throw worse;
    });
  }
}

/** Milliseconds to wait at most. */
function patience(deadline: number): number {
  if (again.length > 0) return 0;
  if (deadline === Infinity) return foreignTimerMs;
  const wait = Math.ceil(deadline - performance.now());
  return wait <= 0 ? 0 : Math.min(wait, foreignTimerMs);
}

function finishBatch(): void {
  for (let i = 0; i < batchEnd.length; i++) batchEnd[i]!();
}

function finishTurn(): void {
  for (let i = 0; i < turnEnd.length; i++) turnEnd[i]!();
  finishBatch();
  for (let i = 0; i < closing.length; i++) libc.close(closing[i]!);
  closing.length = 0;
}

/** Adds the runtime's epoll descriptor to ours, so that whatever it waits for ends our wait. */
function joinRuntimeLoop(): void {
  clock.now = performance.now();
  if (runtime >= 0) return;
  runtime = findRuntimeLoop();
  if (runtime < 0) throw new Error("the runtime's epoll descriptor was not found in /proc/self/fd");
  change[0] = READABLE;
  change[DATA_WORD] = runtime;
  libc.epoll_ctl(epoll, CTL_ADD, runtime, change);
}

/** Other threads of the runtime may have epoll descriptors too: ours is the one that gets a socket made here. */
function findRuntimeLoop(): number {
  const candidates = readdirSync("/proc/self/fd")
    .map(Number)
    .filter((fd) => fd !== epoll && target(fd) === "anon_inode:[eventpoll]");
  if (candidates.length <= 1) return candidates[0] ?? -1;
  const probe = Bun.listen({ unix: `\0lintel-loop-${process.pid}-${crypto.randomUUID()}`, socket: { data() {} } });
  const { fd: wanted } = probe as unknown as { fd: number };
  const holds = new RegExp(`^tfd: *${wanted} `, "m");
  const found = candidates.find((fd) => holds.test(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1")));
  probe.stop(true);
  return found ?? -1;
}

function target(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}
