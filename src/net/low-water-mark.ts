/**
 * Long content comes in bursts, 64 KiB or so each, and the kernel would wake us for every one of them. Told how much is
 * worth it (SO_RCVLOWAT, socket(7)), it wakes us for several at once: 1 MiB then takes half the wake-ups, and a fifth less
 * CPU. Only for octets that are known to come: nobody may wait for an end that has arrived already. A peer that pauses
 * in the middle holds back what it sent before by `PATIENCE_MS` at most.
 */
import { Timer, timerList } from "../base/timer.ts";
import { SO_RCVLOWAT, SOL_SOCKET, setOption } from "./libc.ts";

const WORTH_WAKING_OCTETS = 256 * 1024;
/** A peer that sends less at a time is slow: whoever waits for it wants it as it comes. */
const BURST_OCTETS = 32 * 1024;
const PATIENCE_MS = 4;

export class LowWaterMark {
  readonly #fd: number;
  #octets = 1;
  /** The kernel looks again when the mark is lowered, and wakes us if there is anything. */
  readonly #patience = new Timer(() => this.#set(1));

  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Nothing more is there to read.
   * @param burst what was there
   * @param wanted octets that are to come
   */
  waitFor(burst: number, wanted: number): void {
    this.#set(burst < BURST_OCTETS || wanted === Infinity ? 1 : Math.min(wanted, WORTH_WAKING_OCTETS));
    if (this.#octets > 1) this.#patience.arm(timerList(PATIENCE_MS)!);
  }

  /** Every octet counts again. To be called before the descriptor is closed. */
  clear(): void {
    this.#patience.cancel();
    this.#set(1);
  }

  #set(octets: number): void {
    if (octets === this.#octets) return;
    this.#octets = octets;
    setOption(this.#fd, SOL_SOCKET, SO_RCVLOWAT, octets);
  }
}
