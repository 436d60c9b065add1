/**
 * The access log as JSON lines. Put together by hand: the names never change and most values need
 * no escaping, so a line of 500 octets takes about half a microsecond and no object.
 */
import type { Failure } from "../../base/failure.ts";
import { clock } from "../../base/timer.ts";
import { type Attempt, decidingAttempt, type Exchange, type Phase } from "../../http/exchange.ts";
import { Field } from "../../http/field-name.ts";
import { statusSaid } from "../../http/grpc.ts";
import { statusOf } from "../outcome.ts";
import { jsonString } from "./escape.ts";

const USER_AGENT = Field["user-agent"];
const REFERER = Field["referer"];

export function jsonLine(exchange: Exchange): string {
  const { request, failure, protocol } = exchange;
  if (protocol === "TCP" || protocol === "UDP") return relayLine(exchange);
  const attempt = decidingAttempt(exchange);
  let line = `{"time":"${nowMs()}","client":${text(exchange.clientAddress)},"method":${text(request.method)}`;
  line += `,"host":${text(exchange.host)},"target":${text(exchange.clientTarget)},"protocol":"${exchange.protocol}"`;
  line += `,"status":${statusOf(exchange)},"requestOctets":${exchange.requestOctets}`;
  line += `,"responseOctets":${exchange.responseOctets},"durationMs":${ms(clock.now - exchange.startedAt)}`;
  line += `,"site":${name(exchange.site)},"route":${name(exchange.route)},"upstream":${name(exchange.upstream)}`;
  if (attempt !== null) {
    line += `,"endpoint":${jsonString(attempt.endpoint)},"attempts":${exchange.attempts!.length}`;
    line += `,"connectMs":${span(attempt.startedAt, attempt.connectedAt)}`;
    line += `,"firstOctetMs":${span(attempt.startedAt, attempt.firstOctetAt)}`;
    if (exchange.attempts!.length > 1)
      line += `,"tries":[${exchange.attempts!.map((one) => tried(exchange, one)).join()}]`;
  } else line += `,"endpoint":null,"attempts":0,"connectMs":null,"firstOctetMs":null`;
  line += `,"userAgent":${field(exchange, USER_AGENT)},"referer":${field(exchange, REFERER)}`;
  const grpcStatus = request.method === "POST" ? statusSaid(exchange) : undefined;
  if (grpcStatus !== undefined) line += `,"grpcStatus":${jsonString(grpcStatus)}`;
  if (exchange.hasId) line += `,"requestId":${jsonString(exchange.id)}`;
  const ended =
    failure === null ? `{"by":null,"phase":"${exchange.phase}","code":null}` : outcome(failure, exchange.phase);
  return `${line},"outcome":${ended}}`;
}

/** Of a connection or a session at layer 4 (relay/). */
function relayLine(exchange: Exchange): string {
  const { client, failure, attempts } = exchange;
  let line = `{"time":"${nowMs()}","client":${text(exchange.clientAddress)},"clientPort":${client.peerPort}`;
  line += `,"protocol":"${exchange.protocol}","listener":${jsonString(client.listener)},"route":${name(exchange.route)}`;
  if (exchange.protocol === "TCP") line += `,"serverName":${text(client.tls?.serverName ?? "")}`;
  line += `,"receivedOctets":${exchange.requestOctets},"sentOctets":${exchange.responseOctets}`;
  line += `,"durationMs":${ms(clock.now - exchange.startedAt)},"upstream":${name(exchange.upstream)}`;
  const attempt = attempts?.at(-1);
  if (attempt === undefined) line += `,"endpoint":null,"attempts":0,"connectMs":null,"firstOctetMs":null`;
  else {
    line += `,"endpoint":${jsonString(attempt.endpoint)},"attempts":${attempts!.length}`;
    line += `,"connectMs":${span(attempt.startedAt, attempt.connectedAt)}`;
    line += `,"firstOctetMs":${span(attempt.startedAt, attempt.firstOctetAt)}`;
    if (attempts!.length > 1) line += `,"tries":[${attempts!.map((one) => tried(exchange, one)).join()}]`;
  }
  const ended =
    failure === null ? `{"by":null,"phase":"${exchange.phase}","code":null}` : outcome(failure, exchange.phase);
  return `${line},"outcome":${ended}}`;
}

/** One of several attempts. Without status and code it was called off, since another one won. */
function tried(
  exchange: Exchange,
  { endpoint, hedge, reused, startedAt, connectedAt, status, failure }: Attempt,
): string {
  return (
    `{"endpoint":${jsonString(endpoint)},"hedge":${hedge},"reused":${reused},"afterMs":${ms(startedAt - exchange.startedAt)}` +
    `,"connectMs":${span(startedAt, connectedAt)},"status":${status === 0 ? "null" : status}` +
    `,"code":${failure === null ? "null" : `"${failure.code}"`}}`
  );
}

const text = (value: string): string => (value === "" ? "null" : jsonString(value));

function field(exchange: Exchange, id: number): string {
  const value = exchange.request.fields.getKnown(id);
  return value === undefined ? "null" : jsonString(value);
}

const name = (value: string | null): string => (value === null ? "null" : jsonString(value));

/** A moment that has not come is 0. */
const span = (from: number, to: number): string => (to < from ? "null" : ms(to - from));

/** Milliseconds with microseconds; integers print faster than fractions. */
function ms(value: number): string {
  const micros = Math.round(value * 1000);
  const rest = micros % 1000;
  const whole = String((micros - rest) / 1000);
  return rest === 0 ? whole : `${whole}.${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}`;
}

let lastMs = 0;
let lastText = "";

/** Now, to the millisecond; one text for all lines of a millisecond. */
function nowMs(): string {
  const now = Date.now();
  if (now !== lastMs) {
    lastMs = now;
    lastText = new Date(now).toISOString();
  }
  return lastText;
}

/** Failure messages quote what a peer sent; a line stays readable. */
const MAX_MESSAGE = 500;

function outcome(failure: Failure, phase: Phase): string {
  const message = jsonString(failure.message.slice(0, MAX_MESSAGE));
  return `{"by":"${failure.side}","phase":"${phase}","code":"${failure.code}","message":${message}}`;
}
