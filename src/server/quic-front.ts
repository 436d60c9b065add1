/**
 * HTTP/3 in the process that serves it; in the others there are no addresses, and this does nothing. A
 * reload opens added ports before anything changes, and closes removed ones when their sessions have ended.
 */

import type { GatewayConfig, ListenerConfig } from "../config/gateway-config.ts";
import { attendRuntime } from "../net/loop.ts";
import { HoldBudget } from "../protocol/http3/held-octets.ts";
import type { GatewayMetrics } from "../telemetry/metrics.ts";
import type { CertificateStore } from "../tls/certificate-store.ts";
import { altSvcOf } from "./alt-svc.ts";
import type { Generation } from "./generation.ts";
import type { QuicAddress } from "./ipc.ts";
import { QuicDoor, type QuicDoorParts } from "./quic-door.ts";

export interface PreparedFront {
  commit(metrics: GatewayMetrics, generation: Generation): void;
  abort(): void;
}

/** While there are sessions: 500 wake-ups a second, half a percent of a core. */
const BUSY_MS = 2;

/** Which socket it is: what stays so in another config keeps it. Early data cannot be switched on one. */
const keyOf = ({ id, host, port }: QuicAddress, { http3 }: ListenerConfig): string =>
  `${id} ${host} ${port} ${http3?.earlyData}`;

export class QuicFront {
  readonly #parts: QuicDoorParts;
  readonly #held = new HoldBudget(0);
  #doors = new Map<string, QuicDoor>();

  constructor(parts: Omit<QuicDoorParts, "held" | "onChanged">, onClosed: () => void) {
    const onChanged = () => {
      this.#attend();
      onClosed();
    };
    this.#parts = { ...parts, held: this.#held, onChanged };
  }

  #attend(): void {
    if (this.#doors.size > 0) attendRuntime(this.#parts.connections.size > 0 ? BUSY_MS : undefined);
  }

  /** @throws {Error} if a port cannot be had */
  async prepare(
    config: GatewayConfig,
    addresses: readonly QuicAddress[],
    store: CertificateStore,
  ): Promise<PreparedFront> {
    const listenerOf = ({ name }: QuicAddress) => config.listeners.find((one) => one.name === name)!;
    const next = new Map<string, QuicDoor>();
    const added: QuicDoor[] = [];
    const abort = () => {
      for (const door of added) door.abandon();
    };
    try {
      for (const address of addresses) {
        const listener = listenerOf(address);
        const key = keyOf(address, listener);
        const kept = this.#doors.get(key);
        const door = kept ?? new QuicDoor(address, this.#parts);
        next.set(key, door);
        if (kept !== undefined) continue;
        added.push(door);
        await door.open(listener, config, store);
      }
    } catch (thrown) {
      abort();
      throw thrown;
    }
    return {
      commit: (metrics, generation) => {
        this.#held.maxOctets = config.limits.http3.held;
        for (const address of addresses) {
          const listener = listenerOf(address);
          const door = next.get(keyOf(address, listener))!;
          door.use(listener, config, metrics.listener(listener.name), generation, altSvcOf(listener, addresses));
        }
        for (const [key, door] of this.#doors) if (!next.has(key)) door.shut();
        this.#doors = next;
        this.#attend();
      },
      abort,
    };
  }

  materialChanged(): void {
    for (const door of this.#doors.values()) door.materialChanged();
  }

  shut(): void {
    for (const door of this.#doors.values()) door.shut();
  }
}
