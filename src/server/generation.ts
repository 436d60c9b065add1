/**
 * One generation: what is built from one config, routes with their chains folded into handlers. A
 * reload builds another beside it; upstreams live longer (upstreams.ts).
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
import type { Exchange, ExchangeOwner } from "../http/exchange.ts";
import { middlewares } from "../middleware/index.ts";
import { Slices } from "../net/slices.ts";
import { Branding } from "../proxy/branding.ts";
import { clientAddress, clientScheme } from "../proxy/client-address.ts";
import { forwardTo } from "../proxy/forward.ts";
import { CidrSet } from "../router/cidr.ts";
import { type RouteSpec, RouteTable, type SiteSpec } from "../router/table.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { siteSurroundings } from "./around-site.ts";

export interface GenerationOptions {
  readonly config: GatewayConfig;
  /** Folder of the config file. */
  readonly directory: string;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly log: Log;
  /** There is a certificate for this host, or one can be got. */
  covers(host: string): boolean;
}

const definitions = new Map<string, MiddlewareDefinition>(
  middlewares.map((definition) => [definition.name, definition]),
);

export class Generation implements ExchangeOwner {
  counters: unknown[] = [];
  readonly #options: GenerationOptions;
  #table!: RouteTable<Handler>;
  /** null: no proxy is trusted, and the client's address is the peer's. */
  readonly #trusted: CidrSet | null;
  readonly #upstreamConfigs: ReadonlyMap<string, UpstreamConfig>;
  readonly #connectListeners: ReadonlySet<string>;
  readonly #disposals: (() => void)[] = [];
  /** By name and options. What is written alike has the same options (packed-config.ts). */
  readonly #middlewares = new Map<string, Map<unknown, Middleware>>();
  /** By name of the upstream. */
  readonly #forwards = new Map<string, Handler>();
  /** Exchanges that this generation began and that are not finished. */
  #exchanges = 0;
  #retired = false;

  /**
   * Builds it in slices: traffic flows meanwhile.
   * @param before the generation that serves
   * @throws if a middleware cannot be created (a missing file, say); the message says which
   */
  static async build(options: GenerationOptions, before: Generation | null = null): Promise<Generation> {
    const generation = new Generation(options);
    const slices = new Slices();
    const specs: SiteSpec<Handler>[] = [];
    const { config, covers } = options;
    const surroundings = siteSurroundings({ config, covers, trusts: generation.#trusts });
    for (const site of options.config.sites) {
      const routes: RouteSpec<Handler>[] = [];
      const around = surroundings(site);
      for (const route of site.routes) {
        if (slices.isOver) await slices.next();
        routes.push({ name: route.name, match: route.match, target: generation.#createHandler(site, route, around) });
      }
      specs.push({ name: site.name, hosts: site.hosts, listeners: site.listeners, order: site.order, routes });
    }
    generation.#table = await slices.run(RouteTable.build(specs, before === null ? null : before.#table));
    generation.counters = new Array(generation.#table.size).fill(null);
    return generation;
  }

  private constructor(options: GenerationOptions) {
    this.#options = options;
    const { config } = options;
    this.#upstreamConfigs = new Map(config.upstreams.map((upstream) => [upstream.name, upstream]));
    this.#trusted = config.trustedProxies.length === 0 ? null : new CidrSet(config.trustedProxies);
    this.#connectListeners = new Set(
      config.listeners.filter(({ allowConnect }) => allowConnect).map(({ name }) => name),
    );
  }

  /** Answers an exchange: the one function engines call. */
  readonly handle: Handler = (exchange) => {
    this.#exchanges++;
    exchange.generation = this;
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

  /** An exchange that it began is finished. */
  finished(): void {
    this.#exchanges--;
    if (this.#retired) this.#disposeIfDone();
  }

  /** It begins no more exchanges; what it holds is let go when the last one is finished. */
  retire(): void {
    this.#retired = true;
    this.#disposeIfDone();
  }

  #disposeIfDone(): void {
    if (this.#exchanges === 0) for (const dispose of this.#disposals.splice(0)) dispose();
  }

  #createHandler(site: SiteConfig, route: RouteConfig, around: readonly Middleware[]): Handler {
    const chain = [
      ...around,
      ...site.use.map((use) => this.#middleware(use, site, null)),
      ...route.use.map((use) => this.#middleware(use, site, route)),
    ];
    const last = route.to === null ? unanswered(site, route) : this.#forward(route.to);
    return chain.reduceRight((next, middleware) => middleware(next), last);
  }

  /** Entries that say the same share one: `next` is all that differs. */
  #middleware(entry: MiddlewareConfig, site: SiteConfig, route: RouteConfig | null): Middleware {
    const { name, options } = entry;
    let known = this.#middlewares.get(name);
    if (known === undefined) {
      known = new Map();
      this.#middlewares.set(name, known);
    }
    let middleware = known.get(options);
    if (middleware === undefined) {
      // By names: where it stands in the file may have changed without its being sent again (packed-config.ts).
      const at = `${route === null ? "" : `route ${route.name} of `}site ${site.name}`;
      middleware = this.#createMiddleware(entry, at);
      known.set(options, middleware);
    }
    return middleware;
  }

  #createMiddleware({ name, options }: MiddlewareConfig, at: string): Middleware {
    const { log, directory } = this.#options;
    const scope: Scope = {
      log: log.with({ middleware: name, at }),
      directory,
      onDispose: (dispose) => this.#disposals.push(dispose),
    };
    try {
      return definitions.get(name)!.create(options, scope);
    } catch (thrown) {
      throw new Error(`${at}: ${name}: ${thrown instanceof Error ? thrown.message : String(thrown)}`, {
        cause: thrown,
      });
    }
  }

  #forward(name: string): Handler {
    let forward = this.#forwards.get(name);
    if (forward === undefined) {
      forward = this.#createForward(name);
      this.#forwards.set(name, forward);
    }
    return forward;
  }

  #createForward(name: string): Handler {
    const { config, upstreams } = this.#options;
    const upstream = upstreams.get(name)!;
    const { branding, retry, hedge } = this.#upstreamConfigs.get(name)!;
    const forward = forwardTo({
      upstream,
      retry,
      hedge,
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
}

/** The end of a chain without upstream: a middleware in it answers, unless it hands on (`files` with `next`). */
function unanswered(site: SiteConfig, route: RouteConfig): Handler {
  return () => {
    throw new Failure("no-route", `nothing in route ${route.name} of site ${site.name} answered`);
  };
}
