/** For the tests of forwarding: origin servers whose every word is in the test, and upstreams made of them. */
import { afterEach, beforeEach, expect } from "bun:test";
import type { Failure } from "../base/failure.ts";
import type { RetryConfig } from "../config/gateway-config.ts";
import { type BodySink, type BodySource, type Flow, NO_BODY } from "../http/body.ts";
import type { Exchange } from "../http/exchange.ts";
import type { FieldSection } from "../http/field-section.ts";
import type { HttpResponse } from "../http/message.ts";
import { request } from "../middleware/testing.ts";
import { libc } from "../net/libc.ts";
import { LOOPBACK, listening, openSockets, Peer, until } from "../net/testing.ts";
import { roundRobin } from "../upstream/balancers/round-robin.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import { RetryBudget } from "../upstream/retry-budget.ts";
import { type EndpointFacts, endpoint, Tally } from "../upstream/testing.ts";
import { Upstream, type UpstreamParts, type UpstreamSettings } from "../upstream/upstream.ts";
import { type ForwardSettings, forwardTo } from "./forward.ts";

export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

let cleanup: (() => void)[] = [];
let used: Endpoint[] = [];

/** For each file of tests: what a test opened is closed after it, and nothing else stays open. */
export function cleanUpAfterEach(): void {
  let before = 0;
  beforeEach(() => {
    before = openSockets();
  });
  afterEach(async () => {
    for (const clean of cleanup.reverse()) clean();
    cleanup = [];
    await until(() => openSockets() <= before, "every socket of the test is closed");
    // Given back as often as picked, whatever happened.
    expect(used.map(({ inFlight }) => inFlight)).toEqual(used.map(() => 0));
    used = [];
  });
}

/** For the end of this test. */
export function afterThis(clean: () => void): void {
  cleanup.push(clean);
}

/** An origin server whose every word is in the test, and the endpoint that leads to it. */
export class Origin {
  readonly tally = new Tally();
  readonly endpoint: Endpoint;
  readonly #fd: number;
  readonly #peers: Peer[] = [];

  constructor(facts: EndpointFacts = {}, backlog = 128) {
    const { fd, sockaddr, address } = listening(LOOPBACK, backlog);
    this.#fd = fd;
    const port = address.kind === "tcp" ? address.port : 0;
    this.endpoint = endpoint(`127.0.0.1:${port}`, { sockaddrs: [sockaddr], tally: this.tally, ...facts });
    cleanup.push(() => this.close());
  }

  /** Connections that were accepted. */
  get accepted(): number {
    return this.#peers.length;
  }

