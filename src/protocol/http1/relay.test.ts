/**
 * Both engines back to back: a client's pipelined requests through a server engine, forwarded
 * through client engines to an origin server that keeps books. Octets arrive in random pieces,
 * connections are full at random times; what either end reads must be what the other wrote.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Failure } from "../../base/failure.ts";
import type { ClientInfo, Exchange } from "../../http/exchange.ts";
import type { FieldSection } from "../../http/field-section.ts";
import type { HttpResponse } from "../../http/message.ts";
import { PendingResponse } from "../../http/pending-response.ts";
import type { ResponseTaker } from "../client-connection.ts";
import type { ExchangeHooks } from "../exchange-hooks.ts";
import { type ClientOwner, Http1ClientConnection } from "./client.ts";
import { Http1ServerConnection } from "./server.ts";
import { CONTENT_LIMITS, FakeConnection, HEAD_LIMITS, latin1, RUNS, settle, wire } from "./testing.ts";
import { type ReadMessage, readMessages } from "./testing-bodies.ts";

interface Plan {
  readonly method: "GET" | "POST" | "HEAD";
  readonly request: { readonly framing: "none" | "length" | "chunked"; readonly chunks: readonly string[] };
  readonly response: {
    readonly framing: "length" | "chunked" | "close" | "none";
    readonly chunks: readonly string[];
    readonly interim: number;
    /** Octets after the head at which the origin server resets; null = none. */
    readonly cutAt: number | null;
  };
}

const CLIENT: ClientInfo = {
  listener: "http",
  peer: "192.0.2.1",
  peerPort: 1,
  localAddress: "192.0.2.2",
  localPort: 80,
  tls: null,
};

const chunkText = (chunks: readonly string[]): string =>
  `${chunks.map((chunk) => `${chunk.length.toString(16)};x\r\n${chunk}\r\n`).join("")}0\r\nX-Trailer: t\r\n\r\n`;

function requestText({ method, request: { framing, chunks } }: Plan, index: number): string {
  const head = [`${method} /${index} HTTP/1.1`, "Host: a", "TE: trailers"];
  const content = chunks.join("");
  if (framing === "none") return wire(...head, "", "");
  if (framing === "length") return wire(...head, `Content-Length: ${content.length}`, "", content);
  return wire(...head, "Transfer-Encoding: chunked", "", chunkText(chunks));
}

/** What the origin server answers, and how much of it before a reset. */
function responseText({ method, response: { framing, chunks, interim, cutAt } }: Plan, index: number): string {
  const content = chunks.join("");
  const informs = wire("HTTP/1.1 103 Early Hints", "Link: a", "", "").repeat(interim);
  if (framing === "none") return `${informs}HTTP/1.1 204 No Content\r\nX-Index: ${index}\r\n\r\n`;
  const framed =
    framing === "length"
      ? [`Content-Length: ${content.length}`]
      : framing === "chunked"
        ? ["Transfer-Encoding: chunked"]
        : ["Connection: close"];
  const head = wire("HTTP/1.1 200 OK", `X-Index: ${index}`, ...framed, "", "");
  const body = method === "HEAD" ? "" : framing === "chunked" ? chunkText(chunks) : content;
  return informs + head + (cutAt === null ? body : body.slice(0, cutAt));
}

const isCut = ({ method, response: { framing, chunks, cutAt } }: Plan): boolean =>
  cutAt !== null &&
  framing !== "none" &&
  method !== "HEAD" &&
  (framing === "close" || cutAt < (framing === "chunked" ? chunkText(chunks) : chunks.join("")).length);

/** Numbers that follow from a seed. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  }
}

/** The origin server's end of one connection. */
class Origin {
  readonly connection = new FakeConnection();
  readonly engine: Http1ClientConnection;
  #read = "";
  #toSend = "";
  #resets = false;
  #ends = false;

  constructor(owner: Relay) {
    this.engine = new Http1ClientConnection(this.connection, { head: HEAD_LIMITS, content: CONTENT_LIMITS }, owner);
    this.connection.handler = this.engine;
  }

