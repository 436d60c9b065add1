/** `listeners` and `admin`: where we listen. */
import { z } from "zod";
import { type Reading, readListenAddress } from "../address.ts";
import { listenerHttp3 } from "./http3.ts";
import { label, textOption, wholeNumber } from "./text.ts";
import { listenerTls, proxyProtocol } from "./tls.ts";

export const listenAddress = (description: string) =>
  textOption("bad-address", readListenAddress, {
    description,
    examples: [":8080", "127.0.0.1:8080", "[::1]:8080", "unix:/run/lintel.sock"],
  });

const listener = z
  .strictObject({
    name: label("Name that sites use in their own `listeners`. Default: the address.").optional(),
    address: listenAddress("Address to listen on; `:8080` is every address of the machine."),
    maxConnections: wholeNumber(
      1,
      10_000_000,
      "Open connections over all workers; more wait until one closes.",
    ).prefault(10_000),
    backlog: wholeNumber(1, 65_535, "Connections the system keeps waiting to be accepted.").prefault(4096),
    deferAccept: z.boolean().default(true).meta({
      description:
        "Take connections up when the client has sent something, or after a second: cheaper, and those that say nothing cost little.",
    }),
    allowConnect: z
      .boolean()
      .default(false)
      .meta({ description: "May the CONNECT method reach a route? Otherwise it is refused with 405." }),
    tls: listenerTls.prefault(false),
    http3: listenerHttp3.prefault(false),
    proxyProtocol,
  })
  .meta({ title: "Listener", description: "One address to listen on." });

export const listeners = z
  .array(
    z.union([listenAddress("Address to listen on, the rest by default."), listener]).transform((value) => {
      const { name, ...rest } = typeof value === "string" ? listener.parse({ address: value }) : value;
      return { name: name ?? rest.address, ...rest };
    }),
  )
  .min(1)
  .meta({ description: "Addresses to listen on. Default: one named `http` on `:8080`, if there are sites." });

/** For a config with sites that names none. */
export const defaultListeners = () => listeners.parse([{ name: "http", address: ":8080" }]);

export const admin = z
  .union([
    z.literal("off"),
    z
      .strictObject({
        address: listenAddress("Address of the admin listener; keep it private.").prefault("127.0.0.1:2020"),
        token: textOption("bad-token", readToken, {
          description: "Bearer token that changes need. Without one, changes can be made over a unix socket only.",
        })
          .optional()
          .transform((value) => value ?? null),
      })
      .meta({ title: "Admin", description: "The admin listener." }),
  ])
  .prefault({})
  .transform((value) => (value === "off" ? null : value))
  .meta({ description: "The admin listener, which serves `/metrics` and the admin API; `off` for none." });

/** RFC 6750 §2.1: what can stand after `Bearer`. */
function readToken(text: string): Reading {
  if (/^[A-Za-z0-9\-._~+/]+=*$/.test(text)) return { text };
  return { problem: 'this is not a token: use letters, digits, "-", ".", "_", "~", "+" and "/"' };
}
