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
    host: fieldValue.min(1).optional().meta({ description: "`Host` of the request; default: the endpoint's address." }),
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
      .default(false)
      .transform((value) => (typeof value === "boolean" ? (value ? tlsSetting.parse({}) : null) : value))
      .meta({ description: "Whether it is asked over TLS; an object says how the certificate is looked at." }),
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
    run: (target, timeoutMs) => ask(timeoutMs, (settle) => exchange(choice, target, settle)),
  }),
});

function exchange(choice: HttpCheckOptions, target: CheckTarget, settle: (reason: string | null) => void): Asking {
  const { method, path, host, fields, tls } = choice;
  let stage: Stage = "connecting";
  let answered = false;
  const to = destination(target.address);
  const authority = host ?? target.host;
  const request = (tls === null ? requestPlain : requestTls)({
    ...("path" in to ? { socketPath: to.path } : to),
    ...(tls === null ? {} : tlsConnection(tls, authority)),
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
  const pieces: Buffer[] = [];
  let octets = 0;
  const conclude = (): void => {
    const found = contains === undefined || Buffer.concat(pieces).subarray(0, MAX_CONTENT).includes(contains);
    settle(found ? null : `the content does not contain ${JSON.stringify(contains)}`);
  };
  response.on("data", (piece: Buffer) => {
    octets += piece.length;
    if (contains !== undefined) pieces.push(piece);
    if (octets >= MAX_CONTENT) conclude();
  });
  response.on("end", () => (response.complete ? conclude() : settle("the answer was cut off")));
  for (const event of ["aborted", "error", "close"]) response.on(event, () => settle("the answer was cut off"));
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
