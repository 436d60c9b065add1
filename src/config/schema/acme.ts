/** Automatic certificates: `tls.acme` (public CAs) and `tls.local` (a CA of this machine's own). */
import { z } from "zod";
import { oneOrMany } from "../../base/option.ts";
import { type Reading, readEndpointAddress } from "../address.ts";
import type { AcmeCaConfig, AcmeConfig, DnsChallengeConfig, LocalCaConfig } from "../gateway-config.ts";
import { isRegex, readHostPattern } from "../pattern.ts";
import { span, textOption, wholeNumber } from "./text.ts";

const KNOWN_CAS: Readonly<Record<string, string>> = {
  letsencrypt: "https://acme-v02.api.letsencrypt.org/directory",
  "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
  zerossl: "https://acme.zerossl.com/v2/DV90",
  google: "https://dv.acme-v02.api.pki.goog/directory",
};
const KNOWN = Object.keys(KNOWN_CAS).join(", ");

const directory = textOption("bad-ca", readDirectory, {
  description: `The CA's directory: a URL, or one of ${KNOWN}.`,
  examples: ["letsencrypt-staging", "https://ca.internal/acme/directory"],
});

const caFields = z
  .strictObject({
    directory,
    roots: z.string().min(1).optional().meta({
      description: "PEM file: the CAs to trust when talking to it, instead of the usual ones.",
    }),
    accountBinding: z
      .strictObject({
        id: z.string().min(1).meta({ description: "Key identifier that the CA has given." }),
        key: textOption("bad-key", readBase64, { description: "HMAC key that the CA has given, in base64url." }),
      })
      .optional()
      .meta({ title: "External account binding", description: "For CAs that know their customers already (EAB)." }),
    preferredChain: z.string().min(1).optional().meta({
      description: "Common name of the root to prefer, where the CA offers several chains.",
    }),
  })
  .meta({ title: "CA", description: "A CA and what it wants to know." });

const ca = z.union([directory, caFields]).transform((value): AcmeCaConfig => {
  const fields = typeof value === "string" ? { directory: value } : value;
  const url = KNOWN_CAS[fields.directory] ?? fields.directory;
  return {
    name: KNOWN_CAS[fields.directory] === undefined ? new URL(url).host : fields.directory,
    directory: url,
    roots: "roots" in fields ? (fields.roots ?? null) : null,
    accountBinding: "accountBinding" in fields ? (fields.accountBinding ?? null) : null,
    preferredChain: "preferredChain" in fields ? (fields.preferredChain ?? null) : null,
  };
});

const serverAddress = textOption("bad-address", readServer, {
  description: "A DNS server.",
  examples: ["10.0.0.53", "ns1.example.com:53"],
});

const rfc2136 = z
  .strictObject({
    server: serverAddress.meta({ description: "The primary server of the zone; port 53 unless it says another." }),
    zone: textOption("bad-host", readZone, {
      description: "The zone. Default: found by asking the server.",
    }).optional(),
    key: z
      .strictObject({
        name: textOption("bad-host", readZone, { description: "Name of the key, as the server knows it." }),
        algorithm: z
          .enum(["hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha1"])
          .default("hmac-sha256")
          .meta({ description: "How updates are signed." }),
        secret: textOption("bad-key", readBase64, { description: "The key, in base64." }),
      })
      .optional()
      .meta({ title: "TSIG key", description: "Signs the updates (RFC 8945)." }),
    ttl: span("Lifetime of the records.", "1m", 1000),
    timeout: span("For an answer of the server.", "10s", 100),
  })
  .meta({ title: "Dynamic updates", description: "Records are set by dynamic updates (RFC 2136)." });

const exec = z
  .strictObject({
    command: z
      .array(z.string().min(1))
      .min(1)
      .meta({
        description:
          "Program and arguments. It is called with `present` or `cleanup`, the record's name and its value after them.",
        examples: [["/etc/lintel/dns-hook"]],
      }),
    timeout: span("For the program.", "1m", 100),
  })
  .meta({ title: "Hook", description: "Records are set by a program of yours." });

