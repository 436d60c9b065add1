/**
 * What a gateway tells the origin server about the client: `Forwarded` (RFC 7239), `X-Forwarded-*`,
 * `X-Real-IP` and `Via` (RFC 9110 §7.6.3).
 *
 * From a client that is not a trusted proxy, its own values of these are dropped: nobody outside
 * can claim to be somebody else. From a trusted proxy they are kept and continued.
 */
import type { Exchange, ForwardedMemo, Protocol } from "../http/exchange.ts";
import { Field, fieldSet } from "../http/field-name.ts";
import { FieldSection } from "../http/field-section.ts";
import { isToken } from "../http/grammar.ts";
import type { Scheme } from "../http/message.ts";

const CLAIMS = fieldSet(
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-real-ip",
);

/** Origin servers of the CGI family read "_" and "-" in names alike, so these claim the same. */
const DISGUISED = [
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-real-ip",
  "content-length",
  "transfer-encoding",
];

/** @param trusted the peer is a trusted proxy: what it says is kept */
export function addForwardedFields(exchange: Exchange, trusted: boolean): void {
  const { request } = exchange;
  const { fields } = request;
  fields.deleteDisguised(DISGUISED); // A proxy that does not know them hands on its clients'.
  if (trusted) {
    continueFields(exchange);
    return;
  }
  fields.deleteSet(CLAIMS);
  request.gatewayFields = fieldsFor(exchange);
}

/** The last one made, for connections that carry one request each. */
let latest: ForwardedMemo | null = null;

function fieldsFor({ client, request, protocol }: Exchange): FieldSection {
  const { peer } = client;
  const { authority, scheme } = request;
  let memo = client.forwarded ?? latest;
  if (
    memo === null ||
    memo.authority !== authority ||
    memo.peer !== peer ||
    memo.scheme !== scheme ||
    memo.protocol !== protocol
  ) {
    const fields = freshFields(peer, scheme, authority);
    fields.appendTrusted(Field.via, "via", via(protocol));
    memo = { peer, authority, scheme, protocol, fields, uses: 0 };
    latest = memo;
  }
  client.forwarded = memo;
  memo.uses++;
  // Joining the text pays from the second time on.
  if (memo.uses === 2) memo.fields.seal();
  return memo.fields;
}

/** Peer and authority are validated already; a connection that carries one request makes these once per request. */
function freshFields(peer: string, scheme: Scheme, authority: string): FieldSection {
  const fields = new FieldSection();
  fields.appendTrusted(Field["x-forwarded-for"], "x-forwarded-for", peer === "" ? "unknown" : peer);
  fields.appendTrusted(Field["x-forwarded-proto"], "x-forwarded-proto", scheme);
  if (authority !== "") fields.appendTrusted(Field["x-forwarded-host"], "x-forwarded-host", authority);
  fields.appendTrusted(Field["x-forwarded-port"], "x-forwarded-port", portOf(authority, scheme));
  if (peer !== "") fields.appendTrusted(Field["x-real-ip"], "x-real-ip", peer);
  fields.appendTrusted(Field.forwarded, "forwarded", forwardedElement(peer, scheme, authority));
  return fields;
}

/** RFC 9110 §7.6.3: the version in which the message was received. */
function via(protocol: Protocol): string {
  return `${protocol.slice("HTTP/".length)} lintel`;
}

/** Continues what a trusted proxy says. If it says it in one of the two languages only, the client is told in the other as well. */
function continueFields(exchange: Exchange): void {
  const { client, request, clientAddress } = exchange;
  const { fields, authority, scheme } = request;
  const behind = clientAddress === client.peer ? "" : clientAddress;
  const addresses = fields.getKnown(Field["x-forwarded-for"]) || behind;
  const peer = client.peer === "" ? "unknown" : client.peer;
  fields.set("x-forwarded-for", addresses === "" ? peer : `${addresses}, ${peer}`);
  if (!fields.hasKnown(Field["x-forwarded-proto"])) fields.append("x-forwarded-proto", scheme);
  if (!fields.hasKnown(Field["x-forwarded-host"]) && authority !== "") fields.append("x-forwarded-host", authority);
  if (!fields.hasKnown(Field["x-forwarded-port"])) fields.append("x-forwarded-port", portOf(authority, scheme));
  if (clientAddress !== "") fields.set("x-real-ip", clientAddress);
  const elements = fields.getKnown(Field.forwarded) || (behind && forwardedElement(behind, scheme, authority));
  const ours = forwardedElement(client.peer, scheme, authority);
  fields.set("forwarded", elements === "" ? ours : `${elements}, ${ours}`);
  fields.append("via", via(exchange.protocol));
}

function forwardedElement(peer: string, scheme: Scheme, authority: string): string {
  const node = peer === "" ? "unknown" : peer.includes(":") ? `"[${peer}]"` : peer;
  const host = authority === "" ? "" : isToken(authority) ? `;host=${authority}` : `;host="${authority}"`;
  return `for=${node}${host};proto=${scheme}`;
}

function portOf(authority: string, scheme: Scheme): string {
  const colon = authority.lastIndexOf(":");
  if (colon > authority.lastIndexOf("]") && colon < authority.length - 1) return authority.slice(colon + 1);
  return scheme === "https" ? "443" : "80";
}
