/** Answers a CA that asks for a token (http-01, RFC 8555 §8.3), whatever the host's routes say. */
import type { Exchange } from "../http/exchange.ts";
import { FieldSection } from "../http/field-section.ts";
import type { HttpResponse } from "../http/message.ts";
import { answer } from "../middleware/answer.ts";

const FOLDER = "/.well-known/acme-challenge/";

/** @returns null if it is none of them: a client for certificates behind us may have others */
export function answerChallenge(exchange: Exchange, tokens: Readonly<Record<string, string>>): HttpResponse | null {
  const { path, request } = exchange;
  if (!path.startsWith(FOLDER) || (request.method !== "GET" && request.method !== "HEAD")) return null;
  const token = path.slice(FOLDER.length);
  if (!Object.hasOwn(tokens, token)) return null;
  const fields = FieldSection.of({ "content-type": "application/octet-stream", "cache-control": "no-store" });
  return answer(exchange, 200, fields, Buffer.from(tokens[token]!));
}
