/**
 * One generation: everything that is built from one config. Routes with their chains folded into
 * handlers, upstreams with their endpoints. A reload builds another beside it.
 */
import { Failure } from "../base/failure.ts";
import type { Log } from "../base/log.ts";
import type {
  GatewayConfig,
  MiddlewareConfig,
  RouteConfig,
  SiteConfig,
  UpstreamConfig,
} from "../config/gateway-config.ts";
import { limitContent } from "../http/content-limit.ts";
import type { Handler, Middleware, MiddlewareDefinition, Scope } from "../http/define.ts";
import type { Exchange } from "../http/exchange.ts";
import { middlewares } from "../middleware/index.ts";
import type { Http1ClientSettings } from "../protocol/http1/client.ts";
import { Branding } from "../proxy/branding.ts";
import { clientAddress, clientScheme } from "../proxy/client-address.ts";
import { forwardTo } from "../proxy/forward.ts";
import { CidrSet } from "../router/cidr.ts";
import { RouteTable } from "../router/table.ts";
import type { GatewayMetrics } from "../telemetry/metrics.ts";
import { balancers } from "../upstream/balancers/index.ts";
import { Endpoint, type EndpointObserver } from "../upstream/endpoint.ts";
import { Resolver } from "../upstream/resolver.ts";
import { Upstream } from "../upstream/upstream.ts";

export interface GenerationOptions {
  readonly config: GatewayConfig;
  /** Folder of the config file. */
  readonly directory: string;
  readonly metrics: GatewayMetrics;
  readonly log: Log;
}

const definitions = new Map<string, MiddlewareDefinition>(
  middlewares.map((definition) => [definition.name, definition]),
);

export class Generation {
  readonly #options: GenerationOptions;
  readonly #upstreams = new Map<string, Upstream>();
  readonly #table: RouteTable<Handler>;
  readonly #resolver: Resolver;
  /** null: no proxy is trusted, and the client's address is the peer's. */
  readonly #trusted: CidrSet | null;
  readonly #connectListeners: ReadonlySet<string>;
  readonly #disposals: (() => void)[] = [];

