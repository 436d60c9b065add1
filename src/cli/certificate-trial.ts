/** Reads what the TLS part of a config refers to: what cannot be served shows only then. */
import type { Problem } from "../config/diagnostic.ts";
import type { GatewayConfig, UpstreamConfig } from "../config/gateway-config.ts";
import { CertificateStore } from "../tls/certificate-store.ts";
import { originSettings } from "../tls/origin-settings.ts";
import { FORBIDDEN, readMaterial, type TlsMaterial } from "../tls/tls-material.ts";

interface Placed {
  /** Of the config's tree. */
  readonly path: string;
  readonly problem: Problem;
}

export function tryCertificates(config: GatewayConfig, directory: string): Placed[] {
  const { material, problems } = readMaterial(config, directory, null);
  const unusable = problems.map(({ file, reason }) =>
    // The program may run as another user.
    (reason === FORBIDDEN ? warning : error)(placeOf(config, file), "unusable-file", `${file}: ${reason}`),
  );
  if (unusable.length > 0) return unusable;
  const store = new CertificateStore(config, material);
  const now = Date.now();
  const ended = material.certificates.flatMap(({ origin, site, notBefore, notAfter }): Placed[] => {
    const isEnded = notAfter.getTime() < now;
    if (!isEnded && notBefore.getTime() <= now) return [];
    const when = isEnded ? `expired on ${notAfter.toISOString()}` : `is not valid before ${notBefore.toISOString()}`;
    const path = placeOf(config, origin.split(" + ")[0]!, site);
    return [warning(path, "invalid-certificate", `the certificate ${origin} ${when}`)];
  });
  const comesByItself = config.tls.acme !== null || config.tls.local !== null;
  const paths = new Map(config.sites.map(({ name, path }) => [name, path]));
  const uncovered = comesByItself
    ? []
    : store
        .uncovered()
        .map(({ site, host }) =>
          warning(
            `${paths.get(site)}.hosts`,
            "uncovered-host",
            `no certificate is for ${host}: its clients are warned, or refused`,
          ),
        );
  const origins = config.upstreams.flatMap((upstream) => tryOrigin(upstream, material));
  return [
    ...origins,
    ...store.tryAll().map((message) => error("tls", "unusable-tls", message)),
    ...ended,
    ...uncovered,
  ];
}

/** What connections to an upstream's endpoints would be made with. */
function tryOrigin({ name, tls, protocol }: UpstreamConfig, material: TlsMaterial): Placed[] {
  if (tls === null) return [];
  try {
    originSettings(tls, protocol, material);
    return [];
  } catch (thrown) {
    return [error(`upstreams.${name}.tls`, "unusable-tls", thrown instanceof Error ? thrown.message : String(thrown))];
  }
}

const error = (path: string, code: string, message: string): Placed => ({ path, problem: { code, message } });

const warning = (path: string, code: string, message: string): Placed => ({
  path,
  problem: { code, message, severity: "warning" },
});

/** Where a file is named first. @param site that is meant, if it matters */
function placeOf({ tls, sites, upstreams }: GatewayConfig, file: string, site: string | null = null): string {
  const places: [path: string, file: string | null | undefined][] = [];
  const list = (path: string, certificates: readonly { readonly cert: string; readonly key: string }[]) => {
    for (const [i, { cert, key }] of certificates.entries()) {
      places.push([`${path}.certificates[${i}].cert`, cert], [`${path}.certificates[${i}].key`, key]);
    }
  };
  if (site === null) list("tls", tls.certificates);
  for (const { name, path, tls: own } of sites) {
    if (own === null || (site !== null && name !== site)) continue;
    list(`${path}.tls`, own.certificates);
    places.push([`${path}.tls.clientAuth.ca`, own.clientAuth?.ca], [`${path}.tls.clientAuth.crl`, own.clientAuth?.crl]);
  }
  for (const { name, tls: own } of upstreams) {
    if (own === null) continue;
    const path = `upstreams.${name}.tls`;
    places.push([`${path}.ca`, own.ca], [`${path}.cert`, own.identity?.cert], [`${path}.key`, own.identity?.key]);
  }
  return places.find((place) => place[1] === file)?.[0] ?? "tls";
}
