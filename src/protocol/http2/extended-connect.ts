/**
 * WebSockets over HTTP/2 (RFC 8441 §5) as an exchange that all rooms know: the GET with Upgrade that
 * HTTP/1.1 would have had (RFC 6455 §4.1). What HTTP/2 leaves out of the handshake is made up here,
 * and its answer checked here.
 */
import { createHash, randomBytes } from "node:crypto";
import type { FieldSection } from "../../http/field-section.ts";

/** Adds what the handshake of HTTP/1.1 needs. @returns the Sec-WebSocket-Accept that has to come back; null for other protocols */
export function beginHandshake(protocol: string, fields: FieldSection): string | null {
  if (protocol.toLowerCase() !== "websocket") return null;
  const key = randomBytes(16).toString("base64");
  // RFC 8441 §5: the fields are not used in HTTP/2, so whatever the client put there says nothing.
  fields.set("sec-websocket-key", key);
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

/** Takes out of the answer what HTTP/2 leaves out. @returns whether it answers this handshake */
export function endHandshake(accept: string, fields: FieldSection): boolean {
  const isAnswer = fields.get("sec-websocket-accept") === accept;
  fields.delete("sec-websocket-accept");
  return isAnswer;
}
