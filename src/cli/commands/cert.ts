/** `lintel cert`: what clients of a running Lintel are shown for a name, where it is from, and until when. */
import type { z } from "zod";
import type { certificate, certificatesFor, missingCertificate } from "../../admin/schemas.ts";
import { parseDuration } from "../../base/option.ts";
import type { Paint } from "../../config/diagnostic.ts";
import { type Command, UsageError } from "../command.ts";
import { CONTROL_FLAGS, findControl } from "../find-control.ts";
import { columns } from "../terminal.ts";

type Certificate = z.output<typeof certificate>;
type Missing = z.output<typeof missingCertificate>;
type Answer = z.output<typeof certificatesFor>;

export const cert: Command = {
  name: "cert",
  summary: "Show the certificates of a running Lintel: what is served for a name, from where, until when.",
  parameters: "[NAME]",
  flags: [
    { name: "json", value: null, summary: "For scripts: as the admin API answers." },
    { name: "valid-for", value: "TIME", summary: "Fail if one ends within this time, such as 14d." },
    ...CONTROL_FLAGS,
  ],
  examples: [
    { line: "lintel cert", does: "Shows all certificates, the one that ends first at the top." },
    {
      line: "lintel cert example.com",
      does: "Shows what a client is shown who asks for it. Exit code 1: no valid certificate for the name.",
    },
    { line: "lintel cert example.com --valid-for 14d", does: "For monitoring: fails two weeks before it ends." },
  ],
  async run({ flags, rest, terminal }) {
    if (rest.length > 1) throw new UsageError(`cert takes one name: ${rest.join(" ")}`);
    const until = Date.now() + readSpan(flags.get("valid-for"));
    const client = await findControl(flags);
    const [name] = rest;
    if (name === undefined) {
      const answer = await client.get<{ certificates: Certificate[]; missing: Missing[] }>("/v1/certificates");
      if (flags.has("json")) terminal.out(`${JSON.stringify(answer, null, 2)}\n`);
      else terminal.out(table(answer.certificates, until, terminal.paint) + lacking(answer.missing, terminal.paint));
      return answer.certificates.every((one) => isValid(one, until)) && answer.missing.length === 0 ? 0 : 1;
    }
    const answer = await client.get<Answer>(`/v1/certificates/${encodeURIComponent(name)}`);
    if (flags.has("json")) terminal.out(`${JSON.stringify(answer, null, 2)}\n`);
    else terminal.out(tell(answer, until, terminal.paint));
    return isServed(answer, until) ? 0 : 1;
  },
};

function readSpan(text: string | null): number {
  if (text === null) return 0;
  const ms = parseDuration(text);
  if (ms !== null && Number.isFinite(ms)) return ms;
  throw new UsageError(`${JSON.stringify(text)} is not a time: write a number with m, h or d, such as 14d`);
}

const isValid = ({ notBefore, notAfter }: Certificate, until: number): boolean =>
  Date.parse(notBefore) <= Date.now() && Date.parse(notAfter) > until;

/** By every listener, with certificates for this very name. */
function isServed({ listeners }: Answer, until: number): boolean {
  return (
    listeners.length > 0 &&
    listeners.every(
      ({ answer, certificates }) => answer === "certificate" && certificates.every((one) => isValid(one, until)),
    )
  );
}

function table(certificates: readonly Certificate[], until: number, paint: Paint): string {
  if (certificates.length === 0) return "There are no certificates.\n";
  const sorted = certificates.toSorted((a, b) => Date.parse(a.notAfter) - Date.parse(b.notAfter));
  const rows = sorted.map((one) => {
    const renewal = one.renewal === null ? "-" : minuteOf(one.renewal);
    return [one.names.join(" "), one.kind, validity(one), renewal, one.source, one.origin, one.issuer];
  });
  const [head, ...body] = columns([["NAMES", "KIND", "VALID", "RENEWAL", "SOURCE", "FROM", "ISSUER"], ...rows]).split(
    /(?<=\n)/,
  );
  const lines = body.map((line, i) => (isValid(sorted[i]!, until) ? line : `${paint.error(line.trimEnd())}\n`));
  return `${paint.faint(head!.trimEnd())}\n${lines.join("")}`;
}

