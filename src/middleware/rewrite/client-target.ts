/** The request target as the client sent it, whatever has been made of it since. */
import { type Exchange, Slot } from "../../http/exchange.ts";

const sent = new Slot<string>("client target");

/** Call before the target is changed. */
export function keepClientTarget(exchange: Exchange): void {
  if (exchange.get(sent) === undefined) exchange.set(sent, exchange.request.target);
}

export function clientTarget(exchange: Exchange): string {
  return exchange.get(sent) ?? exchange.request.target;
}
