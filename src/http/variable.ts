/**
 * The one list of named variables. Log lines, fields, redirects, error pages and matchers all name
 * the facts of an exchange the same way, and a new variable is one entry here.
 *
 * A template is text with `{name}` in it; `{{` and `}}` stand for braces. It is compiled once, when
 * the route is built; for an exchange it only concatenates. What an exchange does not have is "".
 * Values are as they came: whoever writes them into a log line, a field or HTML escapes for that place.
 */
import { hostname } from "node:os";
import { z } from "zod";
import { clock } from "../base/timer.ts";
import { cookie } from "./cookie.ts";
import { nowCommonLog, nowHttpDate, nowIso, nowUnix } from "./date.ts";
import { type Attempt, type ClientCertificateFacts, decidingAttempt, type Exchange } from "./exchange.ts";
import { fieldId } from "./field-name.ts";
import type { FieldSection } from "./field-section.ts";
import { isToken } from "./grammar.ts";
import { statusSaid } from "./grpc.ts";
import { queryParameter } from "./query.ts";

/** A compiled template: call it with an exchange to get the text. */
export interface Template {
  (exchange: Exchange): string;
  /** The text if it is the same for every exchange, else null. */
  readonly constant: string | null;
  /** Names of the variables in it, in order. */
  readonly variables: readonly string[];
}

type Read = (exchange: Exchange) => string;

/** For a variable's name: what makes its values safe for the place the template's text goes to. */
export type EscapeFor = (name: string) => (value: string) => string;

interface Variable {
  /** As in a template; `<…>` stands for a part that the writer fills in. */
  readonly name: string;
  readonly doc: string;
}

/** Facts of the process rather than the exchange. The worker sets its number when it starts. */
export const processFacts = { hostname: hostname(), pid: String(process.pid), worker: "" };

