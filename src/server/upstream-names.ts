/** What the origin servers of an upstream are called by us, whichever endpoint it is and whatever the client asked for. */
import type { UpstreamConfig } from "../config/gateway-config.ts";
import { Branding } from "../proxy/branding.ts";
import type { CheckNames } from "../upstream/health/checks/check.ts";

type HasNames = Pick<UpstreamConfig, "branding" | "host" | "tls">;

/** `Host` of the upstream's requests. A branding goes before what `host` says. */
export function hostPolicyOf({ branding, host }: Pick<UpstreamConfig, "branding" | "host">): UpstreamConfig["host"] {
  return branding === null ? host : { kind: "fixed", value: new Branding(branding.as).authority };
}

/** A check that asks under another name asks somebody else: many origin servers are told apart by it alone. */
export function checkNamesOf(upstream: HasNames): CheckNames {
  const { branding, tls } = upstream;
  const policy = hostPolicyOf(upstream);
  return {
    authority: policy.kind === "fixed" ? policy.value : null,
    serverName: tls?.serverName ?? (branding === null ? null : new Branding(branding.as).host.replace(/^\[|\]$/g, "")),
  };
}
