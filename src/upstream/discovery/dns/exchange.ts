/**
 * One question to one DNS server: over UDP, and over TCP if the answer did not fit or somebody
 * seems to guess.
 *
 * Each query has a random id and a socket of its own, so a random port; the kernel lets only
 * datagrams of the server through, and what does not repeat id and question is not believed
 * (RFC 5452 §9). A datagram with a wrong id means that somebody is guessing: TCP cannot be guessed.
 */
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { type Answer, decodeAnswer, encodeQuery, MalformedAnswer, type Question, ResponseCode } from "./message.ts";

export interface Server {
  /** IP literal, or a name that the system can look up. */
  readonly host: string;
  readonly port: number;
}

export const formatServer = ({ host, port }: Server): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;

export interface ExchangeLimits {
  /** For UDP, and again for TCP if that is needed. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * @returns an answer to this question, whatever its code
 * @throws {Error} if there is none: no answer in time, a connection that fails, or the signal
 */
export async function ask(server: Server, question: Question, limits: ExchangeLimits): Promise<Answer> {
  const answer = await askOnce(server, question, limits, true);
  // From before EDNS (RFC 6891 §7).
  return answer.code === ResponseCode.formatError ? await askOnce(server, question, limits, false) : answer;
}

async function askOnce(server: Server, question: Question, limits: ExchangeLimits, edns: boolean): Promise<Answer> {
  const id = randomInt(65536);
  const query = { id, question, octets: encodeQuery(id, question, edns) };
  const answer = await overUdp(server, query, limits);
  return answer === null || answer.truncated ? await overTcp(server, query, limits) : answer;
}

interface Query {
  readonly id: number;
  readonly question: Question;
  readonly octets: Buffer;
}

/** @returns null if TCP has to be asked */
function overUdp(server: Server, query: Query, limits: ExchangeLimits): Promise<Answer | null> {
  return once(server, limits, ({ done, fail }) => {
    const socket = createSocket(isIPv6(server.host) ? "udp6" : "udp4");
    socket.on("error", (error) => fail(unreachable(server, error)));
    socket.on("message", (octets) => {
      const answer = readAnswer(octets, query);
      if (answer !== "not an answer") done(answer === "a guess" ? null : answer);
    });
    socket.connect(server.port, server.host, () => {
      socket.send(query.octets, (error) => {
        if (error) fail(unreachable(server, error));
      });
    });
    return () => {
      // Late errors have nobody left to tell.
      socket.removeAllListeners().on("error", () => {});
      socket.close();
    };
  });
}

function overTcp(server: Server, query: Query, limits: ExchangeLimits): Promise<Answer> {
  return once(server, limits, ({ done, fail }) => {
    const socket = connect({ host: server.host, port: server.port });
    socket.on("error", (error) => fail(unreachable(server, error)));
    socket.on("close", () => fail(new Error(`${formatServer(server)} closed the connection before its answer`)));
    socket.on("connect", () => {
      // RFC 1035 §4.2.2: the length goes first.
      const { length } = query.octets;
      socket.write(Buffer.concat([Buffer.from([length >> 8, length & 255]), query.octets]));
    });
    let received: Buffer = Buffer.alloc(0);
    socket.on("data", (piece: Buffer) => {
      received = Buffer.concat([received, piece]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const answer = readAnswer(received.subarray(2, 2 + received.readUInt16BE(0)), query);
      if (typeof answer === "string") fail(new Error(`${formatServer(server)} sent ${answer} over TCP`));
      else if (answer.truncated) fail(new Error(`${formatServer(server)} cut its answer short over TCP`));
      else done(answer);
    });
    return () => {
      socket.removeAllListeners().on("error", () => {});
      socket.destroy();
    };
  });
}

interface Outcome<T> {
  done(value: T): void;
  fail(error: Error): void;
}

/**
 * Ends with the first outcome, the time limit or the signal; what comes later counts for nothing.
 * @param begin returns what cleans up
 */
function once<T>(
  server: Server,
  { timeoutMs, signal }: ExchangeLimits,
  begin: (outcome: Outcome<T>) => () => void,
): Promise<T> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let isOver = false;
  const end = (settle: () => void) => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    cleanUp();
    settle();
  };
  const fail = (error: Error) => end(() => reject(error));
  const abort = () => fail(signal.reason);
  const timer = setTimeout(() => {
    fail(new Error(`${formatServer(server)} did not answer within ${timeoutMs} ms`));
  }, timeoutMs);
  signal.addEventListener("abort", abort);
  const cleanUp = begin({ done: (value) => end(() => resolve(value)), fail });
  return promise;
}

function readAnswer(octets: Uint8Array, { id, question }: Query): Answer | "not an answer" | "a guess" {
  let answer: Answer;
  try {
    answer = decodeAnswer(octets);
  } catch (thrown) {
    if (thrown instanceof MalformedAnswer) return "not an answer";
    throw thrown;
  }
  if (answer.id !== id) return "a guess";
  // Only a refusal may leave the question out: it cannot put anything in place of the truth.
  const { noError, noSuchName } = ResponseCode;
  if (answer.question === null) return answer.code === noError || answer.code === noSuchName ? "not an answer" : answer;
  const { name, type } = answer.question;
  return name === question.name && type === question.type ? answer : "not an answer";
}

function unreachable(server: Server, error: Error): Error {
  const { code } = error as NodeJS.ErrnoException;
  return new Error(`${formatServer(server)} cannot be asked: ${code ?? error.message}`, { cause: error });
}
