/** TLS: of listeners, sites and upstreams, and the certificates. */
import { z } from "zod";
import { oneOrMany } from "../../base/option.ts";
import { type Reading, readCidr } from "../address.ts";
import type {
  CertificateConfig,
  ClientAuthConfig,
  ListenerTlsConfig,
  OriginTlsConfig,
  SiteTlsConfig,
  TlsConfig,
  TlsEndConfig,
} from "../gateway-config.ts";
import { readHostPattern } from "../pattern.ts";
import { acme, local } from "./acme.ts";
import { hsts, httpsRedirect } from "./https.ts";
import { span, textOption, wholeNumber } from "./text.ts";

const file = (description: string) => z.string().min(1).meta({ description });

const version = (description: string) =>
  z
    .union([z.enum(["1.2", "1.3"]), z.literal(1.2), z.literal(1.3)])
    .meta({ description })
    .transform((value) => `TLSv${value}` as "TLSv1.2" | "TLSv1.3");

const names = z
  .union([
    textOption("bad-host", readName, { description: "" }),
    z.array(textOption("bad-host", readName, { description: "" })).min(1),
  ])
  .transform((value) => (typeof value === "string" ? [value] : value))
  .meta({ description: "Names it is used for. Default: those that stand in it.", examples: ["*.example.com"] });

const certificate = z
  .strictObject({
    cert: file("PEM file: the certificate, then those that lead to its CA."),
    key: file("PEM file: its key, without a passphrase."),
    names: names.optional(),
  })
  .transform((value): CertificateConfig => ({ ...value, names: value.names ?? null }))
  .meta({
    title: "Certificate",
    description: "A certificate with its key; both are watched, and swapped when they change.",
  });

const certificates = z
  .union([certificate, z.array(certificate)])
  .transform((value) => (Array.isArray(value) ? value : [value]))
  .meta({ description: "Certificates with their keys. RSA and ECDSA for the same name go side by side." });

/** Top level. */
export const tls = z
  .strictObject({
    certificates: certificates.prefault([]),
    redirect: httpsRedirect.prefault(true),
    hsts: hsts.prefault(false),
    acme: acme.optional(),
    local: local.optional(),
    storage: file("Folder for accounts, keys and certificates that were got. Default: within `state`.").optional(),
  })
  .transform(
    (value): TlsConfig => ({
      ...value,
      acme: value.acme ?? null,
      local: value.local ?? null,
      storage: value.storage ?? null,
    }),
  )
  .prefault({})
  .meta({ title: "TLS", description: "Certificates that any site may be served with, and where they come from." });

const listenerFields = z.strictObject({
  profile: z.enum(["modern", "intermediate", "custom"]).default("intermediate").meta({
    description:
      "Mozilla's: `modern` is TLS 1.3 alone, `intermediate` adds TLS 1.2 with forward secrecy; `custom` is what `custom` says.",
  }),
  custom: z
    .strictObject({
      minVersion: version("Lowest version.").prefault("1.2"),
      maxVersion: version("Highest version.").prefault("1.3"),
      ciphers: oneOrMany(z.string())
        .optional()
        .meta({ description: "Ciphers for TLS 1.2 in OpenSSL's names, best first." }),
      groups: oneOrMany(z.string()).optional().meta({ description: "Groups for the key exchange, best first." }),
    })
    .optional()
    .meta({ title: "Custom profile", description: "With `profile: custom`." }),
  default: textOption("bad-host", readName, {
    description: "Name whose certificate is shown to clients that name none. Default: the first certificate's.",
  }).optional(),
  unknownNames: z.enum(["default", "refuse"]).default("default").meta({
    description: "Clients that ask for a name without a certificate: show the default one, or refuse the handshake.",
  }),
  alpn: z
    .array(z.enum(["h2", "http/1.1"]))
    .min(1)
    .default(["h2", "http/1.1"])
    .meta({ description: "Protocols to agree on, best first." }),
  handshakeTimeout: span("From the connection to the end of the handshake.", "10s", 10),
  maxHandshakes: wholeNumber(1, 100_000, "Handshakes at one time per worker; more wait.").prefault(500),
});

/** Of a listener. */
export const listenerTls = z
  .union([z.boolean(), listenerFields])
  .meta({ description: "TLS on this listener: `true`, or how." })
  .transform((value, ctx): ListenerTlsConfig | null =>
    value === false ? null : withProfile(value === true ? listenerFields.parse({}) : value, ctx),
  );

const relayFields = listenerFields
  .pick({
    profile: true,
    custom: true,
    default: true,
    unknownNames: true,
    handshakeTimeout: true,
    maxHandshakes: true,
  })
  .extend({
    alpn: z.array(z.string().min(1).max(255)).default([]).meta({
      description: "Protocols to agree on, best first. Default: none is spoken of.",
    }),
  });

/** Of an entry of `tcp`. */
export const relayTls = z
  .union([z.boolean(), relayFields])
  .meta({ description: "End TLS here: `true`, or how. Default: octets pass through as they are." })
  .transform((value, ctx): TlsEndConfig | null =>
    value === false ? null : withProfile(value === true ? relayFields.parse({}) : value, ctx),
  );

type CustomProfile = NonNullable<z.output<typeof listenerFields>["custom"]>;

/** What is left out is null, and `custom` is there exactly if the profile says so. */
function withProfile<
  Fields extends { profile: string; custom?: CustomProfile | undefined; default?: string | undefined },
