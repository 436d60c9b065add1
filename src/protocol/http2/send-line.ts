/**
 * The line in which streams wait for their turn to send: the more urgent first (RFC 9218 §10). Of
 * the same urgency, those that came first go first, and those that are of use in pieces ("incremental")
 * take turns with each other.
 *
 * Priorities are advice, so nobody starves: of eight turns one goes to somebody less urgent, and of
 * eight turns among those that wait for each other one to somebody further behind. A turn is one
 * frame. Each stream stands in line once, so the line is as long as there are streams.
 */
import { isShared, type Priority, URGENCIES, urgencyOf } from "./priority.ts";

/** A stream that has something to send, or could have. */
export interface InLine {
  readonly streamId: number;
  /** Changes only while it does not stand in line. */
  readonly priority: Priority;
  /** The line's own mark. */
  isInLine: boolean;
  /** Sends one frame. @returns whether it could send another */
  takeTurn(): boolean;
}

/** So many turns of the first are followed by one of another. */
const OTHERS_EVERY = 8;

export class SendLine {
  readonly #classes: (UrgencyClass | null)[] = new Array(URGENCIES).fill(null);
  /** A bit per class that somebody stands in. */
  #waiting = 0;
  #turns = 0;
  /** The less urgent class that had a turn last. */
  #lastOther = 0;

  get isEmpty(): boolean {
    return this.#waiting === 0;
  }

  add(stream: InLine): void {
    if (stream.isInLine) return;
    stream.isInLine = true;
    const urgency = urgencyOf(stream.priority);
    const line = (this.#classes[urgency] ??= new UrgencyClass());
    line.add(stream);
    this.#waiting |= 1 << urgency;
  }

  /** It has nothing to send any more. */
  remove(stream: InLine): void {
    if (!stream.isInLine) return;
    stream.isInLine = false;
    const urgency = urgencyOf(stream.priority);
    const line = this.#classes[urgency]!;
    line.remove(stream);
    if (line.isEmpty) this.#waiting &= ~(1 << urgency);
  }

  /** Gives one stream its turn. Somebody must stand in line. */
  serve(): void {
    const first = lowestBit(this.#waiting);
    let urgency = first;
    if (this.#waiting !== 1 << first && ++this.#turns % OTHERS_EVERY === 0) urgency = this.#otherThan(first);
    const line = this.#classes[urgency]!;
    line.serve();
    if (line.isEmpty) this.#waiting &= ~(1 << urgency);
    else this.#waiting |= 1 << urgency;
  }

  #otherThan(first: number): number {
    const others = this.#waiting & ~(1 << first);
    // Those behind the last one, else from the beginning.
    const behind = others & ~((2 << this.#lastOther) - 1);
    this.#lastOther = lowestBit(behind === 0 ? others : behind);
    return this.#lastOther;
  }
}

const lowestBit = (bits: number): number => 31 - Math.clz32(bits & -bits);

/** Streams of one urgency. */
class UrgencyClass {
  /** They go one after the other, by number. */
  readonly #inOrder: InLine[] = [];
  #turnsInOrder = 0;
  #lastBehind = 0;
  /** They take turns; those before `#at` have gone. */
  readonly #sharing: InLine[] = [];
  #at = 0;
  #isSharingNext = false;
  /** It has its turn now, and keeps its place. */
  #serving: InLine | null = null;

  get isEmpty(): boolean {
    return this.#inOrder.length === 0 && this.#at === this.#sharing.length;
  }

  add(stream: InLine): void {
    if (stream === this.#serving) return;
    if (isShared(stream.priority)) {
      this.#sharing.push(stream);
      return;
    }
    const line = this.#inOrder;
    let at = line.length;
    while (at > 0 && line[at - 1]!.streamId > stream.streamId) at--;
    line.splice(at, 0, stream);
  }

  remove(stream: InLine): void {
    if (stream === this.#serving) return;
    const line = isShared(stream.priority) ? this.#sharing : this.#inOrder;
    const at = line.indexOf(stream, line === this.#sharing ? this.#at : 0);
    if (at >= 0) line.splice(at, 1);
  }

  serve(): void {
    const hasSharing = this.#at < this.#sharing.length;
    const isSharing = this.#inOrder.length === 0 || (hasSharing && this.#isSharingNext);
    this.#isSharingNext = !isSharing;
    if (isSharing) this.#serveSharing();
    else this.#serveInOrder();
  }

  #serveSharing(): void {
    const line = this.#sharing;
    const stream = line[this.#at++]!;
    if (this.#at === line.length || this.#at >= 64) {
      line.splice(0, this.#at);
      this.#at = 0;
    }
    stream.isInLine = false;
    if (!stream.takeTurn() || stream.isInLine) return;
    stream.isInLine = true;
    line.push(stream);
  }

  #serveInOrder(): void {
    const line = this.#inOrder;
    let at = 0;
    if (line.length > 1 && ++this.#turnsInOrder % OTHERS_EVERY === 0) {
      at = 1 + (this.#lastBehind % (line.length - 1));
      this.#lastBehind = at;
    }
    const stream = line[at]!;
    this.#serving = stream;
    stream.isInLine = false;
    if (stream.takeTurn()) stream.isInLine = true;
    this.#serving = null;
    // Others may have come to stand before it, or left.
    if (!stream.isInLine) line.splice(line.indexOf(stream), 1);
  }
}
