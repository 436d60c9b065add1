/**
 * Which certificates and rules a client gets for the name it asks for, per listener. Made from a
 * config and its material; another one takes its place when either changes, and connections that
 * are there already go on.
 *
 * Contexts (20 KB, 50 µs) are made when a name is first asked for and shared by all names that need
 * the same. What has not changed is taken over from the store before, so that sessions can still be
 * resumed after a renewal of another name.
 */
import type { GatewayConfig, ListenerTlsConfig, SiteConfig, SiteTlsConfig } from "../config/gateway-config.ts";
import { compileRegex } from "../config/pattern.ts";
import type { ClientHello } from "../net/tls-client-hello.ts";
import { alpnWire, createTlsContext, type TlsContext, type TlsVersion } from "../net/tls-runtime.ts";
import type { TlsIdentity } from "../net/tls-server.ts";
import { NameTable } from "./name-table.ts";
import { PROFILES } from "./profiles.ts";
import { readCertificate } from "./server-certificate.ts";
import type { MaterialCertificate, TlsMaterial } from "./tls-material.ts";

/** What a client gets, and by whose rules. */
export interface ChosenIdentity extends TlsIdentity {
  /** Where the certificates came from. */
  readonly origins: readonly string[];
}

/** A certificate as it is served; for `lintel cert` and the admin API. */
export interface ServedCertificate {
  readonly origin: string;
  readonly site: string | null;
  readonly names: readonly string[];
  readonly kind: "ecdsa" | "rsa";
  readonly subject: string;
  readonly issuer: string;
  readonly fingerprint: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** RSA and ECDSA of one name; a client gets the one it can use. */
interface Bundle {
  readonly certificates: MaterialCertificate[];
}

export class CertificateStore {
  readonly #material: TlsMaterial;
  readonly #bundles: NameTable<Bundle>;
  readonly #served: readonly ServedCertificate[];
  readonly #listeners = new Map<string, ListenerNames>();
  /** By everything that is in it. */
  readonly #contexts = new Map<string, TlsContext>();
  readonly #before: ReadonlyMap<string, TlsContext>;

  /** @param before  the store that this one takes the place of */
  constructor(config: GatewayConfig, material: TlsMaterial, before: CertificateStore | null = null) {
    this.#material = material;
    this.#before = before === null ? new Map() : before.#contexts;
    this.#served = material.certificates.map(({ origin, site, names, cert, key }) => {
      const { kind, subject, issuer, fingerprint, notBefore, notAfter } = readCertificate({ cert, key });
      return { origin, site, names, kind, subject, issuer, fingerprint, notBefore, notAfter };
    });
    this.#bundles = bundles(material.certificates, this.#served);
    for (const { name, tls } of config.listeners) {
      if (tls === null) continue;
      const sites = config.sites.filter((site) => site.listeners.includes(name));
      this.#listeners.set(name, new ListenerNames(tls, sites));
    }
  }

  /**
   * @param listener  name of a listener with TLS
   * @returns null if the name is to be refused, or there is nothing to show
   * @throws {Error} if a context cannot be made: a CA, a revocation list or ciphers that the library does not take
   */
  choose(listener: string, { serverName }: Pick<ClientHello, "serverName">): ChosenIdentity | null {
    const names = this.#listeners.get(listener);
    if (names === undefined) return null;
    const known = names.chosen.get(serverName ?? "");
    if (known !== undefined) return known;
    const made = this.#identity(names, serverName);
    names.remember(serverName ?? "", made);
    return made;
  }

  #identity(names: ListenerNames, serverName: string | null): ChosenIdentity | null {
    const { tls } = names;
    let bundle = serverName === null ? undefined : this.#bundles.match(serverName);
    if (bundle === undefined && serverName !== null && tls.unknownNames === "refuse") return null;
    bundle ??= this.#fallback(tls);
    if (bundle === undefined) return null;
    const site = serverName === null ? null : names.site(serverName);
    const rules = site?.tls ?? null;
    const mode = rules?.clientAuth?.mode ?? "none";
    return {
      context: this.#context(bundle, tls, rules),
      clientCertificate: mode,
      alpn: alpnWire(tls.alpn),
      site: rules === null ? "" : site!.name,
      origins: bundle.certificates.map(({ origin }) => origin),
    };
  }

  #fallback(tls: ListenerTlsConfig): Bundle | undefined {
    if (tls.default !== null) return this.#bundles.get(tls.default) ?? this.#bundles.match(tls.default);
    return this.#bundles.fallback ?? undefined;
  }

  #context({ certificates }: Bundle, tls: ListenerTlsConfig, rules: SiteTlsConfig | null): TlsContext {
    const { custom } = tls;
    const profile = PROFILES[tls.profile === "custom" ? "intermediate" : tls.profile];
    const file = (path: string | null | undefined) => (path == null ? null : this.#file(path));
    const options = {
      certificates: certificates.map(({ cert }) => cert),
      keys: certificates.map(({ key }) => key),
      ca: file(rules?.clientAuth?.ca),
      crl: file(rules?.clientAuth?.crl),
      minVersion: later(custom?.minVersion ?? profile.minVersion, rules?.minVersion ?? null),
      maxVersion: custom?.maxVersion ?? ("TLSv1.3" as const),
      ciphers: custom?.ciphers?.join(":") ?? PROFILES.intermediate.ciphers,
      groups: custom?.groups?.join(":") ?? profile.groups,
    };
    // With the rules for client certificates, so that no session made without one is resumed where one is required.
    const key = JSON.stringify([options, rules === null ? null : rules.clientAuth]);
    let context = this.#contexts.get(key) ?? this.#before.get(key);
    context ??= createTlsContext(options);
    this.#contexts.set(key, context);
    return context;
  }

  #file(path: string): string {
    const text = this.#material.files[path];
    // Without it, everyone would be let in, or nobody: better no handshake at all.
    if (text === undefined) throw new Error(`${path} could not be read`);
    return text;
  }

  /** All that may be shown. */
  get certificates(): readonly ServedCertificate[] {
    return this.#served;
  }

  /** Those shown for a name, without the default. */
  lookUp(name: string): ServedCertificate[] {
    const bundle = this.#bundles.match(name.toLowerCase());
    return this.#served.filter(({ origin }) => bundle?.certificates.some((one) => one.origin === origin));
  }

  /** Hosts of sites on listeners with TLS for which there is no certificate: their clients will be warned, or refused. */
  uncovered(): { readonly site: string; readonly host: string }[] {
    const missing: { site: string; host: string }[] = [];
    const seen = new Set<string>();
    for (const { sites } of this.#listeners.values()) {
      for (const { name, hosts } of sites) {
        for (const host of hosts) {
          // Of the patterns only those that a certificate can name.
          if (/^[~.]/.test(host) || seen.has(`${name} ${host}`)) continue;
          seen.add(`${name} ${host}`);
          const covered = host.startsWith("*.") ? this.#bundles.get(host) : this.#bundles.match(host);
          if (covered === undefined) missing.push({ site: name, host });
        }
      }
    }
    return missing;
  }

  /** Makes every context that could be asked for; says what cannot be made. For `lintel check` and before a reload. */
  tryAll(): string[] {
    const problems = new Set<string>();
    for (const [name, names] of this.#listeners) {
      const asked = [null, ...names.sites.flatMap(({ hosts }) => hosts.filter((host) => !/^[~.*]/.test(host)))];
      for (const host of asked) {
        try {
          this.choose(name, { serverName: host });
        } catch (thrown) {
          problems.add((thrown as Error).message);
        }
      }
    }
    return [...problems];
  }
}