const dns = z
  .strictObject({
    rfc2136: rfc2136.optional(),
    exec: exec.optional(),
    propagation: span("How long a record may take until it is seen.", "2m", 0),
    resolvers: oneOrMany(serverAddress).optional().meta({
      description: "Where it is looked for, all of them. Default: the server of `rfc2136`, else the system's.",
    }),
  })
  .meta({ title: "DNS", description: "How records of dns-01 are set: `rfc2136` or `exec`." })
  .transform((value, ctx): DnsChallengeConfig => {
    if ((value.rfc2136 === undefined) === (value.exec === undefined)) {
      const message = 'how are records set? Give either "rfc2136" or "exec"';
      ctx.addIssue({ code: "custom", message, params: { code: "no-dns-provider" } });
      return z.NEVER;
    }
    const provider =
      value.rfc2136 === undefined
        ? { kind: "exec" as const, ...value.exec! }
        : {
            kind: "rfc2136" as const,
            ...value.rfc2136,
            zone: value.rfc2136.zone ?? null,
            key: value.rfc2136.key ?? null,
          };
    return { provider, propagation: value.propagation, resolvers: value.resolvers ?? null };
  });

const onDemand = z
  .strictObject({
    allow: oneOrMany(
      textOption("bad-host", readAllowed, {
        description: "A name, with a wildcard, or a regex.",
        examples: ["*.customers.example.com", "~^shop-\\d+\\."],
      }),
    )
      .optional()
      .meta({ description: "Names that may get a certificate." }),
    ask: textOption("bad-url", readUrl, {
      description:
        "URL that is asked with `?domain=name` whether a name may get one; 200 says yes. With `allow`, both must agree.",
      examples: ["http://127.0.0.1:9000/may-have-certificate"],
    }).optional(),
    rate: wholeNumber(1, 100_000, "New certificates per `per` at most, over all names.").prefault(10),
    per: span("Span that `rate` counts in.", "1m", 1000),
    names: wholeNumber(1, 1_000_000, "Names with a certificate at most.").prefault(10_000),
  })
  .meta({ title: "On demand", description: "Certificates for names that no site spells out, when a client asks." })
  .transform((value, ctx) => {
    if (value.allow === undefined && value.ask === undefined) {
      const message =
        'who may get a certificate? Give "allow", "ask" or both: else anybody could use up your limits at the CA';
      ctx.addIssue({ code: "custom", message, params: { code: "open-on-demand" } });
      return z.NEVER;
    }
    return { ...value, allow: value.allow ?? null, ask: value.ask ?? null };
  });

/** Of `tls`. */
export const acme = z
  .strictObject({
    email: textOption("bad-email", readEmail, {
      description: "Where the CA writes to if something is wrong.",
      examples: ["ops@example.com"],
    }).optional(),
    ca: oneOrMany(ca)
      .prefault("letsencrypt")
      .meta({ description: "The CA, or several: the next one is asked if one fails." }),
    challenges: oneOrMany(z.enum(["http-01", "tls-alpn-01", "dns-01"]))
      .optional()
      .meta({
        description:
          "How control over a name is shown, best first. Default: `dns-01` where there is `dns`, else `tls-alpn-01`, then `http-01`.",
      }),
    dns: dns.optional(),
    key: z
      .enum(["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-4096"])
      .default("ecdsa-p256")
      .meta({ description: "Kind of the certificates' keys." }),
    onDemand: onDemand.optional(),
    orders: wholeNumber(1, 100, "Certificates that are being got at one time.").prefault(4),
    timeout: span("For one certificate at one CA, from the order to the end.", "5m", 1000),
  })
  .meta({
    title: "Automatic HTTPS",
    description:
      "Hosts of sites without a certificate get one from a public CA (ACME, RFC 8555). Who sets this agrees to the terms of the CA.",
  })
  .transform((value, ctx): AcmeConfig => {
    const dns = value.dns ?? null;
    const challenges =
      value.challenges ?? (dns === null ? ["tls-alpn-01" as const, "http-01" as const] : ["dns-01" as const]);
    if (challenges.includes("dns-01") !== (dns !== null)) {
      const message =
        dns === null ? '"dns-01" needs "dns": how records are set' : '"dns" is of no use without "dns-01"';
      ctx.addIssue({ code: "custom", message, params: { code: "no-dns-provider" } });
      return z.NEVER;
    }
    const { ca: cas, key: keyKind, ...rest } = value;
    return { ...rest, cas, keyKind, dns, challenges, email: value.email ?? null, onDemand: value.onDemand ?? null };
  });

