/**
 * The counters of one route, for each of its exchanges: with a thousand routes in use, each object on the way to a cell
 * is one more that the processor's caches have not got. So this is one, and it is found by number (`ExchangeOwner`).
 */
import type { Exchange } from "../http/exchange.ts";
import { type GatewayMetrics, type RouteMetrics, statusClass } from "./metrics.ts";
import { statusOf } from "./outcome.ts";
import { observe } from "./registry.ts";

export class RouteCounters {
  readonly #metrics: GatewayMetrics;
  readonly #cells: Float64Array;
  readonly #duration: number;
  readonly #requestOctets: number;
  readonly #responseOctets: number;
  /** By number of the listener: the first of a row by class of status. */
  readonly #requests: readonly number[];

  constructor(metrics: GatewayMetrics, { requests, duration, requestOctets, responseOctets }: RouteMetrics) {
    this.#metrics = metrics;
    this.#cells = duration.cells;
    this.#duration = duration.cell;
    this.#requestOctets = requestOctets.cell;
    this.#responseOctets = responseOctets.cell;
    this.#requests = requests.map(({ cell }) => cell);
  }

  /** Those of the route that answered. */
  static for(exchange: Exchange, metrics: GatewayMetrics): RouteCounters {
    const { generation, routeNumber, site, route } = exchange;
    if (generation === null || routeNumber < 0) return new RouteCounters(metrics, metrics.route(site, route));
    const kept = generation.counters[routeNumber] as RouteCounters | null | undefined;
    // After a reload the exchanges that were under way count where the new ones do.
    if (kept != null && kept.#metrics === metrics) return kept;
    const counters = new RouteCounters(metrics, metrics.route(site, route));
    generation.counters[routeNumber] = counters;
    return counters;
  }

  /** @param ms since its first octet */
  count(exchange: Exchange, ms: number): void {
    const cells = this.#cells;
    // None at all after a reload to a config of layer 4 only.
    const row = this.#requests[this.#metrics.listenerNumber(exchange.client.listener)];
    if (row !== undefined) cells[row + statusClass(statusOf(exchange))]! += 1;
    observe(cells, this.#duration, ms);
    if (exchange.requestOctets > 0) cells[this.#requestOctets]! += exchange.requestOctets;
    if (exchange.responseOctets > 0) cells[this.#responseOctets]! += exchange.responseOctets;
  }
}
