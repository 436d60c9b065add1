/**
 * `http` passes if the endpoint answers a request as it should: with one of the statuses and, if
 * wanted, with a text in its content. Redirects are answers; they are not followed.
 *
 * The whole answer, or its first 64 KiB, has to arrive within the check's timeout.
 */
import { type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { z } from "zod";
import { statusList } from "../../../base/option.ts";
import { isFieldValue, isToken, targetOctet } from "../../../http/grammar.ts";
import type { EndpointSettings } from "../../endpoint-settings.ts";
import { AskingAsUpstream } from "./as-upstream.ts";
import { type Asking, ask, destination, type Stage, socketReason } from "./ask.ts";
import { type CheckTarget, defineCheck } from "./check.ts";
import { tlsConnection, tlsOptions } from "./tls.ts";

/** Octets of content that are read at most. */
const MAX_CONTENT = 65_536;

/** What the runtime or another option says; in `fields` it would contradict that. */
const OURS = new Set(["host", "connection", "content-length", "transfer-encoding", "expect", "upgrade", "te"]);

const fieldValue = z.string().refine(isFieldValue, { error: "not a field value (RFC 9110 §5.5)" });

const isTarget = (text: string): boolean =>
  text.startsWith("/") && [...text].every((char) => targetOctet[char.charCodeAt(0)] === 1);

const tlsSetting = z.strictObject(tlsOptions);

const options = z
  .strictObject({
    method: z
      .string()
      .regex(/^[A-Z]+$/, { error: "a method is written in capitals" })
      .refine((method) => method !== "CONNECT", { error: "CONNECT asks for a tunnel, not for health" })
      .default("GET")
      .meta({ description: "Method of the request; it has no content." }),
    path: z
      .string()
      .refine(isTarget, { error: 'a path begins with "/" and has no spaces or raw non-ASCII letters' })
      .default("/")
      .meta({ description: "Path and query that are asked for." }),
    host: fieldValue.min(1).optional().meta({
      description:
        "`Host` of the request; default: what the upstream's `branding` or `host` says, else the endpoint's address.",
    }),
    fields: z
      .record(
        z.string().refine((name) => isToken(name) && !OURS.has(name.toLowerCase()), {
          error: "not a field that can be set here",
        }),
        fieldValue,
      )
      .default({})
      .meta({ description: "Further fields of the request." }),
    status: statusList("Statuses that pass.", ["2xx", "3xx"]),
    contains: z
      .string()
      .min(1)
      .optional()
      .meta({ description: "Text that must stand in the first 64 KiB of the content." }),
    tls: z
      .union([z.boolean(), tlsSetting])
      .transform((value) => (typeof value === "boolean" ? (value ? tlsSetting.parse({}) : null) : value))
      .optional()
      .meta({
        description:
          "Whether it is asked over TLS; an object says how the certificate is looked at. Default: it is asked as exchanges are, with the upstream's `tls`, `protocol` and `proxyProtocol`; at a `port` of its own, plainly.",
      }),
  })
  .refine(({ method, contains }) => method !== "HEAD" || contains === undefined, {
    error: "an answer to HEAD has no content that could contain this",
    path: ["contains"],
  });

export type HttpCheckOptions = z.output<typeof options>;

export const http = defineCheck({
  name: "http",
  summary: "Passes if the endpoint answers a request as it should.",
  options,
  create: (choice) => ({
    run: (target, timeoutMs) =>
      ask(timeoutMs, (settle) => {
        const { connections } = target;
        if (choice.tls !== undefined || connections === undefined) return exchange(choice, target, settle);
        return exchangeAsUpstream(choice, target, connections, settle);
      }),
  }),
});

function exchangeAsUpstream(
  choice: HttpCheckOptions,
  { address, host, names }: CheckTarget,
  connections: EndpointSettings,
  settle: (reason: string | null) => void,
): Asking {
  const { method, path, fields, status, contains } = choice;
  const authority = choice.host ?? names?.authority ?? host;
  const content = new Content(contains, settle);
  return new AskingAsUpstream(
    { address, method, target: path, authority, fields: { "user-agent": "lintel", ...lowerCased(fields) } },
    connections,
    {
      onStatus(answered) {
        const wrong = statusReason(answered, status);
        if (wrong !== null) settle(wrong);
      },
      onContent: (octets) => content.add(octets),
      onEnd: () => content.conclude(),
      onFailed: (reason, answered) => settle(answered ? "the answer was cut off" : reason),
    },
  );
}

function exchange(choice: HttpCheckOptions, target: CheckTarget, settle: (reason: string | null) => void): Asking {
  const { method, path, host, fields, tls = null } = choice;
  let stage: Stage = "connecting";
  let answered = false;
  const to = destination(target.address);
  const authority = host ?? target.names?.authority ?? target.host;
  const request = (tls === null ? requestPlain : requestTls)({
    ...("path" in to ? { socketPath: to.path } : to),
    ...(tls === null ? {} : tlsConnection(tls, host, target)),
    method,
    path,
    // A connection of its own: that a kept one still works says nothing about a new one.
    agent: false,
    headers: { host: authority, "user-agent": "lintel", connection: "close", ...lowerCased(fields) },
  });
  request.on("socket", (socket) => {
    socket.once("connect", () => {
      stage = tls === null ? "waiting" : "handshake";
    });
    socket.once("secureConnect", () => {
      stage = "waiting";
    });
  });
  request.on("response", (response) => {
    answered = true;
    judge(response, choice, settle);
  });
  request.on("upgrade", () => settle(statusReason(101, choice.status)));
  request.on("error", (error) => settle(answered ? "the answer was cut off" : socketReason(error, stage)));
  request.end();
  return {
    release: () => request.destroy(),
    late(span) {
      if (stage === "connecting") return `no connection within ${span}`;
      return answered ? `the answer was not complete within ${span}` : `no answer within ${span}`;
    },
  };
}

function judge(
  response: IncomingMessage,
  { status, contains }: HttpCheckOptions,
  settle: (reason: string | null) => void,
): void {
  const wrong = statusReason(response.statusCode!, status);
  if (wrong !== null) return settle(wrong);
  const content = new Content(contains, settle);
  response.on("data", (piece: Buffer) => content.add(piece));
  response.on("end", () => (response.complete ? content.conclude() : settle("the answer was cut off")));
  for (const event of ["aborted", "error", "close"]) response.on(event, () => settle("the answer was cut off"));
}

/** The content of an answer, as far as it is looked at. */
class Content {
  readonly #wanted: string | undefined;
  readonly #settle: (reason: string | null) => void;
  readonly #pieces: Buffer[] = [];
  #octets = 0;

  /** @param wanted text that must stand in it */
  constructor(wanted: string | undefined, settle: (reason: string | null) => void) {
    this.#wanted = wanted;
    this.#settle = settle;
  }

  add(piece: Uint8Array): void {
    this.#octets += piece.length;
    if (this.#wanted !== undefined) this.#pieces.push(Buffer.from(piece));
    if (this.#octets >= MAX_CONTENT) this.conclude();
  }

  conclude(): void {
    const wanted = this.#wanted;
    const found = wanted === undefined || Buffer.concat(this.#pieces).subarray(0, MAX_CONTENT).includes(wanted);
    this.#settle(found ? null : `the content does not contain ${JSON.stringify(wanted)}`);
  }
}

function statusReason(status: number, wanted: readonly number[]): string | null {
  return wanted.includes(status) ? null : `answered ${status}, wanted ${statusText(wanted)}`;
}

/** "2xx or 3xx", "200, 204 or 3xx". */
export function statusText(statuses: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < statuses.length; i++) {
    const first = statuses[i]!;
    // They are sorted, each once: a hundred from here on that end where the class does are the class.
    const isClass = first % 100 === 0 && statuses[i + 99] === first + 99;
    parts.push(isClass ? `${first / 100}xx` : String(first));
    if (isClass) i += 99;
  }
  const last = parts.pop() ?? "";
  return parts.length === 0 ? last : `${parts.join(", ")} or ${last}`;
}

function lowerCased(fields: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]));
}