const SIMPLE: Readonly<Record<string, readonly [doc: string, read: Read]>> = {
  "client.address": ["Address of the client; what a trusted proxy says, else the peer's.", (x) => x.clientAddress],
  "client.port": ["Port of the TCP peer.", (x) => (x.client.peerPort === 0 ? "" : String(x.client.peerPort))],
  "client.peer": ["Address of the TCP peer, trusted proxy or not.", (x) => x.client.peer],
  listener: ["Name of the listener that accepted the connection.", (x) => x.client.listener],

  "request.id": ["Identifier of the exchange, 32 hexadecimal digits unless taken over from the client.", (x) => x.id],
  "request.method": ["Method.", (x) => x.request.method],
  "request.scheme": ["`http` or `https`.", (x) => x.request.scheme],
  "request.host": ["Host asked for, lower case, without port.", (x) => x.host],
  "request.authority": ["Host and port as sent.", (x) => x.request.authority],
  "request.port": [
    "Port asked for; the scheme's own if none was named.",
    (x) => portOf(x.request.authority, x.request.scheme),
  ],
  "request.target": ["Request target as the client sent it: path and query.", (x) => x.clientTarget],
  "request.path": ["Path in normal form, the form that routes match on.", (x) => x.path],
  "request.query": ["Query as sent, without `?`.", (x) => x.query],
  "request.protocol": ["Protocol version, such as `HTTP/1.1`.", (x) => x.protocol],
  "request.length": ["Declared length of the request content, in octets.", (x) => numberText(x.request.body.length)],

  site: ["Name of the site.", (x) => x.site ?? ""],
  route: ["Name of the route.", (x) => x.route ?? ""],
  upstream: ["Name of the upstream.", (x) => x.upstream ?? ""],
  "upstream.endpoint": [
    "Address of the endpoint that answered, or was tried last.",
    (x) => decidingAttempt(x)?.endpoint ?? "",
  ],
  "upstream.status": ["Status that endpoint answered with.", (x) => positiveText(decidingAttempt(x)?.status)],
  "upstream.connect-ms": ["Milliseconds until the last attempt was connected.", (x) => spanOfAttempt(x, "connectedAt")],
  "upstream.first-octet-ms": [
    "Milliseconds until the first octet of the last attempt's response.",
    (x) => spanOfAttempt(x, "firstOctetAt"),
  ],
  "upstream.tried": [
    "Addresses of all endpoints tried, in order, separated by commas.",
    (x) => listOfAttempts(x, ({ endpoint }) => endpoint),
  ],
  "upstream.results": [
    "What came of each attempt: its status, or the code of its failure; `-` if another one won.",
    (x) => listOfAttempts(x, ({ status, failure }) => failure?.code ?? (status > 0 ? String(status) : "-")),
  ],
  attempts: ["Number of attempts at endpoints.", (x) => String(x.attempts === null ? 0 : x.attempts.length)],

  "response.status": [
    "Status the client gets; 499 if it left before.",
    (x) => positiveText(x.response?.status ?? x.failure?.status),
  ],
  "grpc.status": [
    "Number of the gRPC status a call ended with, `0` if all went well; empty if it was none.",
    (x) => statusSaid(x) ?? "",
  ],
  "response.octets": ["Octets of response content sent so far.", (x) => String(x.responseOctets)],
  "duration-ms": ["Milliseconds since the request began.", (x) => msText(clock.now - x.startedAt)],

  "time.iso": ["Now: `2026-03-01T12:00:00Z`.", nowIso],
  "time.unix": ["Now: seconds since 1970.", () => String(nowUnix())],
  "time.common-log": ["Now: `01/Mar/2026:12:00:00 +0000`.", nowCommonLog],
  "time.http": ["Now: `Sun, 01 Mar 2026 12:00:00 GMT`.", nowHttpDate],

  outcome: ["`complete`, or the code of the failure; empty while the exchange is under way.", (x) => outcome(x)],
  "outcome.by": ["Who ended the exchange early: `downstream`, `gateway` or `upstream`.", (x) => x.failure?.side ?? ""],
  "outcome.phase": ["Phase the exchange is in or ended in.", (x) => x.phase],
  "outcome.code": ["Code of the failure.", (x) => x.failure?.code ?? ""],

  "tls.version": ["TLS version of the client's connection.", (x) => x.client.tls?.version ?? ""],
  "tls.server-name": ["Server name the client asked for in the handshake.", (x) => x.client.tls?.serverName ?? ""],
  "tls.alpn": ["Protocol agreed on in the handshake.", (x) => x.client.tls?.alpn ?? ""],
  "tls.cipher": ["Cipher of the client's connection.", (x) => x.client.tls?.cipher ?? ""],
  "tls.resumed": [
    "`yes` if the connection resumed an earlier session, `no` if not; empty without TLS.",
    ({ client: { tls } }) => (tls === null ? "" : yesNo(tls.resumed)),
  ],
  "tls.client.verified": [
    "`yes` if the client has shown a certificate that is trusted, `no` if one that is not; empty if none.",
    (x) => ofCertificate(x, ({ distrust }) => yesNo(distrust === "")),
  ],
  "tls.client.distrust": [
    "Why the client's certificate is not trusted.",
    (x) => ofCertificate(x, ({ distrust }) => distrust),
  ],
  "tls.client.subject": [
    "Subject of the client's certificate, such as `CN=alice`.",
    (x) => ofCertificate(x, ({ subject }) => subject),
  ],
  "tls.client.issuer": ["Issuer of the client's certificate.", (x) => ofCertificate(x, ({ issuer }) => issuer)],
  "tls.client.serial": [
    "Serial number of the client's certificate, hexadecimal.",
    (x) => ofCertificate(x, ({ serial }) => serial),
  ],
  "tls.client.fingerprint": [
    "SHA-256 of the client's certificate, hexadecimal.",
    (x) => ofCertificate(x, ({ fingerprint }) => fingerprint),
  ],
  "tls.client.certificate": [
    "The client's certificate, DER in base64.",
    (x) => ofCertificate(x, ({ pem }) => pem.replace(/-----[A-Z ]+-----|\s/g, "")),
  ],

  hostname: ["Host name of this machine.", () => processFacts.hostname],
  pid: ["Process number of the worker.", () => processFacts.pid],
  worker: ["Number of the worker.", () => processFacts.worker],
};

