/**
 * `timeouts` sets time limits of the exchanges that come through it, over those of the upstream and
 * the gateway. What it does not name stays as it is; of two on one way the inner one wins.
 *
 * It only states them: who waits for the thing keeps the time (connect, first octet and idle times
 * at the upstream, the whole exchange, the tunnel and the request's content at the engine).
 */
import { z } from "zod";
import { duration } from "../../base/option.ts";
import { defineMiddleware } from "../../http/define.ts";
import type { ExchangeTimeouts } from "../../http/exchange.ts";

const options = z
  .strictObject({
    connect: duration("Until a connection to an endpoint stands.").optional(),
    firstOctet: duration("From the end of the request until the response begins.").optional(),
    upstreamIdle: duration("Between two pieces of the response.").optional(),
    exchange: duration(
      "The whole exchange, from the first octet of the request to the last of the response.",
    ).optional(),
    tunnelIdle: duration("Without an octet in either direction after a protocol switch.").optional(),
    contentIdle: duration("Without an octet of request content; `off` lifts `timeouts.contentRate` too.").optional(),
  })
  .refine((given) => Object.values(given).some((ms) => ms !== undefined), {
    message: "timeouts sets nothing: give connect, firstOctet, upstreamIdle, exchange, tunnelIdle or contentIdle",
  });

export const timeouts = defineMiddleware({
  name: "timeouts",
  summary: "Sets time limits of the exchange.",
  options,
  create({ connect, firstOctet, upstreamIdle, exchange: whole, tunnelIdle, contentIdle }) {
    const ours: Partial<ExchangeTimeouts> = {
      ...(connect !== undefined && { connectMs: connect }),
      ...(firstOctet !== undefined && { firstOctetMs: firstOctet }),
      ...(upstreamIdle !== undefined && { upstreamIdleMs: upstreamIdle }),
      ...(whole !== undefined && { exchangeMs: whole }),
      ...(tunnelIdle !== undefined && { tunnelIdleMs: tunnelIdle }),
      ...(contentIdle !== undefined && { contentIdleMs: contentIdle }),
    };
    return (next) => (exchange) => {
      exchange.timeouts = exchange.timeouts === null ? ours : { ...exchange.timeouts, ...ours };
      return next(exchange);
    };
  },
});
