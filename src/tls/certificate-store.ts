/**
 * Which certificates and rules a client gets for the name it asks for, per listener. Made from a
 * config and its material; another one takes its place when either changes, and connections that
 * are there already go on.
 *
 * Contexts (20 KB, 50 µs) are made when a name is first asked for and shared by all names that need
 * the same. What has not changed is taken over from the store before, so that sessions can still be
 * resumed after a renewal of another name.
 */
import type { ClientAuthConfig, GatewayConfig, SiteTlsConfig, TlsEndConfig } from "../config/gateway-config.ts";
import type { ClientHello } from "../net/tls-client-hello.ts";
import type { TlsIdentity } from "../net/tls-identity.ts";
import {
  alpnWire,
  createTlsContext,
  type TlsContext,
  type TlsContextOptions,
  type TlsVersion,
} from "../net/tls-runtime.ts";
import { hasRules, ListenerNames, rulesOf } from "./listener-names.ts";
import { NameSet, NameTable } from "./name-table.ts";
import { PROFILES } from "./profiles.ts";
import type { ChallengeCertificate, MaterialCertificate, TlsMaterial } from "./tls-material.ts";

/** RFC 8737 §6.2. */
const ACME_TLS = "acme-tls/1";

/** What a client gets, and by whose rules. */
export interface ChosenIdentity extends TlsIdentity {
  /** Where the certificates came from. */
  readonly origins: readonly string[];
}

/** What a listener answers to who asks for a name. */
export interface NameExplanation {
  readonly listener: string;
  /** `on-demand`: none yet, and one will be got for the first who asks. */
  readonly answer: "certificate" | "default" | "on-demand" | "refused";
  /** The client gets the first it can use. */
  readonly certificates: readonly MaterialCertificate[];
  /** Whose requests these are. */
  readonly site: string | null;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  readonly clientCertificate: "none" | "optional" | "required";
}

interface KeptContext {
  readonly context: TlsContext;
  /** Of its certificates. */
  readonly fingerprints: readonly string[];
  /** Stores by other rules in a row in which nobody asked for it: those rules may have been its own. */
  idle: number;
}

const MOST_IDLE = 3;

/** RSA and ECDSA of one name; a client gets the one it can use. */
interface Bundle {
  readonly certificates: MaterialCertificate[];
}

/** Listeners with TLS, of whatever kind, and the sites whose rules hold there. */
function tlsListeners({ listeners, sites, tcp }: GatewayConfig) {
  return [
    ...listeners.flatMap(({ name, tls }) =>
      tls === null ? [] : [{ name, tls, sites: sites.filter((site) => site.listeners.includes(name)) }],
    ),
    // At layer 4 there are no sites, and so no rules of theirs.
    ...tcp.flatMap(({ name, tls }) => (tls === null ? [] : [{ name, tls, sites: [] }])),
  ];
}

export class CertificateStore {
  readonly material: TlsMaterial;
  readonly #config: GatewayConfig;
  readonly #bundles: NameTable<Bundle>;
  readonly #challenges: ReadonlyMap<string, ChallengeCertificate>;
  readonly #onDemand: NameSet;
  readonly #listeners = new Map<string, ListenerNames>();
  /** By everything that is in it. */
  readonly #contexts = new Map<string, KeptContext>();

  /** @param before  the store that this one takes the place of */
  constructor(config: GatewayConfig, material: TlsMaterial, before: CertificateStore | null = null) {
    this.material = material;
    this.#config = config;
    this.#bundles = bundles(material.certificates);
    this.#challenges = new Map(material.challenges.map((one) => [one.name, one]));
    this.#onDemand = new NameSet(material.onDemand);
    if (before !== null) this.#inherit(before);
    if (before !== null && before.#config === config) {
      for (const [name, names] of before.#listeners) this.#listeners.set(name, names.anew());
      return;
    }
    for (const { name, tls, sites } of tlsListeners(config)) this.#listeners.set(name, new ListenerNames(tls, sites));
  }

  /** Contexts of certificates that are still there; asked for or not, since sessions may be. */
  #inherit(before: CertificateStore): void {
    const { certificates, files } = this.material;
    const here = new Set(certificates.map(({ fingerprint }) => fingerprint));
    const sameRules = before.#config === this.#config && Bun.deepEquals(before.material.files, files);
    for (const [key, { context, fingerprints, idle }] of before.#contexts) {
      const nextIdle = sameRules ? idle : idle + 1;
      if (nextIdle > MOST_IDLE || !fingerprints.every((one) => here.has(one))) continue;
      this.#contexts.set(key, { context, fingerprints, idle: nextIdle });
    }
  }

