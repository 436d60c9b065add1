/**
 * Content read from an open file while it is sent, a chunk at a time and never ahead: while the sink
 * is full nothing is read. It owns the file descriptor and closes it in all cases: at the end, on
 * an error, when the sink or the exchange gives up, and if nobody ever sends it.
 */
import { close, closeSync, read } from "node:fs";
import { Failure } from "../../base/failure.ts";
import type { BodySink, BodySource, Flow } from "../../http/body.ts";
import type { ByteRange } from "./byte-range.ts";

/** Octets that are at hand, or a range of the file. */
export type Piece = Uint8Array | ByteRange;

const CHUNK_OCTETS = 128 * 1024;

/** The last resort: a response that was thrown away before anybody sent it. */
const forgotten = new FinalizationRegistry<number>((fd) => close(fd, () => {}));

export class FileBody implements BodySource, Flow {
  readonly length: number;
  readonly #fd: number;
  readonly #pieces: readonly Piece[];
  #next = 0;
  /** What is left of the range being read. */
  #start = 0;
  #end = 0;
  #buffer: Uint8Array | null = null;
  #sink: BodySink | null = null;
  #paused = false;
  /** A read is under way, or the sink is being called. */
  #busy = false;
  #reading = false;
  #over = false;

  /** @param length octets of all pieces */
  constructor(fd: number, pieces: readonly Piece[], length: number) {
    this.#fd = fd;
    this.#pieces = pieces;
    this.length = length;
    forgotten.register(this, fd, this);
  }

  sendTo(sink: BodySink): void {
    this.#sink = sink;
    const abandoned = this.#over;
    sink.begin(this);
    if (abandoned) sink.abort(new Failure("internal", "the exchange ended before its file was sent"));
    else this.#advance();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#advance();
  }

  cancel(): void {
    this.#finish();
  }

  /** The exchange is over and nobody has begun to send: nobody will. A sink that has begun cancels by itself. */
  abandon(): void {
    if (this.#sink === null) this.#finish();
  }

  /** Sends what can be sent now. */
  #advance(): void {
    while (!this.#busy && !this.#paused && !this.#over) {
      if (this.#start < this.#end) this.#read();
      else if (this.#next < this.#pieces.length) this.#enter(this.#pieces[this.#next++]!);
      else {
        this.#finish();
        this.#sink!.end(null);
      }
    }
  }

  #enter(piece: Piece): void {
    if (piece instanceof Uint8Array) this.#write(piece);
    else {
      this.#start = piece.start;
      this.#end = piece.end;
    }
  }

  #write(octets: Uint8Array): void {
    this.#busy = true;
    this.#sink!.write(octets);
    this.#busy = false;
  }

  #read(): void {
    const wanted = Math.min(this.#end - this.#start, CHUNK_OCTETS);
    this.#buffer ??= new Uint8Array(Math.min(this.length, CHUNK_OCTETS));
    this.#busy = true;
    this.#reading = true;
    read(this.#fd, this.#buffer, 0, wanted, this.#start, (error, octets) => {
      this.#busy = false;
      this.#reading = false;
      if (this.#over) return closeSync(this.#fd);
      if (error !== null || octets === 0) return this.#fail(error);
      this.#start += octets;
      this.#write(this.#buffer!.subarray(0, octets));
      this.#advance();
    });
  }

  #fail(cause: Error | null): void {
    this.#finish();
    const reason = cause === null ? "it became shorter while it was sent" : cause.message;
    this.#sink!.abort(new Failure("internal", `a file could not be read to its end: ${reason}`, { cause }));
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    forgotten.unregister(this);
    // The number could be another file's by the time a read that is under way gets to it.
    if (!this.#reading) closeSync(this.#fd);
  }
}