  async accept(): Promise<Peer> {
    const peer = await Peer.accept(this.#fd);
    this.#peers.push(peer);
    return peer;
  }

  /** A connection that waits to be accepted, if there is one. */
  poll(): Peer | null {
    const fd = libc.accept4(this.#fd, null, null, 0);
    if (fd < 0) return null;
    this.#peers.push(new Peer(fd));
    return this.#peers.at(-1)!;
  }

  /** An exchange has been counted on it, and was given back. */
  get inFlight(): number {
    return this.endpoint.inFlight;
  }

  /** The next connection and the request that comes on it. */
  async next(): Promise<{ peer: Peer; head: string }> {
    const peer = await this.accept();
    return { peer, head: await head(peer) };
  }

  close(): void {
    this.endpoint.close();
    for (const peer of this.#peers) peer.close();
    libc.close(this.#fd);
    this.close = () => {};
  }
}

/** An endpoint that nobody listens at. */
export function refusing(): Endpoint {
  const { fd, sockaddr } = listening();
  libc.close(fd);
  return endpoint("refusing:80", { sockaddrs: [sockaddr] });
}

/** What has been sent up to the end of a head, and what came with it. */
export async function head(peer: Peer): Promise<string> {
  let text = "";
  await until(() => (text += peer.receive().toString("latin1")).includes("\r\n\r\n"), "a request");
  return text;
}

export interface Facts extends Partial<UpstreamSettings>, Partial<Omit<ForwardSettings, "upstream" | "retry">> {
  /** Further attempts at most. */
  readonly retries?: number;
  readonly retry?: Partial<RetryConfig>;
  readonly parts?: Partial<UpstreamParts>;
}

export const RETRY: RetryConfig = {
  attempts: 2,
  on: ["connect", "reset", "malformed"],
  anyMethod: false,
  budget: 1,
  budgetFloor: 100,
  content: 0,
  perAttempt: Infinity,
};

export function upstreamOf(endpoints: readonly Endpoint[], facts: Facts = {}): Upstream {
  const {
    retries: _,
    retry: __,
    parts,
    branding: ___,
    trusts: ____,
    exchangeMs: _____,
    hedge: ______,
    ...settings
  } = facts;
  const upstream = new Upstream(
    {
      name: "app",
      host: { kind: "keep" },
      connectMs: 20_000,
      firstOctetMs: 20_000,
      idleMs: 20_000,
      locality: null,
      whenAllDown: "fail",
      ...settings,
    },
    {
      createBalancer: () => roundRobin.create({}, 0),
      sticky: null,
      passive: null,
      circuit: null,
      queue: null,
      budget: new RetryBudget(1, 100),
      ...parts,
    },
  );
  upstream.update(endpoints);
  used.push(...endpoints);
  return upstream;
}

export function forward(endpoints: readonly Endpoint[], facts: Facts = {}) {
  const { branding = null, exchangeMs = Infinity, hedge = null, retries = 2 } = facts;
  const retry = { ...RETRY, attempts: retries, ...facts.retry };
  const upstream = upstreamOf(endpoints, facts);
  const handler = forwardTo({ upstream, retry, hedge, branding, trusts: () => false, exchangeMs });
  return (exchange: Exchange): Promise<HttpResponse> => Promise.resolve(handler(exchange));
}

export const get = (target = "/") => request(target);
export const send = (method: string, body: BodySource = NO_BODY) => request("/", { method, body });

/** What a promise came to, without waiting for it. */
export function outcomeOf(promise: Promise<HttpResponse>): { response: HttpResponse | null; failure: Failure | null } {
  const outcome = { response: null as HttpResponse | null, failure: null as Failure | null };
  promise.then(
    (response) => {
      outcome.response = response;
    },
    (failure: Failure) => {
      outcome.failure = failure;
    },
  );
  return outcome;
}

export async function failureOf(promise: Promise<HttpResponse>): Promise<Failure> {
  const outcome = outcomeOf(promise);
  await until(() => outcome.failure !== null, "a failure");
  return outcome.failure!;
}

/** Takes content and remembers how it ended: "end", or the code of what cut it. */
export class Taken implements BodySink {
  text = "";
  outcome = "";
  flow!: Flow;

  constructor(response: HttpResponse) {
    response.body.sendTo(this);
  }

  begin(flow: Flow): void {
    this.flow = flow;
  }
  write(octets: Uint8Array): void {
    this.text += Buffer.from(octets).toString("latin1");
  }
  end(): void {
    this.outcome = "end";
  }
  abort(why: Failure): void {
    this.outcome = why.code;
  }

  async over(): Promise<string> {
    await until(() => this.outcome !== "", "the end of the content");
    return this.outcome;
  }
}

/** The status of a response, once its content is over. */
export async function statusOf(promise: Promise<HttpResponse>): Promise<number> {
  const response = await promise;
  await new Taken(response).over();
  return response.status;
}

/** Of each attempt: its status, or the code of its failure; "-" if it was called off since another one won. */
export const resultsOf = ({ attempts }: Exchange): (number | string)[] =>
  (attempts ?? []).map(({ status, failure }) => failure?.code ?? (status || "-"));

/** Content that the test sends by hand; what it sends before somebody takes it waits for that. */
export class HandContent implements BodySource, Flow {
  readonly length: number | null;
  paused = false;
  cancelled: Failure | null = null;
  #sink: BodySink | null = null;
  #early: ((sink: BodySink) => void)[] = [];

  constructor(length: number | null = null) {
    this.length = length;
  }

  sendTo(sink: BodySink): void {
    this.#sink = sink;
    sink.begin(this);
    for (const say of this.#early) say(sink);
  }

  write(text: string): void {
    this.#say((sink) => sink.write(Buffer.from(text, "latin1")));
  }

  end(trailers: FieldSection | null = null): void {
    this.#say((sink) => sink.end(trailers));
  }

  abort(why: Failure): void {
    this.#say((sink) => sink.abort(why));
  }

  #say(what: (sink: BodySink) => void): void {
    if (this.#sink === null) this.#early.push(what);
    else what(this.#sink);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  cancel(why: Failure): void {
    this.cancelled = why;
  }
}

/** The octets of a request up to and with this text. */
export async function received(peer: Peer, end: string): Promise<string> {
  let text = "";
  await until(() => (text += peer.receive().toString("latin1")).endsWith(end), `octets that end with ${end}`);
  return text;
}

/** Leaves one idle connection at an origin, and gives its other end. */
export async function keepOne(origin: Origin, handler = forward([origin.endpoint])): Promise<Peer> {
  const response = handler(get("/first"));
  const { peer } = await origin.next();
  peer.send("HTTP/1.1 204 No Content\r\n\r\n");
  await response;
  expect(origin.endpoint.idleConnections).toBe(1);
  return peer;
}

/** Leaves so many idle connections. */
export async function keepMany(origin: Origin, count: number): Promise<Peer[]> {
  const handler = forward([origin.endpoint]);
  const responses = Array.from({ length: count }, () => handler(get("/first")));
  const peers: Peer[] = [];
  for (let i = 0; i < count; i++) peers.push((await origin.next()).peer);
  for (const peer of peers) peer.send("HTTP/1.1 204 No Content\r\n\r\n");
  await Promise.all(responses);
  return peers;
}
