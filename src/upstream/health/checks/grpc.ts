/**
 * `grpc` passes if the endpoint says by the health protocol of gRPC (`grpc.health.v1.Health/Check`) that
 * it, or one of its services, is serving.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from "node:http2";
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { z } from "zod";
import { isFieldValue } from "../../../http/grammar.ts";
import { type Asking, ask, destination, type Stage, socketReason } from "./ask.ts";
import { type CheckTarget, defineCheck } from "./check.ts";
import { tlsConnection, tlsOptions } from "./tls.ts";

/** Octets of an answer that are read at most: a few are enough. */
const MAX_OCTETS = 4096;
const NAMES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] as const;
const SERVING = 1;

const tlsSetting = z.strictObject(tlsOptions);

const options = z
  .strictObject({
    service: z
      .string()
      .max(1000)
      .default("")
      .meta({ description: "Service that is asked for, such as `shop.Cart`; empty: the server as a whole." }),
    authority: z.string().min(1).refine(isFieldValue, { error: "not a field value (RFC 9110 §5.5)" }).optional().meta({
      description:
        "`:authority` of the call; default: what the upstream's `branding` or `host` says, else the endpoint's address.",
    }),
    tls: z
      .union([z.boolean(), tlsSetting])
      .default(false)
      .transform((value) => (typeof value === "boolean" ? (value ? tlsSetting.parse({}) : null) : value))
      .meta({ description: "Whether it is asked over TLS; an object says how the certificate is looked at." }),
  })
  .prefault({});

type GrpcCheckOptions = z.output<typeof options>;

export const grpc = defineCheck({
  name: "grpc",
  summary: "Passes if the endpoint says by gRPC's own health protocol that it is serving.",
  options,
  create: (choice) => ({
    run: (target, timeoutMs) => ask(timeoutMs, (settle) => call(choice, target, settle)),
  }),
});

function call(choice: GrpcCheckOptions, target: CheckTarget, settle: (reason: string | null) => void): Asking {
  const { service, tls } = choice;
  const authority = choice.authority ?? target.names?.authority ?? target.host;
  let stage: Stage = "connecting";
  const to = destination(target.address);
  const socket: Socket =
    tls === null
      ? connectPlain(to)
      : connectTls({ ...to, ...tlsConnection(tls, choice.authority, target), ALPNProtocols: ["h2"] });
  socket.once("connect", () => {
    stage = tls === null ? "waiting" : "handshake";
  });
  socket.once("secureConnect", () => {
    stage = "waiting";
  });
  const failed = (error: Error): void => settle(socketReason(error, stage));
  socket.on("error", failed);
  socket.on("close", () => settle("no answer: the connection ended"));
  const session: ClientHttp2Session = connectHttp2(`${tls === null ? "http" : "https"}://${authority}`, {
    createConnection: () => socket,
  });
  session.on("error", failed);
  const stream = session.request({
    ":method": "POST",
    ":authority": authority,
    ":path": "/grpc.health.v1.Health/Check",
    "content-type": "application/grpc",
    te: "trailers",
    "user-agent": "lintel",
  });
  judge(stream, service, settle);
  stream.end(question(service));
  return {
    release() {
      stream.on("error", () => {});
      session.destroy();
      socket.destroy();
    },
    late: (span) => (stage === "connecting" ? `no connection within ${span}` : `no answer within ${span}`),
  };
}

/** A message with HealthCheckRequest: `string service = 1`. */
function question(service: string): Buffer {
  const name = Buffer.from(service);
  const message = name.length === 0 ? name : Buffer.concat([Buffer.of(0x0a), varint(name.length), name]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function varint(value: number): Buffer {
  const octets: number[] = [];
  for (; value > 0x7f; value >>>= 7) octets.push((value & 0x7f) | 0x80);
  return Buffer.of(...octets, value);
}

function judge(stream: ClientHttp2Stream, service: string, settle: (reason: string | null) => void): void {
  const pieces: Buffer[] = [];
  let octets = 0;
  let status: string | undefined;
  stream.on("response", (head) => {
    if (head[":status"] !== 200) return settle(`answered ${head[":status"]}, not by gRPC`);
    status = text(head["grpc-status"]);
  });
  stream.on("data", (piece: Buffer) => {
    octets += piece.length;
    if (octets > MAX_OCTETS) settle("the answer is too long for one about health");
    else pieces.push(piece);
  });
  stream.on("trailers", (trailers) => {
    status = text(trailers["grpc-status"]) ?? status;
  });
  stream.on("error", (error) => settle(`no answer: ${error.message}`));
  // Not at the end of the content: the trailers come after it.
  stream.on("close", () => settle(verdict(status, Buffer.concat(pieces), service)));
}

const text = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

function verdict(status: string | undefined, content: Buffer, service: string): string | null {
  const what = service === "" ? "the server" : `the service ${JSON.stringify(service)}`;
  if (status === undefined) return "the answer was cut off";
  if (status === "5") return `${what} is not known to it`;
  if (status === "12") return "it has no health service (grpc.health.v1)";
  if (status !== "0") return `answered with gRPC status ${status}`;
  const serving = servingStatus(content);
  if (serving === null) return "the answer is not one about health";
  return serving === SERVING ? null : `${what} is ${NAMES[serving] ?? serving}`;
}

/** HealthCheckResponse: `ServingStatus status = 1`; null if it is none. */
function servingStatus(content: Buffer): number | null {
  if (content.length < 5 || content[0] !== 0 || content.readUInt32BE(1) !== content.length - 5) return null;
  if (content.length === 5) return 0;
  return content.length === 7 && content[5] === 0x08 && content[6]! < 0x80 ? content[6]! : null;
}
