import { describe, expect, test } from "bun:test";
import { Failure } from "../base/failure.ts";
import { jump, until, wait } from "../net/testing.ts";
import { Status } from "../upstream/endpoint-state.ts";
import { Queue } from "../upstream/queue.ts";
import {
  cleanUpAfterEach,
  type Facts,
  failureOf,
  forward,
  get,
  head,
  OK,
  Origin,
  outcomeOf,
  resultsOf,
  statusOf,
} from "./testing.ts";

cleanUpAfterEach();

function setUp(config: { size?: number; timeout?: number } = {}, facts: Facts = {}) {
  const origin = new Origin({ maxInFlight: 1 });
  const queue = new Queue({ size: 10, timeout: 20_000, ...config }, 1);
  const handler = forward([origin.endpoint], { ...facts, parts: { queue } });
  /** Takes the only place there is. */
  const occupy = async () => {
    const promise = handler(get("/first"));
    const { peer } = await origin.next();
    return { peer, done: statusOf(promise) };
  };
  return { origin, queue, handler, occupy };
}

describe("when every endpoint is at its limit", () => {
  test("exchanges wait for room, and go out in the order they came", async () => {
    const { handler, occupy } = setUp();
    const { peer, done } = await occupy();
    const exchanges = [get("/second"), get("/third")];
    const waiting = exchanges.map((exchange) => statusOf(handler(exchange)));
    expect(exchanges.map(({ phase, attempts }) => [phase, attempts])).toEqual([
      ["queue", null],
      ["queue", null],
    ]);
    peer.send(OK);
    expect(await done).toBe(200);
    expect(await head(peer)).toStartWith("GET /second ");
    peer.send(OK);
    expect(await head(peer)).toStartWith("GET /third ");
    peer.send(OK);
    expect(await Promise.all(waiting)).toEqual([200, 200]);
  });

  test("and so many wait already, it is 503 at once, with Retry-After", async () => {
    const { handler, occupy } = setUp({ size: 1 });
    const { peer, done } = await occupy();
    const waiting = statusOf(handler(get()));
    expect(await failureOf(handler(get()))).toMatchObject({ code: "queue-full", status: 503 });
    peer.send(OK);
    await done;
    await head(peer);
    peer.send(OK);
    expect(await waiting).toBe(200);
  });

  test("without a queue it is 503 at once", async () => {
    const origin = new Origin({ maxInFlight: 1, inFlight: 1 });
    expect((await failureOf(forward([origin.endpoint])(get()))).code).toBe("queue-full");
    origin.endpoint.state.end();
  });

  test("and there is no room in time, it is 503", async () => {
    const { queue, handler, occupy } = setUp({ timeout: 40 });
    const { peer, done } = await occupy();
    const exchange = get();
    expect(await failureOf(handler(exchange))).toMatchObject({ code: "queue-timeout", status: 503 });
    expect(exchange.waitsFor).toBeNull();
    expect(queue.waiting).toBe(0);
    peer.send(OK);
    await done;
  });

  test("the exchange's own limit counts while it waits", async () => {
    const { queue, handler, occupy } = setUp({}, { exchangeMs: 5000 });
    const { done } = await occupy();
    void done.catch(() => {});
    const failed = failureOf(handler(get()));
    jump(5000);
    expect(await failed).toMatchObject({ code: "exchange-timeout", status: 504 });
    await until(() => queue.waiting === 0);
  });

  test("and the client goes away, its place is free and nothing is sent", async () => {
    const { origin, queue, handler, occupy } = setUp();
    const { peer, done } = await occupy();
    const exchange = get("/gone");
    const failed = failureOf(handler(exchange));
    exchange.abort(new Failure("client-closed", "gone"));
    expect((await failed).code).toBe("client-closed");
    expect(queue.waiting).toBe(0);
    peer.send(OK);
    await done;
    await wait(20);
    expect(peer.receive()).toBe("");
    expect(origin.accepted).toBe(1);
  });

  test("and then none is left, there is nothing to wait for", async () => {
    const { origin, handler, occupy } = setUp();
    const { peer, done } = await occupy();
    const outcome = outcomeOf(handler(get()));
    origin.endpoint.state.mark(Status.down);
    await until(() => outcome.failure !== null);
    expect(outcome.failure).toMatchObject({ code: "no-endpoint", status: 503 });
    peer.send(OK);
    await done;
  });
});

describe("a further attempt", () => {
  async function twoEndpoints(timeout: number) {
    const [first, second] = [new Origin(), new Origin({ maxInFlight: 1, inFlight: 1 })];
    const queue = new Queue({ size: 10, timeout }, 1);
    const exchange = get();
    const outcome = outcomeOf(forward([first.endpoint, second.endpoint], { parts: { queue } })(exchange));
    (await first.next()).peer.reset();
    await until(() => exchange.phase === "queue");
    return { second, exchange, outcome };
  }

  test("waits for room too", async () => {
    const { second, exchange, outcome } = await twoEndpoints(20_000);
    second.endpoint.state.end();
    (await second.next()).peer.send("HTTP/1.1 204 No Content\r\n\r\n");
    await until(() => outcome.response !== null);
    expect(resultsOf(exchange)).toEqual(["upstream-reset", 204]);
  });

  test("that finds none in time: the failure of the first is the answer", async () => {
    const { second, outcome } = await twoEndpoints(5000);
    jump(5000);
    await until(() => outcome.failure !== null);
    expect(outcome.failure!.code).toBe("upstream-reset");
    second.endpoint.state.end();
  });
});