interface Family extends Variable {
  readonly prefix: string;
  /** @throws {TypeError} if the filled-in part is not of the right kind */
  readonly create: (rest: string) => Read;
}

const FAMILIES: readonly Family[] = [
  {
    name: "request.field.<name>",
    prefix: "request.field.",
    doc: "Value of a request field; several lines are joined by a comma.",
    create: (rest) => fieldReader(rest, (x) => x.request.fields),
  },
  {
    name: "request.cookie.<name>",
    prefix: "request.cookie.",
    doc: "Value of a cookie.",
    create: (rest) => (x) => cookie(x.request.fields, rest) ?? "",
  },
  {
    name: "request.query.<name>",
    prefix: "request.query.",
    doc: "First value of a query parameter, decoded.",
    create: (rest) => (x) => queryParameter(x.query, rest) ?? "",
  },
  {
    name: "response.field.<name>",
    prefix: "response.field.",
    doc: "Value of a response field; several lines are joined by a comma.",
    create: (rest) => fieldReader(rest, (x) => x.response?.fields ?? null),
  },
  {
    name: "response.trailer.<name>",
    prefix: "response.trailer.",
    doc: "Value of a field of the response's trailer section, once that has come.",
    create: (rest) => fieldReader(rest, (x) => x.trailers),
  },
  {
    name: "param.<name>",
    prefix: "param.",
    doc: "What `:name`, `*` or a named group of the route's path pattern stood for.",
    create: (rest) => (x) => {
      const { params } = x;
      return params === null || !Object.hasOwn(params, rest) ? "" : params[rest]!;
    },
  },
];

/** All variables with one sentence each, for the docs page. */
export function variableNames(): readonly Variable[] {
  const simple = Object.entries(SIMPLE).map(([name, [doc]]) => ({ name, doc }));
  return [...simple, ...FAMILIES.map(({ name, doc }) => ({ name, doc }))];
}

/**
 * @param escapeFor applied to the values of variables, not to the text around them
 * @throws {TypeError} on an unknown variable, naming the nearest one, or an unpaired brace
 * @example compileTemplate("https://{request.host}{request.target}")(exchange)
 */
export function compileTemplate(text: string, escapeFor: EscapeFor | null = null): Template {
  const literals: string[] = [""];
  const reads: Read[] = [];
  const variables: string[] = [];
  let rest = text;
  for (let brace = rest.search(/[{}]/); brace >= 0; brace = rest.search(/[{}]/)) {
    const char = rest[brace]!;
    literals[literals.length - 1] += rest.slice(0, brace);
    if (rest[brace + 1] === char) {
      literals[literals.length - 1] += char;
      rest = rest.slice(brace + 2);
      continue;
    }
    const close = rest.indexOf("}", brace);
    if (char === "}" || close < 0) {
      throw new TypeError(
        `${JSON.stringify(text)} has a single "${char}": write {name} for a variable, "${char}${char}" for the brace itself`,
      );
    }
    const name = rest.slice(brace + 1, close);
    reads.push(escapeFor === null ? readerFor(name) : escaped(readerFor(name), escapeFor(name)));
    variables.push(name);
    literals.push("");
    rest = rest.slice(close + 1);
  }
  literals[literals.length - 1] += rest;
  const constant = reads.length === 0 ? literals[0]! : null;
  return Object.assign(concatenation(literals, reads), { constant, variables });
}

const escaped =
  (read: Read, makeSafe: (value: string) => string): Read =>
  (exchange) =>
    makeSafe(read(exchange));

/** The usual short templates without a loop. `literals` has one entry more than `reads`. */
function concatenation(literals: readonly string[], reads: readonly Read[]): Read {
  const [first = "", second = "", third = ""] = literals;
  const [a, b] = reads;
  if (a === undefined) return () => first;
  if (b === undefined) return first === "" && second === "" ? (x) => a(x) : (x) => first + a(x) + second;
  if (reads.length === 2) return (x) => first + a(x) + second + b(x) + third;
  return (x) => {
    let text = first;
    for (let i = 0; i < reads.length; i++) text += reads[i]!(x) + literals[i + 1]!;
    return text;
  };
}