  /**
   * @param listener  name of a listener with TLS
   * @returns null if the name is to be refused, or there is nothing to show
   * @throws {Error} if a context cannot be made: a CA, a revocation list or ciphers that the library does not take
   */
  choose(
    listener: string,
    { serverName, alpn = [] }: Pick<ClientHello, "serverName"> & Partial<Pick<ClientHello, "alpn">>,
  ): ChosenIdentity | null {
    const names = this.#listeners.get(listener);
    if (names === undefined) return null;
    if (alpn.length === 1 && alpn[0] === ACME_TLS) return this.#challenge(serverName ?? "");
    const known = names.chosen.get(serverName ?? "");
    if (known !== undefined) return known;
    const made = this.#identity(names, serverName);
    names.remember(serverName ?? "", made);
    return made;
  }

  /**
   * There is no certificate for this name, and one may be had if the supervisor is asked.
   * @param serverName lower case
   */
  mayAskFor(serverName: string): boolean {
    return this.#onDemand.has(serverName) && this.#bundles.match(serverName) === undefined;
  }

  /** RFC 8737 §3: the certificate of the challenge, for this name and protocol only. */
  #challenge(name: string): ChosenIdentity | null {
    const challenge = this.#challenges.get(name);
    if (challenge === undefined) return null;
    const context = this.#contextOf(["a challenge"], {
      certificates: [challenge.cert],
      keys: [challenge.key],
      ca: null,
      crl: null,
      minVersion: "TLSv1.2",
      maxVersion: "TLSv1.3",
      ciphers: PROFILES.intermediate.ciphers,
      groups: PROFILES.intermediate.groups,
    });
    const origins = ["a challenge of tls-alpn-01"];
    return { context, clientCertificate: "none", alpn: alpnWire([ACME_TLS]), rules: "", origins };
  }

  #identity(names: ListenerNames, serverName: string | null): ChosenIdentity | null {
    const bundle = this.#bundle(names, serverName);
    if (bundle === null) return null;
    const { tls } = names;
    const ruler = names.ruler(serverName);
    const rules = ruler?.tls ?? null;
    return {
      context: this.#context(bundle, tls, rules),
      clientCertificate: rules?.clientAuth?.mode ?? "none",
      alpn: alpnWire(tls.alpn),
      rules: ruler === null ? "" : rulesOf(ruler),
      origins: bundle.certificates.map(({ origin }) => origin),
    };
  }

  #bundle({ tls }: ListenerNames, serverName: string | null): Bundle | null {
    const own = serverName === null ? undefined : this.#bundles.match(serverName);
    if (own !== undefined) return own;
    if (serverName !== null && tls.unknownNames === "refuse") return null;
    return this.#fallback(tls) ?? null;
  }

  /** What each listener with TLS answers to who asks for this name; makes nothing. @param name lower case */
  explain(name: string): NameExplanation[] {
    return [...this.#listeners].map(([listener, names]): NameExplanation => {
      const certificates = this.#bundle(names, name)?.certificates ?? [];
      const site = names.site(name);
      const rules = names.ruler(name)?.tls ?? null;
      const isOwn = this.#bundles.match(name) !== undefined;
      return {
        listener,
        answer: isOwn
          ? "certificate"
          : this.mayAskFor(name)
            ? "on-demand"
            : certificates.length > 0
              ? "default"
              : "refused",
        certificates,
        site: site?.name ?? null,
        ...versionsOf(names.tls, rules),
        clientCertificate: rules?.clientAuth?.mode ?? "none",
      };
    });
  }

  #fallback(tls: TlsEndConfig): Bundle | undefined {
    if (tls.default !== null) return this.#bundles.get(tls.default) ?? this.#bundles.match(tls.default);
    return this.#bundles.fallback ?? undefined;
  }

  #context({ certificates }: Bundle, tls: TlsEndConfig, rules: SiteTlsConfig | null): TlsContext {
    const { custom } = tls;
    const file = (path: string | null | undefined) => (path == null ? null : this.#file(path));
    const options: TlsContextOptions = {
      certificates: certificates.map(({ cert }) => cert),
      keys: certificates.map(({ key }) => key),
      ca: file(rules?.clientAuth?.ca),
      crl: file(rules?.clientAuth?.crl),
      ...versionsOf(tls, rules),
      // Mozilla's are all good: the client knows better which of them its hardware likes.
      prefersOwnCiphers: custom?.ciphers != null,
      ciphers: custom?.ciphers?.join(":") ?? PROFILES.intermediate.ciphers,
      groups: custom?.groups?.join(":") ?? profileOf(tls).groups,
    };
    // With the rules for client certificates, so that no session made without one is resumed where one is required.
    const fingerprints = certificates.map(({ fingerprint }) => fingerprint);
    return this.#contextOf(fingerprints, options, rules === null ? null : rules.clientAuth);
  }

  #contextOf(
    fingerprints: readonly string[],
    options: TlsContextOptions,
    clientAuth: ClientAuthConfig | null = null,
  ): TlsContext {
    const key = JSON.stringify([options, clientAuth]);
    let kept = this.#contexts.get(key);
    if (kept === undefined) {
      kept = { context: createTlsContext(options), fingerprints, idle: 0 };
      this.#contexts.set(key, kept);
    }
    kept.idle = 0;
    return kept.context;
  }

  #file(path: string): string {
    const text = this.material.files[path];
    // Without it, everyone would be let in, or nobody: better no handshake at all.
    if (text === undefined) throw new Error(`${path} could not be read`);
    return text;
  }

  /**
   * One certificate for each name, ECDSA where there is one, and the default as "*": for QUIC, where the runtime chooses.
   * @param most names of certificates
   */
  identities(listener: string, most: number): Map<string, MaterialCertificate> {
    const chosen = new Map<string, MaterialCertificate>();
    const names = this.#listeners.get(listener);
    if (names === undefined) return chosen;
    const fallback = names.tls.unknownNames === "refuse" ? undefined : this.#fallback(names.tls);
    if (fallback !== undefined) chosen.set("*", preferred(fallback));
    for (const [pattern, bundle] of this.#bundles.patterns()) {
      if (chosen.size > most) break;
      chosen.set(pattern, preferred(bundle));
    }
    return chosen;
  }

  /**
   * As `rules` of an identity, of a connection for this name whose client cannot be asked for a certificate: rules that
   * ask for one are not kept there.
   */
  rulesWithoutClientAuth(listener: string, serverName: string): string {
    const site = this.#listeners.get(listener)?.site(serverName) ?? null;
    return site === null || site.tls?.clientAuth ? "" : rulesOf(site);
  }

  /** All that may be shown. */
  get certificates(): readonly MaterialCertificate[] {
    return this.material.certificates;
  }

  /** Those shown for a name, without the default. */
  lookUp(name: string): readonly MaterialCertificate[] {
    return this.#bundles.match(name.toLowerCase())?.certificates ?? [];
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

  /**
   * Makes a context by each set of rules there is (one per certificate would be too many): says which CAs, revocation
   * lists and ciphers the library does not take. For `lintel check` and before a reload.
   */
  tryAll(): string[] {
    const problems = new Set<string>();
    for (const [name, names] of this.#listeners) {
      const bySite = names.sites
        .filter(hasRules)
        .flatMap(({ hosts }) => hosts.find((host) => !/^[~.*]/.test(host)) ?? []);
      for (const host of [null, ...bySite]) {
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

/** Whoever speaks TLS 1.3 takes ECDSA with P-256 (RFC 8446 §9.1). */
const preferred = ({ certificates }: Bundle): MaterialCertificate =>
  certificates.find(({ kind }) => kind === "ecdsa") ?? certificates[0]!;

const profileOf = ({ profile }: TlsEndConfig) => PROFILES[profile === "custom" ? "intermediate" : profile];

function versionsOf(tls: TlsEndConfig, rules: SiteTlsConfig | null) {
  const { custom } = tls;
  return {
    minVersion: later(custom?.minVersion ?? profileOf(tls).minVersion, rules?.minVersion ?? null),
    maxVersion: custom?.maxVersion ?? ("TLSv1.3" as const),
  };
}

const later = (one: TlsVersion, other: TlsVersion | null): TlsVersion => (other !== null && other > one ? other : one);

/** By name. Of several of one kind for a name, a site's own goes first, then files, then the one that is valid longest. */
function bundles(certificates: readonly MaterialCertificate[]): NameTable<Bundle> {
  const table = new NameTable<Bundle>();
  const inOrder = certificates.toSorted(
    (one, other) =>
      Number(one.site === null) - Number(other.site === null) ||
      Number(one.source !== "file") - Number(other.source !== "file") ||
      other.notAfter.getTime() - one.notAfter.getTime(),
  );
  for (const certificate of inOrder) {
    for (const name of certificate.names) {
      let bundle = table.get(name);
      if (bundle === undefined) {
        bundle = { certificates: [] };
        table.set(name, bundle);
      }
      const had = bundle.certificates;
      if (!had.some(({ kind }) => kind === certificate.kind)) had.push(certificate);
    }
  }
  const [first] = certificates[0]?.names ?? [];
  table.fallback = first === undefined ? null : (table.get(first) ?? null);
  return table;
}
