/** One of two threads of passive-race.test.ts: fails all endpoints of shared memory, at the same time as the other. */
import { Failure } from "../../base/failure.ts";
import { SILENT } from "../../base/log.ts";
import type { PassiveHealthConfig } from "../../config/gateway-config.ts";
import { type StateMemory, Status } from "../endpoint-state.ts";
import { endpoint, stateIn } from "../testing.ts";
import { PassiveHealth } from "./passive.ts";

export interface Race {
  readonly memory: StateMemory;
  /** How often each thread has arrived where both wait for each other. */
  readonly arrivals: Int32Array;
  readonly slot: number;
  readonly endpoints: number;
  readonly rounds: number;
  readonly config: PassiveHealthConfig;
}

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<Race>) => {
  const { memory, arrivals, slot, endpoints, rounds, config } = data;
  const members = Array.from({ length: endpoints }, (_, i) =>
    endpoint(`e${i}:80`, { state: stateIn(memory, i, slot) }),
  );
  const failure = new Failure("upstream-connect-refused", "refused");
  const meet = (): void => {
    const mine = Atomics.add(arrivals, slot, 1) + 1;
    Atomics.notify(arrivals, slot);
    for (let others = 0; (others = Atomics.load(arrivals, 1 - slot)) < mine; ) {
      Atomics.wait(arrivals, 1 - slot, others, 100);
    }
  };
  let most = 0;
  for (let round = 0; round < rounds; round++) {
    const health = new PassiveHealth(config, { slowStartMs: 0, log: SILENT });
    health.update(members);
    meet();
    // From the two ends, so that both come to the limit with endpoints of their own.
    for (let i = 0; i < endpoints; i++) health.failed(members[slot === 0 ? i : endpoints - 1 - i]!, failure);
    meet();
    most = Math.max(most, members.filter(({ state }) => (state.status & Status.ejected) !== 0).length);
    meet();
    if (slot === 0) for (const { state } of members) state.reset();
  }
  self.postMessage(most);
};
