/**
 * For the tests of this room: a connection without a socket, whose peer is the test, and the ways
 * octets can be cut.
 */
import { drainMicrotasks } from "bun:jsc";
import { clock, tickTimers } from "../../base/timer.ts";
import type { Connection, ConnectionHandler, UnseenOctets } from "../../net/connection.ts";
import type { ContentLimits } from "./content-decoder.ts";
import type { HeadLimits } from "./head-decoder.ts";

/** Property tests run this often: enough for every change; `LINTEL_FUZZ=20000` for a long night. */
export const RUNS = Number(process.env["LINTEL_FUZZ"] ?? 150);

export const HEAD_LIMITS: HeadLimits = {
  requestLineOctets: 8192,
  fieldLineOctets: 8192,
  fieldSectionOctets: 32_768,
  fieldCount: 100,
};

export const CONTENT_LIMITS: ContentLimits = { trailerOctets: 8192, chunkExtensionOctets: 1024 };

/** Lines, each ended by CRLF, but for the last. */
export const wire = (...lines: string[]): string => lines.join("\r\n");

export const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

/** All ways to cut octets in two, then into single octets. */
export function* everySplit(octets: Buffer): Generator<Buffer[]> {
  for (let at = 0; at <= octets.length; at++) yield [octets.subarray(0, at), octets.subarray(at)];
  yield Array.from(octets, (_, at) => octets.subarray(at, at + 1));
}

/** Octets cut at places that follow from the sizes, which are used in turn. */
export function cut(octets: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, turn = 0; at < octets.length; turn++) {
    const size = Math.max(1, sizes[turn % sizes.length] ?? octets.length);
    pieces.push(octets.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

const nobody: ConnectionHandler = { onOctets() {}, onRoom() {}, onPeerEnd() {}, onLost() {}, onFault() {} };

/** One for all connections, as in net/tcp.ts: whoever keeps octets without copying them gets rubbish. */
const room = Buffer.alloc(256 * 1024);

/** Connections with something to hand on. */
const ready = new Set<FakeConnection>();

/** Runs promises and hands on what has arrived until nothing is left to do. */
export function settle(): void {
  for (;;) {
    drainMicrotasks();
    const [next] = ready;
    if (next === undefined) return;
    ready.delete(next);
    next.handOn();
  }
}

/** Lets time pass. */
export function pass(ms: number): void {
  tickTimers(clock.now + ms);
  settle();
}

export class FakeConnection implements Connection {
  handler: ConnectionHandler = nobody;
  octetsIn = 0;
  octetsOut = 0;
  paused = false;
  /** What became of it: "lingering" after a close that drains what the peer still sends. */
  fate: "open" | "closed" | "lingering" | "destroyed" | "reset" | "lost" = "open";
  /** Our half is closed. */
  writingEnded = false;
  /** The kernel takes nothing. */
  #stalled = false;
  #queued: Buffer[] = [];
  #sent: Buffer[] = [];
  #arrived: (Buffer | "end")[] = [];

  // ── what the engine sees ───────────────────────────────────────────────────────────────────

  get open(): boolean {
    return this.fate === "open" || this.fate === "closed" || this.fate === "lingering";
  }

  get full(): boolean {
    return this.#queued.length > 0;
  }

  get unsent(): number {
    return this.#queued.reduce((octets, piece) => octets + piece.length, 0);
  }

  write(octets: Uint8Array): void {
    if (this.fate !== "open" || octets.length === 0) return;
    if (this.writingEnded) throw new Error("written after the end of writing");
    this.octetsOut += octets.length;
    (this.#stalled || this.full ? this.#queued : this.#sent).push(Buffer.from(octets));
  }

  writeText(text: string): void {
    this.write(latin1(text));
  }

  writeUnseen({ length }: UnseenOctets): void {
    this.write(Buffer.alloc(length, "?"));
  }

  flush(): void {}

  isQuiet(): boolean {
    return this.fate === "open" && this.#arrived.length === 0;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    if (this.#arrived.length > 0) ready.add(this);
  }

  endWriting(): void {
    this.writingEnded = true;
  }

  close(peerMaySend: boolean): void {
    if (this.fate !== "open") return;
    this.fate = peerMaySend ? "lingering" : "closed";
    this.handler = nobody;
  }

  destroy(reset = false): void {
    if (!this.open) return;
    this.fate = reset ? "reset" : "destroyed";
    this.#queued = [];
  }

  // ── what the peer does ─────────────────────────────────────────────────────────────────────

  /** Octets arrive, each piece by itself. Text is latin1. */
  arrive(...pieces: (string | Uint8Array)[]): this {
    for (const piece of pieces) {
      this.#arrived.push(typeof piece === "string" ? latin1(piece) : Buffer.from(piece));
      ready.add(this);
      settle();
    }
    return this;
  }

  /** The peer closes its half. */
  end(): this {
    this.#arrived.push("end");
    ready.add(this);
    settle();
    return this;
  }

  /** The connection breaks, with what has not been handed on. */
  lose(error = "ECONNRESET"): this {
    if (this.fate === "open") {
      this.fate = "lost";
      this.#arrived = [];
      this.handler.onLost(error);
      settle();
    }
    return this;
  }

  /** From now on the kernel takes nothing more. */
  stall(): this {
    this.#stalled = true;
    return this;
  }

  /** The kernel takes everything again. */
  giveRoom(): this {
    this.#stalled = false;
    const wasFull = this.full;
    this.#sent.push(...this.#queued);
    this.#queued = [];
    if (wasFull) this.handler.onRoom();
    settle();
    return this;
  }

  /** What the peer has received since it was last asked. */
  taken(): string {
    const octets = Buffer.concat(this.#sent);
    this.#sent = [];
    return octets.toString("latin1");
  }

  /** Octets that have arrived and were not taken. */
  get waiting(): number {
    return this.#arrived.reduce((octets, piece) => octets + piece.length, 0);
  }

  /** For `settle`. */
  handOn(): void {
    while (this.#arrived.length > 0 && !this.paused && this.open) {
      const piece = this.#arrived.shift()!;
      if (piece === "end") this.handler.onPeerEnd();
      else {
        const length = piece.copy(room);
        if (length < piece.length) this.#arrived.unshift(piece.subarray(length));
        this.octetsIn += length;
        this.handler.onOctets(room, length);
        room.fill(0xee, 0, length);
      }
    }
  }
}