>({ custom, ...rest }: Fields, ctx: z.core.$RefinementCtx) {
  if ((rest.profile === "custom") !== (custom !== undefined)) {
    const message =
      custom === undefined
        ? 'profile "custom" needs a "custom" that says what it is'
        : '"custom" needs "profile: custom"';
    ctx.addIssue({ code: "custom", message, params: { code: "bad-profile" } });
    return z.NEVER;
  }
  return {
    ...rest,
    default: rest.default ?? null,
    custom: custom === undefined ? null : { ...custom, ciphers: custom.ciphers ?? null, groups: custom.groups ?? null },
  };
}

export const proxyProtocol = z
  .array(textOption("bad-cidr", readCidr, { description: "A block of addresses.", examples: ["10.0.0.0/8"] }))
  .default([])
  .meta({
    description:
      "Peers whose connections begin with a PROXY header (version 1 or 2) that says who the client is. From them it is required; from others it is not read.",
  });

const CLIENT_FACTS = ["verified", "subject", "issuer", "serial", "fingerprint", "certificate"] as const;

const clientAuth = z
  .strictObject({
    mode: z.enum(["required", "optional"]).default("required").meta({
      description: "Without a certificate that is trusted: no connection, or one that says so (`tls.client.verified`).",
    }),
    ca: file("PEM file: the CAs that sign clients' certificates."),
    crl: file("PEM file: revocation lists, one for each of the CAs. It is watched.").optional(),
    forward: z.array(z.enum(CLIENT_FACTS)).default(["verified", "subject", "fingerprint"]).meta({
      description:
        "What origin servers are told of the certificate: `X-Client-Verified` (yes or no), and of one that is trusted `X-Client-Subject`, `-Issuer`, `-Serial`, `-Fingerprint` (SHA-256), and `Client-Cert`, the whole of it (RFC 9440). What clients send under these names is dropped.",
    }),
  })
  .transform((value): ClientAuthConfig => ({ ...value, crl: value.crl ?? null }))
  .meta({ title: "Client certificates", description: "Clients of this site show a certificate (mutual TLS)." });

/** Of a site. */
export const siteTls = z
  .strictObject({
    certificates: certificates.prefault([]),
    issuer: z.enum(["acme", "local", "none"]).optional().meta({
      description:
        "Who certifies its hosts that have no certificate. Default: the local CA for development names, `acme` for others, where they are set.",
    }),
    minVersion: version("Lowest version for this site, if higher than the listener's.").optional(),
    clientAuth: clientAuth.optional(),
    redirect: httpsRedirect.optional(),
    hsts: hsts.optional(),
  })
  .transform(
    (value): SiteTlsConfig => ({
      ...value,
      issuer: value.issuer ?? null,
      minVersion: value.minVersion ?? null,
      clientAuth: value.clientAuth ?? null,
      redirect: value.redirect ?? null,
      hsts: value.hsts ?? null,
    }),
  )
  .meta({ title: "TLS of a site", description: "Certificates and rules of this site's names." });

const originFields = z.strictObject({
  verify: z.boolean().default(true).meta({
    description: "Check who signed the certificate, its dates and its name. With `pins` and no `ca`, the pins decide.",
  }),
  ca: file("PEM file: the CAs to trust instead of the usual ones.").optional(),
  pins: oneOrMany(
    textOption("bad-pin", readPin, {
      description: "SHA-256 of a public key.",
      examples: ["sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="],
    }),
  )
    .optional()
    .meta({ description: "Public keys, one of which the server must have." }),
  cert: file("PEM file: the certificate to show to the server.").optional(),
  key: file("PEM file: its key.").optional(),
  serverName: textOption("bad-host", readName, {
    description: "Name to ask for and to check. Default: the host of `branding.as`, else the endpoint's.",
  }).optional(),
  minVersion: version("Lowest version.").prefault("1.2"),
  handshakeTimeout: span("For the handshake, beyond the connection.", "5s", 10),
});

/** Of an upstream. */
export const originTls = z
  .union([z.boolean(), originFields])
  .prefault(false)
  .meta({ description: "TLS to the endpoints: `true`, or how." })
  .transform((value, ctx): OriginTlsConfig | null => {
    if (value === false) return null;
    const { cert, key, ...fields } = value === true ? originFields.parse({}) : value;
    if ((cert === undefined) !== (key === undefined)) {
      const message = `"${cert === undefined ? "key" : "cert"}" needs "${cert === undefined ? "cert" : "key"}" too`;
      ctx.addIssue({ code: "custom", message, params: { code: "incomplete-certificate" } });
      return z.NEVER;
    }
    const pins = fields.pins ?? [];
    return {
      ...fields,
      // A pinned key says enough about who answers, whoever signed it.
      verify: fields.verify && (pins.length === 0 || fields.ca !== undefined),
      ca: fields.ca ?? null,
      pins: pins.map((pin) => pin.replace("sha256//", "")),
      identity: cert === undefined || key === undefined ? null : { cert, key },
      serverName: fields.serverName ?? null,
    };
  });

/** As in a certificate: a host name, or one with a wildcard as its first label. */
function readName(text: string): Reading {
  const reading = readHostPattern(text);
  if ("text" in reading && /^[~.]|^\*$/.test(reading.text))
    return { problem: `${JSON.stringify(text)} is not a name for a certificate: write a host name, or "*." and one` };
  return reading;
}

function readPin(text: string): Reading {
  const digest = text.replace(/^sha256\/\//, "");
  if (/^[A-Za-z0-9+/]{43}=$/.test(digest)) return { text: `sha256//${digest}` };
  return {
    problem: `${JSON.stringify(text)} is not a pin: write the SHA-256 of the public key in base64, as "sha256//…="`,
  };
}
