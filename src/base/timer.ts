/**
 * Deadlines in lists, one list per duration. Arming puts a timer at the tail, so each list is
 * sorted by deadline without comparing: arm and cancel are a few pointer writes (13 ns; a
 * `setTimeout` pair costs 125 ns). The event loop calls `tick` once per turn and sleeps no longer
 * than `nextDeadline` says. Times are milliseconds of `Clock.now`, read once per turn.
 */

/** Milliseconds since some start; never steps back. Set once per turn of the loop. */
export const clock = { now: performance.now() };

/** Something with at most one armed deadline at a time. Extend it, or hold one. */
export class Timer {
  /** The list this timer is armed in; null when it is not armed. */
  list: TimerList | null = null;
  previous: Timer | null = null;
  next: Timer | null = null;
  deadline = 0;

  /** @param expire called when the deadline passes; the timer is no longer armed then. */
  constructor(readonly expire: () => void) {}

  get armed(): boolean {
    return this.list !== null;
  }

  /** (Re)arms the timer to expire after the list's duration. */
  arm(list: TimerList): void {
    this.cancel();
    list.add(this);
  }

  cancel(): void {
    const { list } = this;
    if (list !== null) list.remove(this);
  }
}

/** All timers of one duration, in order of deadline. */
export class TimerList {
  #head: Timer | null = null;
  #tail: Timer | null = null;

  constructor(readonly durationMs: number) {}

  add(timer: Timer): void {
    timer.deadline = clock.now + this.durationMs;
    timer.list = this;
    let before = this.#tail;
    // Never in a program; where a test has set the clock back, one that is due later must not hold this one up.
    while (before !== null && before.deadline > timer.deadline) before = before.previous;
    const after = before === null ? this.#head : before.next;
    timer.previous = before;
    timer.next = after;
    if (before === null) this.#head = timer;
    else before.next = timer;
    if (after === null) this.#tail = timer;
    else after.previous = timer;
  }

  remove(timer: Timer): void {
    if (timer.previous === null) this.#head = timer.next;
    else timer.previous.next = timer.next;
    if (timer.next === null) this.#tail = timer.previous;
    else timer.next.previous = timer.previous;
    timer.list = null;
    timer.previous = null;
    timer.next = null;
  }

  get firstDeadline(): number {
    return this.#head === null ? Infinity : this.#head.deadline;
  }

  /** Expires all whose deadline has passed. One that re-arms in its own callback waits for the next tick. */
  tick(): void {
    const now = clock.now;
    for (let timer = this.#head; timer !== null && timer.deadline <= now; timer = this.#head) {
      this.remove(timer);
      timer.expire();
    }
  }
}

/** One list per duration: a handful, however many timers there are. */
const lists: TimerList[] = [];

/** The list for a duration; the same object for the same duration. `Infinity` and 0 mean "never": null. */
export function timerList(durationMs: number): TimerList | null {
  if (durationMs <= 0 || durationMs === Infinity) return null;
  for (let i = 0; i < lists.length; i++) if (lists[i]!.durationMs === durationMs) return lists[i]!;
  const list = new TimerList(durationMs);
  lists.push(list);
  return list;
}

/** Sets the clock and expires what is due. */
export function tickTimers(now = performance.now()): void {
  clock.now = now;
  for (let i = 0; i < lists.length; i++) if (lists[i]!.firstDeadline <= now) lists[i]!.tick();
}

/** Earliest deadline over all lists, in `clock` time; Infinity if nothing is armed. */
export function nextDeadline(): number {
  let earliest = Infinity;
  for (let i = 0; i < lists.length; i++) {
    const deadline = lists[i]!.firstDeadline;
    if (deadline < earliest) earliest = deadline;
  }
  return earliest;
}
