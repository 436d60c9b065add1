/**
 * How a connection ends without losing a request (RFC 9113 §6.8): first the client is told to begin
 * no more streams, and once it must have heard of it, which one was the last.
 */
import { Timer, timerList } from "../../base/timer.ts";
import { ErrorCode } from "./error-code.ts";
import { MAX_STREAM_ID } from "./frame.ts";
import type { Link } from "./link.ts";

/** How long a client has to answer our PING, and so to hear of the end: more than a phone on a bad day takes. */
const HEARING_TIME = timerList(5000)!;
const PING_OCTETS = Buffer.from("draining");

export class Goodbye {
  readonly #link: Link;
  /** What follows once it is said. */
  readonly #onSaid: () => void;
  #timer: Timer | null = null;
  isAnnounced = false;
  /** No stream is taken any more. */
  isSaid = false;

  constructor(link: Link, onSaid: () => void) {
    this.#link = link;
    this.#onSaid = onSaid;
  }

  announce(): void {
    if (this.isAnnounced) return;
    this.isAnnounced = true;
    const { out, connection } = this.#link;
    out.use(connection);
    out.goAway(MAX_STREAM_ID, ErrorCode.none);
    out.ping(false, PING_OCTETS);
    this.#timer = new Timer(() => this.#say());
    this.#timer.arm(HEARING_TIME);
  }

  /** An answer to a PING came; maybe to ours. */
  onPong(octets: Buffer, at: number): void {
    if (this.isAnnounced && PING_OCTETS.compare(octets, at, at + 8) === 0) this.#say();
  }

  #say(): void {
    if (this.isSaid) return;
    this.cancel();
    this.#onSaid();
  }

  /** Nothing is waited for. */
  cancel(): void {
    this.isSaid = true;
    this.#timer?.cancel();
  }
}
