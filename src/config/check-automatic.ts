/** Automatic certificates: what the parts of a config must be so that a CA can be convinced. */
import type { PlacedProblem } from "./issue.ts";
import type { Path } from "./path.ts";

type Map_ = Readonly<Record<string, unknown>>;

const isMap = (value: unknown): value is Map_ => typeof value === "object" && value !== null && !Array.isArray(value);
const list = (value: unknown): readonly unknown[] =>
  Array.isArray(value) ? value : value === undefined ? [] : [value];

/** Hosts that no public CA certifies (RFC 6761 §6, RFC 2606, RFC 8375) and addresses. */
const PRIVATE = /(?:^|\.)(?:localhost|test|example|invalid|local|internal|home\.arpa)$|^\[|^\d+(?:\.\d+){3}$/;

/** Certificates come by themselves, at least for some names. */
export function isAutomatic(tls: unknown): boolean {
  return isMap(tls) && (isMap(tls["acme"]) || tls["local"] === true || isMap(tls["local"]));
}

export function checkAutomatic(tree: Map_): PlacedProblem[] {
  const problems: PlacedProblem[] = [];
  const add = (path: Path, code: string, message: string, hint: string, severity: "error" | "warning" = "error") =>
    problems.push({ path, code, message, hint, severity, at: "value" });
  const tls = isMap(tree["tls"]) ? tree["tls"] : {};
  const acme = isMap(tls["acme"]) ? tls["acme"] : null;
  const hasLocal = tls["local"] === true || isMap(tls["local"]);
  if (acme !== null && acme["email"] === undefined && acme["ca"] === undefined) {
    const message = '"acme" says neither "email" nor "ca"';
    add(["tls", "acme"], "no-ca", message, 'an "email" is enough: certificates come from letsencrypt then');
  }
  const ends = [...list(tree["listeners"]), ...list(tree["tcp"])];
  const isServed = ends.some((one) => isMap(one) && one["tls"] !== undefined && one["tls"] !== false);
  for (const [name, isSet] of [
    ["acme", acme !== null],
    ["local", hasLocal],
  ] as const) {
    if (!isSet || isServed) continue;
    const message = `"tls.${name}" gets no certificates: no listener has TLS`;
    add(["tls", name], "unused-tls", message, 'a listener has it with "tls: true"', "warning");
  }
  if (acme !== null && isServed) checkReach(tree, acme, add);
  for (const [i, site] of list(tree["sites"]).entries()) {
    if (!isMap(site)) continue;
    const own = isMap(site["tls"]) ? site["tls"] : {};
    const { issuer } = own;
    const at: Path = ["sites", i, "tls", "issuer"];
    if (issuer === "acme" && acme === null)
      add(at, "unknown-issuer", 'issuer "acme" is not set', 'say in "tls: { acme: { email } }" who is asked');
    if (issuer === "local" && !hasLocal)
      add(at, "unknown-issuer", 'issuer "local" is not set', 'write "tls: { local: true }"');
    const isCovered = list(tls["certificates"]).length > 0 || list(own["certificates"]).length > 0;
    if (acme === null || isCovered || issuer === "none" || issuer === "local") continue;
    checkHosts(site["hosts"], ["sites", i, "hosts"], acme, hasLocal && issuer === undefined, add);
  }
  return problems;
}

type Add = (path: Path, code: string, message: string, hint: string, severity?: "error" | "warning") => void;

/** The CA comes to a port of ours. */
function checkReach(tree: Map_, acme: Map_, add: Add): void {
  const challenges = list(acme["challenges"]);
  const listeners = list(tree["listeners"]).map(
    (one) => isMap(one) && one["tls"] !== undefined && one["tls"] !== false,
  );
  const wants = (isSecure: boolean, challenge: string, what: string, port: number) => {
    if (challenges.length === 0 || !challenges.every((one) => one === challenge) || listeners.includes(isSecure))
      return;
    const message = `${challenge} needs ${what}, and there is none`;
    add(["tls", "acme", "challenges"], "unreachable-challenge", message, `the CA asks at port ${port} of each name`);
  };
  wants(false, "http-01", "a listener without TLS", 80);
  wants(true, "tls-alpn-01", "a listener with TLS", 443);
}

function checkHosts(hosts: unknown, path: Path, acme: Map_, hasLocal: boolean, add: Add): void {
  for (const [i, host] of list(hosts).entries()) {
    if (typeof host !== "string" || /^[~.]|^\*$/.test(host)) continue;
    const at = Array.isArray(hosts) ? [...path, i] : path;
    const shown = JSON.stringify(host);
    if (PRIVATE.test(host.toLowerCase())) {
      if (hasLocal || list(acme["ca"]).some((ca) => isMap(ca) || (typeof ca === "string" && ca.includes(":"))))
        continue;
      const message = `no public CA certifies ${shown}`;
      add(at, "private-name", message, '"tls: { local: true }" makes certificates for names of development', "warning");
    } else if (host.startsWith("*.") && acme["dns"] === undefined) {
      const message = `${shown} gets no certificate: CAs want dns-01 for names with a wildcard`;
      add(
        at,
        "wildcard-without-dns",
        message,
        'say in "tls.acme.dns" how records are set, or use "onDemand"',
        "warning",
      );
    }
  }
}
