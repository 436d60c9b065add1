/** `tls` passes if a handshake succeeds, by default with a certificate that is good for the name. */
import { readFileSync } from "node:fs";
import { type ConnectionOptions, connect } from "node:tls";
import { z } from "zod";
import { isIp, parseAddress } from "../../../net/address.ts";
import { ask, destination, type Stage, socketReason } from "./ask.ts";
import { type CheckTarget, defineCheck } from "./check.ts";

const DAY_MS = 86_400_000;
/** A server that never answers our close_notify does not keep the socket longer than this. */
const FAREWELL_MS = 1000;

/** How the other side's certificate is looked at; `http` has the same options. */
export const tlsOptions = {
  serverName: z
    .string()
    .min(1)
    .refine((name) => !isIp(name), { error: "a server name is not an IP address (RFC 6066 §3)" })
    .optional()
    .meta({
      description:
        "Name that is asked for (SNI) and that the certificate must be good for; default: the `host` or `authority` of the check, else what the upstream asks for, else the endpoint's host.",
    }),
  verify: z
    .boolean()
    .default(true)
    .meta({ description: "Whether the certificate must be good for the name, in time, and from an authority." }),
  ca: z
    .string()
    .startsWith("/", { error: "write an absolute path" })
    .optional()
    .meta({ description: "PEM file of the authorities to trust instead of the public ones; read at each check." }),
};

export interface TlsChoice {
  readonly serverName?: string | undefined;
  readonly verify: boolean;
  readonly ca?: string | undefined;
}

/**
 * @param authority whose host is asked for if `serverName` is not given; without, it is what the upstream's connections
 *        ask for, or the endpoint's host
 * @throws {Error} if `ca` cannot be read
 */
export function tlsConnection(
  { serverName, verify, ca }: TlsChoice,
  authority: string | undefined,
  { names, host }: CheckTarget,
): ConnectionOptions {
  const name = serverName ?? (authority === undefined ? (names?.serverName ?? hostOf(host)) : hostOf(authority));
  return {
    rejectUnauthorized: verify,
    ...(isIp(name) ? {} : { servername: name }),
    ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
  };
}

const options = z.strictObject({
  ...tlsOptions,
  minDays: z
    .number()
    .min(0)
    .max(3650)
    .optional()
    .meta({ description: "Days the certificate must still be valid; default: not looked at." }),
});

export const tls = defineCheck({
  name: "tls",
  summary: "Passes if a TLS handshake succeeds.",
  options,
  create: ({ minDays, ...choice }) => ({
    run: (target, timeoutMs) =>
      ask(timeoutMs, (settle) => {
        let stage: Stage = "connecting";
        const socket = connect({ ...destination(target.address), ...tlsConnection(choice, undefined, target) });
        socket.once("connect", () => {
          stage = "handshake";
        });
        socket.once("secureConnect", () => {
          stage = "waiting";
          settle(minDays === undefined ? null : tooShort(socket.getPeerCertificate().valid_to, minDays));
        });
        socket.on("error", (error) => settle(socketReason(error, stage)));
        socket.on("close", () => settle("TLS failed: the connection ended"));
        return {
          release() {
            if (stage !== "waiting") return void socket.destroy();
            // A goodbye, so that the endpoint does not log each check as a failed handshake.
            const farewell = setTimeout(() => socket.destroy(), FAREWELL_MS);
            socket.once("close", () => clearTimeout(farewell));
            socket.resume().end();
          },
          late: (span) => (stage === "connecting" ? `no connection within ${span}` : `no TLS handshake within ${span}`),
        };
      }),
  }),
});

/** @returns why a certificate that ends then is not enough, or null */
function tooShort(validTo: string, minDays: number): string | null {
  const days = (Date.parse(validTo) - Date.now()) / DAY_MS;
  if (days >= minDays) return null;
  return days < 0
    ? `the certificate ended on ${validTo}`
    : `the certificate ends in ${Math.floor(days)} days, wanted ${minDays}`;
}

/** "app.internal" of "app.internal:8443". */
function hostOf(authority: string): string {
  const parsed = parseAddress(authority);
  return parsed?.kind === "tcp" ? parsed.host : authority;
}
