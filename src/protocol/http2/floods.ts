/**
 * What costs us more than the peer, counted. Two budgets per connection, both refilled by time and
 * by work that went somewhere, so that who has much to do may ask much:
 *
 * - `resets`: streams that end before their response does, since the client cancelled them
 *   (CVE-2023-44487, "rapid reset") or since it broke a rule so that we had to (CVE-2025-8671);
 * - `frames`: frames that carry nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, DATA without
 *   content, frames of unknown types (CVE-2019-9511 to 9518). Origin servers have such a budget too.
 *
 * Whoever uses one up gets GOAWAY with ENHANCE_YOUR_CALM.
 */
import { clock } from "../../base/timer.ts";
import { ConnectionError, ErrorCode } from "./error-code.ts";

export interface FrameFloodLimits {
  /** Frames that carry nothing, and how many are forgotten per second. Content makes up for them, and so does each stream. */
  readonly frames: number;
  readonly framesPerSecond: number;
}

export interface FloodLimits extends FrameFloodLimits {
  /** Cancelled or refused streams in a row, and how many are forgotten per second. A response that went to its end makes up for one. */
  readonly resets: number;
  readonly resetsPerSecond: number;
}

export const DEFAULT_FLOOD_LIMITS: FloodLimits = {
  resets: 200,
  resetsPerSecond: 30,
  frames: 1000,
  framesPerSecond: 100,
};

/** The requests of many clients share a connection to an origin server, and we chose to talk to it. */
const ORIGIN_SERVERS_SHARE = 10;

/** What an origin server may do, given what a client may. */
export const originLimits = ({ frames, framesPerSecond }: FrameFloodLimits): FrameFloodLimits => ({
  frames: frames * ORIGIN_SERVERS_SHARE,
  framesPerSecond: framesPerSecond * ORIGIN_SERVERS_SHARE,
});

/** A new stream may come with so many frames: its priority, windows, an empty last frame. */
const FRAMES_PER_STREAM = 8;
/** Two windows are updated at most for each of these. */
const CONTENT_PER_FRAME_OCTETS = 2048;
/** However small a message is: both windows, and a PING by which gRPC measures the round trip. */
const FRAMES_PER_MESSAGE = 3;
/** A SETTINGS frame makes us go through all streams, and GOAWAY a client. */
const WALK_WEIGHT = 10;

class Budget {
  readonly #most: number;
  readonly #perMs: number;
  #left: number;
  #filledAt = clock.now;

  constructor(most: number, perSecond: number) {
    this.#most = most;
    this.#perMs = perSecond / 1000;
    this.#left = most;
  }

  /** @returns false if it is used up */
  spend(amount: number): boolean {
    this.#left -= amount;
    if (this.#left >= 0) return true;
    this.earn((clock.now - this.#filledAt) * this.#perMs);
    this.#filledAt = clock.now;
    return this.#left >= 0;
  }

  earn(amount: number): void {
    this.#left = Math.min(this.#most, this.#left + amount);
  }
}

/** For either role: counts frames. */
export class FrameGuard {
  readonly #frames: Budget;
  /** Sent content that has been counted. */
  #countedOctets = 0;
  #countedMessages = 0;

  constructor({ frames, framesPerSecond }: FrameFloodLimits) {
    this.#frames = new Budget(frames, framesPerSecond);
  }

  /** A frame that carries nothing. @throws {ConnectionError} ENHANCE_YOUR_CALM */
  frame(name: string): void {
    const weight = name === "SETTINGS" || name === "GOAWAY" ? WALK_WEIGHT : 1;
    if (!this.#frames.spend(weight)) throw calmDown(`too many ${name} frames (limits.http2.frames)`);
  }

  streamBegun(): void {
    this.#frames.earn(FRAMES_PER_STREAM);
  }

  /** Content that came in a frame. */
  content(octets: number): void {
    if (octets > 0) this.#makeUp(octets, 1);
  }

  /** A WINDOW_UPDATE frame: what was sent so far makes up for it. Both parameters are since the connection began. */
  windowUpdate(sentOctets: number, sentMessages: number): void {
    this.#makeUp(sentOctets - this.#countedOctets, sentMessages - this.#countedMessages);
    this.#countedOctets = sentOctets;
    this.#countedMessages = sentMessages;
    this.frame("WINDOW_UPDATE");
  }

  #makeUp(octets: number, messages: number): void {
    this.#frames.earn(octets / CONTENT_PER_FRAME_OCTETS + messages * FRAMES_PER_MESSAGE);
  }
}

/** For servers: counts streams too. */
export class FloodGuard extends FrameGuard {
  readonly #resets: Budget;

  constructor(limits: FloodLimits) {
    super(limits);
    this.#resets = new Budget(limits.resets, limits.resetsPerSecond);
  }

  /** A stream ended before its response: by the client, or by its fault. @throws {ConnectionError} ENHANCE_YOUR_CALM */
  reset(): void {
    if (!this.#resets.spend(1)) throw calmDown("too many streams cancelled or refused (limits.http2.resets)");
  }

  streamDone(): void {
    this.#resets.earn(1);
  }
}

const calmDown = (message: string): ConnectionError => new ConnectionError(ErrorCode.enhanceYourCalm, message);