  /** Reads what has come and sends a piece of what is to go. @returns false if there was nothing to do */
  step(relay: Relay): boolean {
    const arrived = this.connection.taken();
    this.#read += arrived;
    const { messages, rest } = readMessages(this.#read);
    this.#read = rest;
    for (const message of messages) {
      const index = Number(message.startLine.split(" ")[1]!.slice(1));
      relay.seen[index] = message;
      const plan = relay.plans[index]!;
      this.#toSend += responseText(plan, index);
      this.#resets = isCut(plan);
      this.#ends = plan.response.framing === "close";
    }
    if (this.#toSend !== "") {
      const octets = 1 + relay.random.below(this.#toSend.length);
      this.connection.arrive(this.#toSend.slice(0, octets));
      this.#toSend = this.#toSend.slice(octets);
      return true;
    }
    // A reset that overtakes octets is another story: here they have been read.
    if (this.#resets && this.connection.waiting === 0) {
      this.#resets = false;
      this.connection.lose();
      return true;
    }
    if (this.#ends && !this.#resets) {
      this.#ends = false;
      this.connection.end();
      return true;
    }
    return arrived !== "";
  }
}

class Forwarding extends PendingResponse implements ResponseTaker {
  readonly #exchange: Exchange;

  constructor(exchange: Exchange) {
    super();
    this.#exchange = exchange;
  }

  onInterim(status: number, fields: FieldSection): void {
    this.#exchange.inform(status, fields);
  }

  onResponse(response: HttpResponse): void {
    this.resolve(response);
  }

  onFailed(failure: Failure): void {
    this.reject(failure);
  }

  onComplete(): void {}
}

class Relay implements ExchangeHooks, ClientOwner {
  readonly plans: readonly Plan[];
  readonly random: Random;
  readonly client = new FakeConnection();
  readonly seen: ReadMessage[] = [];
  readonly origins: Origin[] = [];
  readonly draining = false;
  finished = 0;
  #idle: Http1ClientConnection[] = [];
  /** Middlewares that wait for something else. */
  #later: ((value: unknown) => void)[] = [];

  constructor(plans: readonly Plan[], seed: number) {
    this.plans = plans;
    this.random = new Random(seed);
    this.client.handler = new Http1ServerConnection(
      this.client,
      CLIENT,
      {
        scheme: "http",
        head: HEAD_LIMITS,
        content: CONTENT_LIMITS,
        headTime: null,
        keepAliveTime: null,
        contentIdleTime: null,
        sendTime: null,
        continueTime: null,
        tunnelIdleTime: null,
        contentRate: 0,
      },
      this,
    );
  }

  readonly handle = (exchange: Exchange): PromiseLike<HttpResponse> => {
    let engine = this.#idle.pop();
    if (engine === undefined) {
      const origin = new Origin(this);
      this.origins.push(origin);
      engine = origin.engine;
    }
    const forwarding = new Forwarding(exchange);
    engine.send(exchange.request, "origin", null, null, forwarding);
    // As it is without a middleware, with one that awaits the response, or with one that takes its time.
    switch (this.random.below(3)) {
      case 0:
        return forwarding;
      case 1:
        return Promise.resolve(forwarding);
      default:
        return new Promise((resolve) => this.#later.push(resolve)).then(() => forwarding);
    }
  };

  finish(): void {
    this.finished++;
  }

  malformed(_client: ClientInfo, failure: Failure): void {
    throw failure;
  }

  closed(): void {}

  fault(thrown: unknown): void {
    throw thrown;
  }

  idle(engine: Http1ClientConnection): void {
    this.#idle.push(engine);
  }

  gone(engine: Http1ClientConnection): void {
    this.#idle = this.#idle.filter((one) => one !== engine);
  }

  /** Lets everything happen, in an order that follows from the seed. @returns what the client read */
  run(): string {
    let toSend = latin1(this.plans.map(requestText).join(""));
    let quiet = 0;
    while (quiet < 50) {
      quiet++;
      const connections = [this.client, ...this.origins.map(({ connection }) => connection)];
      const connection = connections[this.random.below(connections.length)]!;
      switch (this.random.below(9)) {
        case 0:
          connection.stall();
          break;
        case 1:
        case 2:
          if (connection.full) quiet = 0;
          connection.giveRoom();
          break;
        case 3:
        case 4:
          if (toSend.length > 0) {
            const octets = 1 + this.random.below(toSend.length);
            this.client.arrive(toSend.subarray(0, octets));
            toSend = toSend.subarray(octets);
            quiet = 0;
          }
          break;
        case 5:
          this.#later.pop()?.(null);
          break;
        default:
          if (this.origins.length > 0 && this.origins[this.random.below(this.origins.length)]!.step(this)) quiet = 0;
      }
      settle();
    }
    // Whatever was full by chance at the end has room now.
    for (let turn = 0; turn < 20; turn++) {
      for (const connection of [this.client, ...this.origins.map((origin) => origin.connection)]) connection.giveRoom();
      for (const origin of [...this.origins]) while (origin.step(this));
      for (const goOn of this.#later.splice(0)) goOn(null);
      settle();
    }
    return this.client.taken();
  }
}

const content = fc.string({
  unit: fc.constantFrom("a", "\r\n", "0", "\xff", "GET / HTTP/1.1\r\n\r\n"),
  minLength: 1,
  maxLength: 60,
});
const chunks = fc.array(content, { maxLength: 4 });
const plan: fc.Arbitrary<Plan> = fc.record({
  method: fc.constantFrom("GET", "POST", "POST", "HEAD"),
  request: fc.record({ framing: fc.constantFrom("none", "length", "chunked"), chunks }),
  response: fc.record({
    framing: fc.constantFrom("length", "chunked", "close", "none"),
    chunks,
    interim: fc.nat(2),
    cutAt: fc.constant(null),
  }),
});
const cutPlan = plan.chain((one) =>
  fc.nat(80).map((cutAt): Plan => ({ ...one, method: "POST", response: { ...one.response, cutAt } })),
);

/** Compares what both ends read with the plans, up to `count` exchanges. */
function check(plans: readonly Plan[], relay: Relay, messages: readonly ReadMessage[], count: number): void {
  const finals = messages.filter(({ startLine }) => !startLine.includes(" 103 "));
  expect(finals).toHaveLength(count);
  for (const [index, { method, request, response }] of plans.slice(0, count).entries()) {
    const seen = relay.seen[index]!;
    expect(seen.startLine).toBe(`${method} /${index} HTTP/1.1`);
    expect(seen.content).toBe(request.framing === "none" ? "" : request.chunks.join(""));
    expect(seen.trailers).toBe(request.framing === "chunked" ? "X-Trailer: t\r\n" : "");
    const read = finals[index]!;
    expect(read.fields["x-index"]).toBe(String(index));
    expect(read.startLine).toBe(response.framing === "none" ? "HTTP/1.1 204 No Content" : "HTTP/1.1 200 OK");
    expect(read.content).toBe(response.framing === "none" || method === "HEAD" ? "" : response.chunks.join(""));
    expect(read.trailers).toBe(response.framing === "chunked" && method !== "HEAD" ? "X-Trailer: t\r\n" : "");
  }
  const informs = plans.slice(0, count).reduce((sum, { response }) => sum + response.interim, 0);
  expect(messages.length - finals.length).toBeGreaterThanOrEqual(informs);
}

test("what goes in at one end comes out at the other, in order, whatever is cut or full when", () => {
  fc.assert(
    fc.property(fc.array(plan, { minLength: 1, maxLength: 6 }), fc.integer(), (plans, seed) => {
      const relay = new Relay(plans, seed);
      const octets = relay.run();
      const { messages, rest } = readMessages(
        octets,
        plans.map(({ method }) => method),
      );
      expect(rest).toBe("");
      check(plans, relay, messages, plans.length);
      expect(relay.finished).toBe(plans.length);
      expect([relay.client.fate, relay.client.paused]).toEqual(["open", false]);
    }),
    { numRuns: RUNS },
  );
});

test("a response that the origin server cuts never looks complete (RFC 9112 §8)", () => {
  fc.assert(
    fc.property(fc.array(plan, { maxLength: 2 }), cutPlan, plan, fc.integer(), (before, last, after, seed) => {
      fc.pre(isCut(last));
      const plans = [...before, last, after];
      const relay = new Relay(plans, seed);
      const { messages, rest } = readMessages(
        relay.run(),
        plans.map(({ method }) => method),
      );
      check(plans, relay, messages, before.length);
      expect(rest).toContain(`X-Index: ${before.length}`);
      expect(relay.client.fate).not.toBe("open");
    }),
    { numRuns: RUNS },
  );
});
