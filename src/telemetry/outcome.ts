/** Who ended an exchange, and in which phase. */
import { FAILURES } from "../base/failure.ts";
import type { Exchange, Outcome } from "../http/exchange.ts";

export function outcomeOf(exchange: Exchange): Outcome {
  const { failure, phase } = exchange;
  if (failure === null) return { by: null, phase, code: null };
  return { by: FAILURES[failure.code].side, phase, code: failure.code };
}

/** What the client was answered, or would have been; 499 if it left before. */
export function statusOf(exchange: Exchange): number {
  return exchange.response?.status ?? exchange.failure?.status ?? 0;
}