const localFields = z.strictObject({
  names: oneOrMany(textOption("bad-host", readNames, { description: "A host.", examples: ["*.internal"] }))
    .prefault([])
    .meta({ description: "Further names; `localhost`, `.localhost`, `.test` and addresses always are." }),
  lifetime: span("Lifetime of its certificates.", "7d", 60_000),
});

/** Of `tls`. */
export const local = z
  .union([z.boolean(), localFields])
  .meta({ description: "Certificates for development names from a CA of this machine's own: `true`, or how." })
  .transform((value): LocalCaConfig | null =>
    value === false ? null : value === true ? localFields.parse({}) : value,
  );

function readDirectory(text: string): Reading {
  if (KNOWN_CAS[text] !== undefined) return { text };
  const shown = JSON.stringify(text);
  if (!URL.canParse(text) || !/^https?:\/\//.test(text))
    return { problem: `${shown} is no CA`, hint: `write a URL, or one of ${KNOWN}` };
  // RFC 8555 §6.1.
  if (!text.startsWith("https:")) return { problem: `${shown} is not safe: a CA is only spoken to over HTTPS` };
  return { text };
}

function readServer(text: string): Reading {
  const withPort = /^\[[^\]]*\]$|^[^:]+$/.test(text)
    ? `${text}:53`
    : text.includes("]") || text.split(":").length === 2
      ? text
      : `[${text}]:53`;
  const reading = readEndpointAddress(withPort);
  if ("text" in reading && reading.text.startsWith("unix:"))
    return { problem: `${JSON.stringify(text)} is no DNS server` };
  return reading;
}

function readZone(text: string): Reading {
  const reading = readHostPattern(text);
  if ("text" in reading && /^[~.*[]/.test(reading.text)) return { problem: `${JSON.stringify(text)} is not a name` };
  return reading;
}

function readAllowed(text: string): Reading {
  const reading = readHostPattern(text);
  if (!("text" in reading)) return reading;
  if (reading.text === "*")
    return { problem: '"*" would allow everybody', hint: 'write the names that are yours, or let "ask" decide' };
  return isRegex(text) ? { text } : reading;
}

function readNames(text: string): Reading {
  const reading = readHostPattern(text);
  if ("text" in reading && /^[~[]|^\*$/.test(reading.text))
    return { problem: `${JSON.stringify(text)} is neither a name nor one with a wildcard` };
  return reading;
}

function readUrl(text: string): Reading {
  if (URL.canParse(text) && /^https?:\/\//.test(text)) return { text };
  return { problem: `${JSON.stringify(text)} is not a URL: it begins with http:// or https://` };
}

function readEmail(text: string): Reading {
  const address = text.replace(/^mailto:/, "");
  if (/^[^\s@,]+@[^\s@,]+$/.test(address)) return { text: address };
  return { problem: `${JSON.stringify(text)} is not an e-mail address` };
}

function readBase64(text: string): Reading {
  if (/^[A-Za-z0-9+/_-]{8,}={0,2}$/.test(text)) return { text };
  // The text may be a secret: it is not shown.
  return { problem: "this is not base64" };
}