/** Names whose certificates are still to be got. */
function lacking(missing: readonly Missing[], paint: Paint): string {
  const lines = missing.map(({ name, source, failures, lastFailure, nextTry }) => {
    const isNow = Date.parse(nextTry) <= Date.now();
    const when = isNow ? "it is being got" : `next try ${minuteOf(nextTry)}`;
    const why = lastFailure === null ? "" : `, ${failures} ${failures === 1 ? "failure" : "failures"}: ${lastFailure}`;
    return paint.error(`${name}: no certificate yet (${source}): ${when}${why}`);
  });
  return lines.length === 0 ? "" : `\n${lines.join("\n")}\n`;
}

/** Listeners that answer the same are told together. */
function tell({ name, listeners, notes }: Answer, until: number, paint: Paint): string {
  if (listeners.length === 0) return `${name}: no listener has TLS\n`;
  const groups = new Map<string, Answer["listeners"][number][]>();
  for (const one of listeners) {
    const key = JSON.stringify({ ...one, listener: "" });
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const parts = [...groups.values()].map((group) => {
    const [first] = group;
    const rows = [
      ["answer", ANSWERS[first!.answer]],
      [group.length === 1 ? "listener" : "listeners", group.map(({ listener }) => listener).join(", ")],
      ["site", first!.site ?? "none: requests for it are answered 404"],
      ["versions", versions(first!)],
      ...(first!.clientCertificate === "none" ? [] : [["client certificate", first!.clientCertificate]]),
    ];
    const text = `${paint.strong(name)}\n${columns(rows, "  ")}`;
    return text + first!.certificates.map((one) => details(one, until, paint)).join("");
  });
  return [...parts, ...notes.map((note) => `${note}\n`)].join("\n");
}

const versions = ({ minVersion, maxVersion }: Answer["listeners"][number]): string =>
  [...new Set([minVersion, maxVersion])]
    .map((version) => version.replace("v", " "))
    .join(" and ")
    .replace("and TLS ", "and ");

const ANSWERS: Readonly<Record<Answer["listeners"][number]["answer"], string>> = {
  certificate: "a certificate for this name",
  default: "no certificate for this name: the default one, which browsers refuse",
  "on-demand": "none yet: one is got for the first client that asks",
  refused: "no certificate for this name: the handshake is refused (unrecognized_name)",
};

function details(one: Certificate, until: number, paint: Paint): string {
  const rows = [
    ["from", `${one.origin}${one.source === "file" ? "" : ` (${one.source})`}`],
    ["valid", validity(one)],
    ...(one.renewal === null ? [] : [["renewal", minuteOf(one.renewal)]]),
    ["names", one.names.join(" ")],
    ["subject", one.subject],
    ["issuer", one.issuer],
    ["SHA-256", one.fingerprint],
    ...(one.problem === null ? [] : [["problem", `what the files hold now is not used: ${one.problem}`]]),
  ];
  return `  ${paint.faint(one.kind === "rsa" ? "RSA" : "ECDSA")}\n${columns(rows, "    ")}`.replace(
    /^( *valid .*)$/m,
    (line) => (isValid(one, until) ? line : paint.error(line)),
  );
}

const DAY_MS = 86_400_000;

const minuteOf = (iso: string): string => iso.slice(0, 16).replace("T", " ");

/** "until 2026-04-01 12:00 (89 days)" */
function validity({ notBefore, notAfter }: Certificate): string {
  const end = Date.parse(notAfter);
  if (Date.parse(notBefore) > Date.now()) return `not before ${minuteOf(notBefore)}`;
  const left = end - Date.now();
  if (left <= 0) return `expired ${minuteOf(notAfter)}`;
  const days = Math.floor(left / DAY_MS);
  const rest = days >= 2 ? `${days} days` : `${Math.max(1, Math.round(left / 3_600_000))} h`;
  return `until ${minuteOf(notAfter)} (${rest})`;
}
