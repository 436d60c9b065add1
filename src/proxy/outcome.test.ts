/** What an upstream hears of how its exchanges end: health, circuit, stickiness. */
import { describe, expect, test } from "bun:test";
import { Failure } from "../base/failure.ts";
import { SILENT } from "../base/log.ts";
import { clock } from "../base/timer.ts";
import type { CircuitConfig } from "../config/gateway-config.ts";
import type { Exchange } from "../http/exchange.ts";
import type { HttpResponse } from "../http/message.ts";
import { jump, until, wait } from "../net/testing.ts";
import { Circuit } from "../upstream/circuit.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import { privateMemory, Status } from "../upstream/endpoint-state.ts";
import { PassiveHealth } from "../upstream/health/passive.ts";
import { Sticky } from "../upstream/sticky.ts";
import { endpoint } from "../upstream/testing.ts";
import {
  cleanUpAfterEach,
  type Facts,
  failureOf,
  forward,
  get,
  HandContent,
  head,
  keepOne,
  OK,
  Origin,
  received,
  refusing,
  send,
  statusOf,
  Taken,
} from "./testing.ts";

cleanUpAfterEach();

const gone = () => new Failure("client-closed", "gone");

/** Passive health that only writes down what it is told. */
class Heard extends PassiveHealth {
  readonly events: string[] = [];

  constructor() {
    const config = { failures: 3, window: 1, rate: null, rateRequests: 1, statuses: [], latency: null };
    super({ ...config, ejectFor: 1, ejectMax: 1, maxEjected: 0 }, { slowStartMs: 0, log: SILENT });
  }

  override answered(_endpoint: Endpoint, status: number): void {
    this.events.push(String(status));
  }

  override readmit(): boolean {
    return false;
  }

  override failed(_endpoint: Endpoint, failure: Failure, afterHead = false): void {
    this.events.push(afterHead ? `${failure.code} after the head` : failure.code);
  }
}

function setUp(facts: Facts = {}) {
  const [origin, other] = [new Origin(), new Origin()];
  const heard = new Heard();
  const handler = forward([origin.endpoint, other.endpoint], { ...facts, parts: { passive: heard, ...facts.parts } });
  return { origin, other, heard, handler };
}

describe("an endpoint's fault", () => {
  test("is a failed attempt, though the exchange is saved by another", async () => {
    const { origin, other, heard, handler } = setUp();
    const promise = handler(get());
    (await origin.next()).peer.reset();
    (await other.next()).peer.send(OK);
    await statusOf(promise);
    expect(heard.events).toEqual(["upstream-reset", "200"]);
  });

  test("is a response that was cut, and a limit that it let pass", async () => {
    const { origin, other, heard, handler } = setUp({ retry: { perAttempt: 5000 } });
    const promise = handler(get());
    const { peer } = await origin.next();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    const taken = new Taken(await promise);
    peer.reset();
    await taken.over();
    const failed = failureOf(handler(get()));
    await other.next();
    jump(5000);
    await failed;
    expect(heard.events).toEqual(["200", "upstream-truncated after the head", "upstream-attempt-timeout"]);
  });
});

describe("not an endpoint's fault", () => {
  test("is what the client ends, before a response and after", async () => {
    const { origin, other, heard, handler } = setUp();
    const first = get();
    const failed = failureOf(handler(first));
    await origin.next();
    first.abort(gone());
    await failed;
    const promise = handler(get());
    (await other.next()).peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    new Taken(await promise).flow.cancel(gone());
    expect(heard.events).toEqual(["200"]);
  });

  test("is content that the client cut", async () => {
    const { origin, heard, handler } = setUp();
    const content = new HandContent();
    const failed = failureOf(handler(send("POST", content)));
    await origin.next();
    content.abort(gone());
    await failed;
    expect(heard.events).toEqual([]);
  });

  test("is the time in which the client sends: it is no latency", async () => {
    const { origin, handler } = setUp();
    const content = new HandContent(2);
    const exchange = send("POST", content);
    const begun = clock.now;
    const promise = handler(exchange);
    const peer = await origin.accept();
    await until(() => exchange.phase === "first-octet");
    const waitedFrom = performance.now();
    await wait(50);
    const waited = clock.now - waitedFrom;
    content.write("ok");
    content.end();
    await received(peer, "ok");
    peer.send(OK);
    await statusOf(promise);
    // However long all of it took, that time is not in it.
    expect(origin.endpoint.state.latencyMs).toBeLessThanOrEqual(performance.now() - begun - waited);
  });

  test("is the end of a tunnel, however it ends", async () => {
    const { origin, heard, handler } = setUp();
    const exchange = get();
    exchange.request.upgrade = "websocket";
    const promise = handler(exchange);
    const { peer } = await origin.next();
    peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    const response = await promise;
    exchange.phase = "tunnel"; // As the engine says when it begins.
    const taken = new Taken(response);
    peer.reset();
    await taken.over();
    expect(heard.events).toEqual(["101"]);
  });

  test("is the exchange's own limit", async () => {
    const { origin, heard, handler } = setUp({ exchangeMs: 5000 });
    const failed = failureOf(handler(get()));
    await origin.next();
    jump(5000);
    await failed;
    expect(heard.events).toEqual([]);
  });

  test("is a kept connection that ended just as it was used", async () => {
    const { origin, heard, handler } = setUp();
    const peer = await keepOne(origin);
    const promise = handler(get());
    await head(peer);
    peer.reset();
    (await origin.next()).peer.send(OK);
    await statusOf(promise);
    expect(heard.events).toEqual(["200"]);
  });

  test("is to be slower than its hedge", async () => {
    const { origin, other, heard, handler } = setUp({ hedge: { after: 20 } });
    const promise = handler(get());
    await origin.next();
    (await other.next()).peer.send(OK);
    await statusOf(promise);
    expect(heard.events).toEqual(["200"]);
  });
});

