/**
 * What all streams of a connection share to send and to receive: the connection's output and field
 * encoder, its two flow-control windows, and the line in which streams wait for their turn.
 *
 * A stream stands in line when something that all share is used up: the connection's window, or the
 * kernel's room. Each turn sends one frame, so that a large response does not hold up small ones; who
 * is next is send-line.ts. One that waits for its own window does not stand in line.
 */
import { clock } from "../../base/timer.ts";
import type { Connection } from "../../net/connection.ts";
import { DEFAULT_WINDOW_OCTETS } from "./frame.ts";
import type { FrameOutput } from "./frame-output.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import { PeerSettings } from "./peer-settings.ts";
import { firstConnectionWindow, ReceiveWindow } from "./receive-window.ts";
import { SendLine } from "./send-line.ts";
import { windowGrowth } from "./window-growth.ts";

/** The clock is that of the loop's turns: what comes within one takes no time. */
const LEAST_ROUND_TRIP_MS = 0.05;

export class Link {
  readonly connection: Connection;
  readonly out: FrameOutput;
  readonly peer = new PeerSettings();
  readonly encoder = new HpackEncoder();
  /** What we may still send on all streams together. */
  sendWindow = DEFAULT_WINDOW_OCTETS;
  readonly receiveWindow: ReceiveWindow;
  /** Octets of content sent so far. */
  contentOctets = 0;
  /** Frames of content sent so far that held all there was, and not what a window left room for. */
  contentMessages = 0;
  /** Streams that wait for their turn. */
  readonly line = new SendLine();
  #isGoingOn = false;
  /** When our SETTINGS were sent; their answer takes a round trip. */
  readonly #settingsAt = clock.now;
  #roundTripMs = -1;

  /** @param windowOctets what the peer may send on all streams together before we have taken it, at most */
  constructor(connection: Connection, out: FrameOutput, windowOctets: number) {
    this.connection = connection;
    this.out = out;
    const most = Math.max(windowOctets, DEFAULT_WINDOW_OCTETS);
    this.receiveWindow = new ReceiveWindow(firstConnectionWindow(most), most, DEFAULT_WINDOW_OCTETS, windowGrowth);
  }

  /** Tells the peer of the connection's window, which no setting does (RFC 9113 §6.9.2). */
  openWindow(): void {
    const { octets, left } = this.receiveWindow;
    if (octets === left) return;
    this.receiveWindow.move(octets - left);
    this.out.windowUpdate(0, octets - left);
  }

  /** The peer has answered our SETTINGS. */
  settingsAnswered(): void {
    if (this.#roundTripMs < 0) this.#roundTripMs = this.roundTripMs;
  }

  /** To the peer and back, with its time to answer; until it has answered once, what it has taken so far. */
  get roundTripMs(): number {
    return this.#roundTripMs < 0 ? Math.max(clock.now - this.#settingsAt, LEAST_ROUND_TRIP_MS) : this.#roundTripMs;
  }

  /** The connection is over. */
  end(): void {
    this.receiveWindow.end();
  }

  /** Octets on some stream were taken or thrown away. */
  took(octets: number): void {
    const update = this.receiveWindow.take(octets, true, this.roundTripMs);
    if (update === 0) return;
    this.out.use(this.connection);
    this.out.windowUpdate(0, update);
  }

  /** A stream that wants to send has to stand in line. */
  get isBusy(): boolean {
    return this.sendWindow <= 0 || this.connection.full || !this.line.isEmpty;
  }

  /** There is room: each in line has its turn, again and again. */
  goOn(): void {
    if (this.#isGoingOn) return;
    this.#isGoingOn = true;
    const { line } = this;
    while (!line.isEmpty && this.sendWindow > 0 && !this.connection.full) line.serve();
    this.#isGoingOn = false;
  }
}
