/** Clients that come back to the endpoint that served them first. */
import type { StickyConfig } from "../config/gateway-config.ts";
import type { Exchange } from "../http/exchange.ts";
import type { HttpResponse } from "../http/message.ts";
import type { Endpoint } from "./endpoint.ts";

export class Sticky {
  constructor(_config: StickyConfig) {}

  update(_endpoints: readonly Endpoint[]): void {}

  /** The endpoint the request names, usable or not; null if it names none of ours. */
  find(_exchange: Exchange): Endpoint | null {
    return null;
  }

  /** Adds to the response what brings the client back, if it does not have it already. */
  bind(_exchange: Exchange, _response: HttpResponse, _endpoint: Endpoint): void {}
}
