/** What a listener knows of its sites and of the names that were asked for. */
import type { SiteConfig, TlsEndConfig } from "../config/gateway-config.ts";
import { compileRegex } from "../config/pattern.ts";
import type { ChosenIdentity } from "./certificate-store.ts";
import { NameTable } from "./name-table.ts";

/** Connections for it are made by rules of its own: no other site's will do for its requests. */
export function hasRules({ tls }: Pick<SiteConfig, "tls">): boolean {
  return tls !== null && (tls.clientAuth !== null || tls.minVersion !== null);
}

/**
 * The site's rules as one text: a connection is made by those of its handshake and outlives them, and what has been
 * proven by other rules says nothing about these. Files count by name: a list that is renewed turns nobody away.
 * @returns "" if it has none
 */
export function rulesOf(site: Pick<SiteConfig, "name" | "tls">): string {
  if (!hasRules(site)) return "";
  const { clientAuth, minVersion } = site.tls!;
  return JSON.stringify([site.name, minVersion, clientAuth?.mode, clientAuth?.ca, clientAuth?.crl]);
}

/** Names that strangers may make up are not remembered without bound. */
const MOST_REMEMBERED = 10_000;

/** What one listener needs to know of its sites. */
export class ListenerNames {
  readonly tls: TlsEndConfig;
  readonly sites: readonly SiteConfig[];
  readonly chosen = new Map<string, ChosenIdentity | null>();
  /** Made when first asked for: where no site has rules of its own, a handshake need not know whose it is. */
  #byHost: SitesByHost | null = null;
  readonly #hasRules: boolean;

  constructor(tls: TlsEndConfig, sites: readonly SiteConfig[]) {
    this.tls = tls;
    this.sites = sites;
    this.#hasRules = sites.some(hasRules);
  }

  /** The same with nothing chosen yet. */
  anew(): ListenerNames {
    const next = new ListenerNames(this.tls, this.sites);
    next.#byHost = this.#byHost;
    return next;
  }

  /** The site that a request for this host goes to. */
  site(name: string | null): SiteConfig | null {
    this.#byHost ??= new SitesByHost(this.sites);
    return this.#byHost.find(name);
  }

  /** The one whose rules hold for a handshake; null: those of the listener do. */
  ruler(name: string | null): SiteConfig | null {
    if (!this.#hasRules) return null;
    const site = this.site(name);
    return site !== null && hasRules(site) ? site : null;
  }

  remember(name: string, identity: ChosenIdentity | null): void {
    if (this.chosen.size >= MOST_REMEMBERED) this.chosen.clear();
    this.chosen.set(name, identity);
  }
}

/** As the router decides it (router/table.ts). */
class SitesByHost {
  readonly #byName = new NameTable<SiteConfig>();
  /** By what follows the dot: any depth below. */
  readonly #below = new Map<string, SiteConfig>();
  readonly #regexes: (readonly [RegExp, SiteConfig])[] = [];

  constructor(sites: readonly SiteConfig[]) {
    for (const site of sites) {
      if (site.hosts.length === 0) this.#byName.fallback ??= site;
      for (const host of site.hosts) {
        if (host.startsWith("~")) this.#regexes.push([compileRegex(host), site]);
        else if (host.startsWith(".")) this.#below.set(host.slice(1), site);
        else if (this.#byName.get(host) === undefined) this.#byName.set(host, site);
      }
    }
  }

  find(name: string | null): SiteConfig | null {
    if (name === null) return this.#byName.fallback;
    const direct = this.#byName.match(name);
    if (direct !== undefined) return direct;
    for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
      const site = this.#below.get(name.slice(dot + 1));
      if (site !== undefined) return site;
    }
    return this.#regexes.find(([regex]) => regex.test(name))?.[1] ?? this.#byName.fallback;
  }
}