  /** @throws if a middleware cannot be created (a missing file, say); the message says which */
  constructor(options: GenerationOptions) {
    this.#options = options;
    const { config, log } = options;
    this.#resolver = new Resolver(log);
    this.#trusted = config.trustedProxies.length === 0 ? null : new CidrSet(config.trustedProxies);
    this.#connectListeners = new Set(
      config.listeners.filter(({ allowConnect }) => allowConnect).map(({ name }) => name),
    );
    for (const upstream of config.upstreams) this.#upstreams.set(upstream.name, this.#createUpstream(upstream));
    this.#table = new RouteTable(
      config.sites.map((site) => ({
        name: site.name,
        hosts: site.hosts,
        listeners: site.listeners,
        order: site.order,
        routes: site.routes.map((route) => ({
          name: route.name,
          match: route.match,
          target: this.#createHandler(site, route),
        })),
      })),
    );
  }

  /** Looks up the names of all endpoints. Resolves when each was tried once. */
  async start(): Promise<void> {
    const endpoints = [...this.#upstreams.values()].flatMap((upstream) => upstream.endpoints);
    await Promise.all(endpoints.map((endpoint) => this.#resolver.follow(endpoint)));
  }

  upstream(name: string): Upstream | undefined {
    return this.#upstreams.get(name);
  }

  /** Answers an exchange: the one function engines call. */
  readonly handle: Handler = (exchange) => {
    if (this.#trusted?.has(exchange.client.peer)) {
      exchange.clientAddress = clientAddress(exchange, this.#trusted);
      exchange.request.scheme = clientScheme(exchange);
    }
    if (exchange.request.method === "CONNECT" && !this.#connectListeners.has(exchange.client.listener)) {
      throw new Failure("connect-not-allowed", `CONNECT is not allowed on listener ${exchange.client.listener}`);
    }
    const handler = this.#table.find(exchange);
    if (handler !== null) return handler(exchange);
    if (exchange.site === null) throw new Failure("no-site", `no site for host ${exchange.host}`);
    throw new Failure("no-route", `no route of site ${exchange.site} matches ${exchange.path}`);
  };

  dispose(): void {
    this.#resolver.stop();
    for (const upstream of this.#upstreams.values()) upstream.close();
    for (const dispose of this.#disposals) dispose();
  }

  #createHandler(site: SiteConfig, route: RouteConfig): Handler {
    const chain = [...site.use, ...route.use].map((use) => this.#createMiddleware(use));
    const last = route.to === null ? unanswered(site, route) : this.#createForward(route.to);
    return chain.reduceRight((next, middleware) => middleware(next), last);
  }

  #createMiddleware({ name, options, path }: MiddlewareConfig): Middleware {
    const { log, directory } = this.#options;
    const scope: Scope = {
      log: log.with({ middleware: name, at: path }),
      directory,
      onDispose: (dispose) => this.#disposals.push(dispose),
    };
    try {
      return definitions.get(name)!.create(options, scope);
    } catch (thrown) {
      throw new Error(`${path}: ${name}: ${thrown instanceof Error ? thrown.message : String(thrown)}`, {
        cause: thrown,
      });
    }
  }

  #createForward(name: string): Handler {
    const { config } = this.#options;
    const upstream = this.#upstreams.get(name)!;
    const { branding } = config.upstreams.find((one) => one.name === name)!;
    const forward = forwardTo({
      upstream,
      branding: branding === null ? null : new Branding(branding.as),
      trusts: this.#trusts,
      exchangeMs: config.timeouts.exchange,
    });
    const maxContent = config.limits.content;
    return (exchange) => {
      if (exchange.maxContentOctets === null) limitContent(exchange.request, maxContent, "limits.content");
      return forward(exchange);
    };
  }

  readonly #trusts = (exchange: Exchange): boolean => this.#trusted?.has(exchange.client.peer) ?? false;

  #createUpstream(config: UpstreamConfig): Upstream {
    const { limits } = this.#options.config;
    const http1: Http1ClientSettings = {
      head: {
        requestLineOctets: limits.requestLine,
        fieldLineOctets: Math.max(limits.fieldLine, 16 * 1024),
        fieldSectionOctets: Math.max(limits.fieldSection, 64 * 1024),
        fieldCount: Math.max(limits.fields, 200),
      },
      content: { trailerOctets: limits.trailers, chunkExtensionOctets: limits.chunkExtensions },
    };
    const endpoints = config.endpoints.map(
      ({ address, weight }) =>
        new Endpoint(
          { address, weight, maxIdle: config.pool.maxIdle, idleTimeMs: config.pool.idleTimeout, http1 },
          this.#observe(config.name, address),
        ),
    );
    const host =
      config.branding !== null
        ? ({ kind: "fixed", value: new Branding(config.branding.as).authority } as const)
        : config.host;
    const { connect, firstOctet, idle } = config.timeouts;
    const settings = {
      name: config.name,
      host,
      retries: config.retries,
      connectMs: connect,
      firstOctetMs: firstOctet,
      idleMs: idle,
    };
    const balancer = balancers.find(({ name }) => name === config.balance)!.create();
    return new Upstream(settings, endpoints, balancer);
  }

  #observe(upstream: string, address: string): EndpointObserver {
    const { metrics, log } = this.#options;
    const endpoint = metrics.endpoint(upstream, address)!;
    return {
      connectionOpened() {
        endpoint.opened.add(1);
        endpoint.active.up();
      },
      connectionClosed(idle) {
        (idle ? endpoint.idle : endpoint.active).down();
      },
      becameIdle() {
        endpoint.active.down();
        endpoint.idle.up();
      },
      becameActive() {
        endpoint.idle.down();
        endpoint.active.up();
      },
      fault(thrown) {
        log.error("a fault in an exchange", {
          upstream,
          endpoint: address,
          error: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
        });
      },
    };
  }
}

/** The end of a chain without upstream: a middleware in it answers, unless it hands on (`files` with `next`). */
function unanswered(site: SiteConfig, route: RouteConfig): Handler {
  return () => {
    throw new Failure("no-route", `nothing in route ${route.name} of site ${site.name} answered`);
  };
}
