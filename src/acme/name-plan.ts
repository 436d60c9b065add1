/** Which names of a config get their certificates from where. */
import type { GatewayConfig, OnDemandConfig } from "../config/gateway-config.ts";
import { isRegex } from "../config/pattern.ts";
import { NameSet } from "../tls/name-table.ts";
import { DEVELOPMENT_NAMES } from "./local-ca.ts";

export interface NamePlan {
  /** From a CA, one certificate each. */
  readonly acme: readonly string[];
  /** From the local CA. */
  readonly local: readonly string[];
  /** Patterns of names whose local certificate is made when somebody asks: ".test", "*.a.test". */
  readonly localOnDemand: readonly string[];
  /** Patterns of names that may be ordered when somebody asks. */
  readonly acmeOnDemand: readonly string[];
}

const ADDRESS = /^\[|^\d+(?:\.\d+){3}$/;

/**
 * @param isCovered  whether a certificate of a file is good for this host ("*.example.com" for that pattern)
 */
export function planNames(config: GatewayConfig, isCovered: (host: string) => boolean): NamePlan {
  const { acme, local } = config.tls;
  const secure = new Set(config.listeners.filter(({ tls }) => tls !== null).map(({ name }) => name));
  const development = new NameSet([...DEVELOPMENT_NAMES, ...(local?.names ?? [])]);
  const plan = { acme: new Set<string>(), local: new Set<string>(), localOnDemand: new Set<string>() };
  const acmeOnDemand = new Set<string>();
  const served = [
    ...config.sites
      .filter((site) => site.listeners.some((name) => secure.has(name)))
      .map(({ hosts, tls }) => ({ hosts: hosts.length === 0 ? ["*"] : hosts, issuer: tls?.issuer ?? null })),
    // At layer 4, what ends TLS.
    ...config.tcp
      .filter(({ tls }) => tls !== null)
      .map(({ routes }) => ({ hosts: routes.flatMap(({ match }) => match.serverName ?? "*"), issuer: null })),
  ];
  for (const { hosts, issuer } of served) {
    if (issuer === "none") continue;
    for (const host of hosts) {
      const isPattern = /^[~.*]/.test(host);
      const isLocal =
        local !== null &&
        (issuer === "local" || (issuer === null && (isDevelopment(host, development) || ADDRESS.test(host))));
      if (isLocal) {
        if (isCovered(host)) continue;
        if (isPattern) plan.localOnDemand.add(host.startsWith("~") ? "*" : host);
        else plan.local.add(host.replace(/^\[|\]$/g, ""));
        continue;
      }
      if (acme !== null && issuer !== "local" && !ADDRESS.test(host)) {
        const isNameable = !isPattern || (host.startsWith("*.") && acme.dns !== null);
        if (isNameable && !isCovered(host)) plan.acme.add(host);
        else if (isPattern && acme.onDemand !== null)
          for (const pattern of /^[~*]$|^~/.test(host) ? allowed(acme.onDemand) : [host]) acmeOnDemand.add(pattern);
      }
      // A site for every host has development names, too.
      if (local !== null && issuer === null && /^[~*]/.test(host) && !host.startsWith("*."))
        for (const name of [...DEVELOPMENT_NAMES, ...local.names]) plan.localOnDemand.add(name);
    }
  }
  // What a wildcard of our own covers needs no certificate of its own.
  const wildcards = new Set([...plan.acme].filter((name) => name.startsWith("*.")));
  const single = [...plan.acme].filter((name) => name.startsWith("*.") || !wildcards.has(name.replace(/^[^.]*/, "*")));
  return {
    acme: single,
    local: [...plan.local],
    localOnDemand: [...plan.localOnDemand],
    acmeOnDemand: [...acmeOnDemand],
  };
}

/** What may be asked for where a site takes any name. */
function allowed({ allow }: OnDemandConfig): readonly string[] {
  return allow === null || allow.some(isRegex) ? ["*"] : allow;
}

/** Of a pattern: all that it stands for are. */
function isDevelopment(host: string, development: NameSet): boolean {
  if (host.startsWith("~") || host === "*") return false;
  return development.has(host.startsWith("*.") ? `x${host.slice(1)}` : host.startsWith(".") ? `x${host}` : host);
}