/**
 * What reads one variable.
 * @throws {TypeError} if there is no variable of that name
 */
export function readerFor(name: string): Read {
  if (Object.hasOwn(SIMPLE, name)) return SIMPLE[name]![1];
  for (const { prefix, create } of FAMILIES) {
    if (name.startsWith(prefix) && name.length > prefix.length) return create(name.slice(prefix.length));
  }
  const wayOut = /^[\w.<>*-]+$/.test(name)
    ? `did you mean {${nearestVariable(name)}}?`
    : 'for the braces themselves write "{{" and "}}"';
  throw new TypeError(`there is no variable {${name}}: ${wayOut}`);
}

/** A string option that may hold variables; gives a Template. */
export function templateOption(doc: string) {
  return templateText(doc).transform((text) => compileTemplate(text));
}

/** As `templateOption`, but gives the text: for options that are compared with those of an earlier config. */
export function templateText(doc: string) {
  return z
    .string()
    .meta({ description: doc, format: "template" })
    .superRefine((text, ctx) => {
      try {
        compileTemplate(text);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        // What else looks at the options expects a template that can be compiled.
        ctx.addIssue({ code: "custom", message, params: { code: "bad-template" }, continue: false });
      }
    });
}

function fieldReader(name: string, section: (exchange: Exchange) => FieldSection | null): Read {
  if (!isToken(name)) throw new TypeError(`${JSON.stringify(name)} is not a field name`);
  const id = fieldId(name.toLowerCase());
  if (id !== 0) return (x) => section(x)?.getKnown(id) ?? "";
  return (x) => section(x)?.get(name) ?? "";
}

function portOf(authority: string, scheme: string): string {
  const colon = authority.lastIndexOf(":");
  const named = colon > authority.lastIndexOf("]") ? authority.slice(colon + 1) : "";
  if (named !== "") return named;
  return scheme === "https" ? "443" : "80";
}

const listOfAttempts = ({ attempts }: Exchange, text: (attempt: Attempt) => string): string =>
  attempts === null ? "" : attempts.map(text).join(", ");

/** A moment of an attempt that has not come is 0. */
function spanOfAttempt(exchange: Exchange, moment: "connectedAt" | "firstOctetAt"): string {
  const attempt = decidingAttempt(exchange);
  if (attempt === null || attempt[moment] < attempt.startedAt) return "";
  return msText(attempt[moment] - attempt.startedAt);
}

function outcome(exchange: Exchange): string {
  if (exchange.failure !== null) return exchange.failure.code;
  return exchange.phase === "done" ? "complete" : "";
}

function ofCertificate({ client: { tls } }: Exchange, read: (facts: ClientCertificateFacts) => string): string {
  const certificate = tls === null ? null : tls.clientCertificate;
  return certificate === null ? "" : read(certificate);
}

const yesNo = (value: boolean): string => (value ? "yes" : "no");
const numberText = (value: number | null): string => (value === null ? "" : String(value));
const positiveText = (value: number | undefined): string => (value === undefined || value <= 0 ? "" : String(value));
/** At most three decimals: microseconds are what the clock has. */
const msText = (ms: number): string => String(Math.round(ms * 1000) / 1000);

/**
 * The name that ends so, such as `request.method` for `method`; else the one that takes the fewest
 * edits, of a family with the writer's own last part.
 */
export function nearestVariable(wrong: string): string {
  for (const subject of ["request.", "response.", "client.", "tls.", "upstream."]) {
    if (Object.hasOwn(SIMPLE, subject + wrong)) return subject + wrong;
  }
  const lastPart = wrong.slice(wrong.lastIndexOf(".") + 1);
  let best = "";
  let fewest = Infinity;
  for (const { name } of variableNames()) {
    const candidate = name.replace("<name>", lastPart === "" ? "name" : lastPart);
    const edits = editDistance(wrong.toLowerCase(), candidate.toLowerCase());
    if (edits < fewest) {
      fewest = edits;
      best = candidate;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