describe("the circuit breaker", () => {
  const config: CircuitConfig = { failures: 0.5, requests: 2, window: 10_000, openFor: 60_000, probes: 1 };
  const circuit = (openFor = config.openFor) =>
    new Circuit({ ...config, openFor }, privateMemory(), { shared: 0, times: 0 });

  test("hears of exchanges, not attempts; open, it refuses with 503 and the time to come back", async () => {
    const parts = { circuit: circuit() };
    const handler = forward([refusing(), endpoint("nameless:80")], { parts });
    for (let i = 0; i < 2; i++) await failureOf(handler(get()));
    expect(parts.circuit.state).toBe("open");
    const exchange = get();
    const failure = await failureOf(handler(exchange));
    expect(failure).toMatchObject({ code: "circuit-open", status: 503 });
    expect(failure.retryAfterSeconds).toBeWithin(1, 61);
    expect(exchange.attempts).toBeNull();
    expect(exchange.waitsFor).toBeNull();
  });

  test("hears of 502 to 504 as failures, of other statuses and of saved exchanges as successes", async () => {
    const parts = { circuit: circuit() };
    const origin = new Origin();
    const saved = forward([refusing(), origin.endpoint], { parts })(get());
    (await origin.next()).peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    await statusOf(saved);
    const handler = forward([origin.endpoint], { parts });
    for (const [status, state] of [
      [500, "closed"],
      [503, "closed"],
      [502, "open"],
    ] as const) {
      const promise = handler(get());
      const { peer } = await origin.next();
      peer.send(`HTTP/1.1 ${status} Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
      await statusOf(promise);
      expect([status, parts.circuit.state]).toEqual([status, state]);
    }
  });

  test("gets back a probe whose client went away", async () => {
    const parts = { circuit: circuit(20) };
    const origin = new Origin();
    const handler = forward([origin.endpoint], { parts, retries: 0 });
    for (let i = 0; i < 2; i++) {
      const failed = failureOf(handler(get()));
      (await origin.next()).peer.reset();
      await failed;
    }
    await wait(50);
    const probe = get();
    const failed = failureOf(handler(probe));
    await origin.next();
    probe.abort(gone());
    await failed;
    const promise = handler(get());
    (await origin.next()).peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(parts.circuit.state).toBe("closed");
  });
});

test("the client is bound to the endpoint whose response it gets", async () => {
  const bound: [string, number][] = [];
  class Binds extends Sticky {
    override update(): void {}
    override find(): Endpoint | null {
      return null;
    }
    override bind(_exchange: Exchange, response: HttpResponse, { address }: Endpoint): void {
      bound.push([address, response.status]);
    }
  }
  const sticky = new Binds({ cookie: null, field: "x-session", secret: null });
  const { origin, other, handler } = setUp({ parts: { sticky } });
  const promise = handler(get());
  (await origin.next()).peer.reset();
  (await other.next()).peer.send(OK);
  await statusOf(promise);
  expect(bound).toEqual([[other.endpoint.address, 200]]);
});

test("why there is no endpoint is in the message", async () => {
  const addresses = ["a:80", "b:80", "c:80", "d:80", "e:80", "f:80"];
  const endpoints = addresses.map((address) => endpoint(address));
  const bits = [Status.down, Status.down, Status.ejected, Status.draining, Status.disabled, Status.unchecked];
  endpoints.forEach(({ state }, i) => {
    state.mark(bits[i]!);
  });
  const { message, code } = await failureOf(forward(endpoints, { parts: { passive: new Heard() } })(get()));
  expect(code).toBe("no-endpoint");
  expect(message).toBe(
    "upstream app has no endpoint to try: of 6, 2 are down by health check, 1 is ejected for failures, " +
      "1 is draining, 1 is disabled and 1 is not checked yet",
  );
  expect((await failureOf(forward([])(get()))).message).toBe("upstream app has no endpoints");
});
