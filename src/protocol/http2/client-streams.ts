/**
 * The streams of a client connection: those that are open, and which of the others may still bring
 * frames (RFC 9113 §5.1).
 */
import { Table } from "../../base/table.ts";
import type { ClientStream } from "./client-stream.ts";
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { MAX_STREAM_ID } from "./frame.ts";
import { ResetStreams } from "./reset-streams.ts";
import { streamHash } from "./stream-hash.ts";

export class ClientStreams {
  readonly #open = new Table<number, ClientStream>(streamHash);
  #nextId = 1;
  readonly #wereReset = new ResetStreams();

  /** The number of the stream that is opened next. */
  get nextId(): number {
    return this.#nextId;
  }

  /** No number is left (RFC 9113 §5.1.1). */
  get areUsedUp(): boolean {
    return this.#nextId > MAX_STREAM_ID;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Those that are open now, whatever becomes of them meanwhile. */
  get all(): ClientStream[] {
    return this.#open.all();
  }

  /** @param stream with `nextId` */
  open(stream: ClientStream): void {
    this.#open.add(stream.id, stream);
    this.#nextId += 2;
  }

  /** @returns false if it was not open */
  close(streamId: number): boolean {
    return this.#open.delete(streamId);
  }

  /** A stream that was opened; null if it is over. @throws {ConnectionError} if it never was */
  find(streamId: number): ClientStream | null {
    if (streamId % 2 === 0 || streamId >= this.#nextId)
      throw new ConnectionError(ErrorCode.protocol, `a frame on stream ${streamId}, which is idle (RFC 9113 §5.1)`);
    return this.#open.get(streamId);
  }

  /** We reset it. */
  noteReset(streamId: number): void {
    this.#wereReset.add(streamId);
  }

  /** A frame on a stream that is over. @throws {ConnectionError} if it cannot have been under way */
  letPass(streamId: number): void {
    if (this.#wereReset.has(streamId)) return;
    throw new ConnectionError(ErrorCode.streamClosed, `a frame on stream ${streamId}, which is closed (RFC 9113 §5.1)`);
  }
}