const later = (one: TlsVersion, other: TlsVersion | null): TlsVersion => (other !== null && other > one ? other : one);

/** By name. Of several of one kind for a name, a site's own goes first, then the one that is valid longest. */
function bundles(
  certificates: readonly MaterialCertificate[],
  served: readonly ServedCertificate[],
): NameTable<Bundle> {
  const table = new NameTable<Bundle>();
  const order = certificates.map((_, i) => i);
  order.sort((a, b) => {
    const [one, other] = [served[a]!, served[b]!];
    return Number(one.site === null) - Number(other.site === null) || other.notAfter.getTime() - one.notAfter.getTime();
  });
  const kinds = new Map<Bundle, Set<string>>();
  for (const i of order) {
    for (const name of certificates[i]!.names) {
      let bundle = table.get(name);
      if (bundle === undefined) {
        bundle = { certificates: [] };
        table.set(name, bundle);
        kinds.set(bundle, new Set());
      }
      const had = kinds.get(bundle)!;
      if (had.has(served[i]!.kind)) continue;
      had.add(served[i]!.kind);
      bundle.certificates.push(certificates[i]!);
    }
  }
  const [first] = certificates[0]?.names ?? [];
  table.fallback = first === undefined ? null : (table.get(first) ?? null);
  return table;
}

/** Names that strangers may make up are not remembered without bound. */
const MOST_REMEMBERED = 10_000;

/** What one listener needs to know of its sites. */
class ListenerNames {
  readonly tls: ListenerTlsConfig;
  readonly sites: readonly SiteConfig[];
  readonly chosen = new Map<string, ChosenIdentity | null>();
  readonly #byName = new NameTable<SiteConfig>();
  /** By what follows the dot: any depth below. */
  readonly #below = new Map<string, SiteConfig>();
  readonly #regexes: (readonly [RegExp, SiteConfig])[] = [];

  constructor(tls: ListenerTlsConfig, sites: readonly SiteConfig[]) {
    this.tls = tls;
    this.sites = sites;
    for (const site of sites) {
      if (site.hosts.length === 0) this.#byName.fallback ??= site;
      for (const host of site.hosts) {
        if (host.startsWith("~")) this.#regexes.push([compileRegex(host), site]);
        else if (host.startsWith(".")) this.#below.set(host.slice(1), site);
        else if (this.#byName.get(host) === undefined) this.#byName.set(host, site);
      }
    }
  }

  /** The site that a request for this host goes to, as the router decides it (router/table.ts). */
  site(name: string): SiteConfig | null {
    const direct = this.#byName.match(name);
    if (direct !== undefined) return direct;
    for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
      const site = this.#below.get(name.slice(dot + 1));
      if (site !== undefined) return site;
    }
    return this.#regexes.find(([regex]) => regex.test(name))?.[1] ?? this.#byName.fallback;
  }

  remember(name: string, identity: ChosenIdentity | null): void {
    if (this.chosen.size >= MOST_REMEMBERED) this.chosen.clear();
    this.chosen.set(name, identity);
  }
}
