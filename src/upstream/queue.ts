/** Exchanges that wait for an endpoint with room: first come, first served, bounded in number and time. */
import type { QueueConfig } from "../config/gateway-config.ts";

export interface QueueWaiter {
  /** There may be room: try to pick again. @returns false if there was none after all; it keeps its place */
  onRoom(): boolean;
  /** It has waited as long as it may. */
  onQueueTimeout(): void;
}

export class Queue {
  /** @param workers that share the size */
  constructor(_config: QueueConfig, _workers: number) {}

  /** @returns what takes the waiter out again, or null if the queue is full */
  add(_waiter: QueueWaiter): { cancel(): void } | null {
    return null;
  }

  /** An exchange has ended or the endpoints have changed. */
  wake(): void {}
}
