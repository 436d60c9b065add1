/** Why an upstream had no endpoint for an exchange, in words. */
import { Failure } from "../base/failure.ts";
import { Status } from "./endpoint-state.ts";
import type { Upstream } from "./upstream.ts";

const REASONS: readonly (readonly [bit: number, reason: string])[] = [
  [Status.disabled, "disabled"],
  [Status.draining, "draining"],
  [Status.down, "down by health check"],
  [Status.ejected, "ejected for failures"],
  [Status.unchecked, "not checked yet"],
];

/** @example "upstream app has no endpoint to try: of 3, 2 are down by health check and 1 is draining" */
export function noEndpoint({ name, endpoints }: Upstream): Failure {
  if (endpoints.length === 0) return new Failure("no-endpoint", `upstream ${name} has no endpoints`);
  const counts = new Map<string, number>();
  for (const { state, weight } of endpoints) {
    const { status } = state;
    // Of several reasons, the one that an operator gave comes first.
    const reason =
      REASONS.find(([bit]) => (status & bit) !== 0)?.[1] ?? (weight === 0 ? "of weight 0" : "at the limit");
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const parts = [...counts].map(([reason, count]) => `${count} ${count === 1 ? "is" : "are"} ${reason}`);
  const last = parts.pop()!;
  const text = parts.length === 0 ? last : `${parts.join(", ")} and ${last}`;
  return new Failure("no-endpoint", `upstream ${name} has no endpoint to try: of ${endpoints.length}, ${text}`);
}
