/** From the results of checks to whether an endpoint is up: how many in a row it takes, and what is marked then. */
import type { CheckConfig } from "../../config/gateway-config.ts";
import { type EndpointState, Status } from "../endpoint-state.ts";

export interface VerdictSettings extends Pick<CheckConfig, "rise" | "fall" | "initial"> {
  readonly slowStartMs: number;
  /** `machineTime`. */
  readonly now: () => number;
}

export class Verdict {
  readonly #settings: VerdictSettings;
  readonly #state: EndpointState;
  #up: boolean | null = null;
  /** Results in a row that say otherwise than `up`. */
  #against = 0;

  /**
   * @param inUse it had traffic before it was checked: `initial: down` does not take it away
   */
  constructor(settings: VerdictSettings, state: EndpointState, inUse: boolean) {
    this.#settings = settings;
    this.#state = state;
    // What a checker before this one found holds until this one finds something else.
    if ((state.status & Status.down) !== 0) this.#up = false;
    else if (settings.initial === "up") this.#up = true;
    else if (settings.initial === "down" && !inUse) state.mark(Status.unchecked);
  }

  /** null: there has been none yet. */
  get up(): boolean | null {
    return this.#up;
  }

  /** @returns true if the verdict is another one now */
  take(passed: boolean): boolean {
    if (passed === this.#up) {
      this.#against = 0;
      return false;
    }
    this.#against++;
    if (this.#against < this.#needed(passed)) return false;
    this.#against = 0;
    this.#up = passed;
    if (passed) this.#markUp();
    else this.#markDown();
    return true;
  }

  #needed(passed: boolean): number {
    const { rise, fall } = this.#settings;
    if (this.#up !== null) return passed ? rise : fall;
    // The first result decides; but who is believed down has to rise.
    return passed && (this.#state.status & Status.unchecked) !== 0 ? rise : 1;
  }

  #markDown(): void {
    this.#state.mark(Status.down);
    this.#state.unmark(Status.unchecked);
  }

  #markUp(): void {
    const state = this.#state;
    const { slowStartMs, now } = this.#settings;
    const wasDown = state.unmark(Status.down);
    const wasUnchecked = state.unmark(Status.unchecked);
    if (!wasDown && !wasUnchecked) return;
    // What traffic found before it went down is over too.
    if (state.unmark(Status.ejected)) state.ejectedUntil = now();
    state.clearFailures();
    if (slowStartMs > 0) state.rampSince = now();
  }
}
