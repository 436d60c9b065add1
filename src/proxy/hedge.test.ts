import { describe, expect, test } from "bun:test";
import { Failure } from "../base/failure.ts";
import { MemoryBody } from "../http/body.ts";
import { jump, Peer, pass, until } from "../net/testing.ts";
import { Status } from "../upstream/endpoint-state.ts";
import { RetryBudget } from "../upstream/retry-budget.ts";
import {
  afterThis,
  cleanUpAfterEach,
  type Facts,
  failureOf,
  forward,
  get,
  head,
  keepOne,
  OK,
  Origin,
  resultsOf,
  send,
  statusOf,
  Taken,
} from "./testing.ts";

cleanUpAfterEach();

const facts: Facts = { hedge: { after: 20 } };
/** For what must not be asked: time that the test lets pass, see `jump`. */
const HEDGE_LATER: Facts = { hedge: { after: 5000 } };

function two(more: Facts = {}) {
  const [first, second] = [new Origin(), new Origin()] as const;
  return { first, second, handler: forward([first.endpoint, second.endpoint], { ...facts, ...more }) };
}

describe("when the first endpoint takes its time", () => {
  test("a second one is asked beside it; its response wins, the first is called off", async () => {
    const { first, second, handler } = two();
    const exchange = get();
    const promise = handler(exchange);
    const slow = await first.next();
    (await second.next()).peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(resultsOf(exchange)).toEqual(["-", 200]);
    expect(exchange.attempts!.map(({ hedge }) => hedge)).toEqual([false, true]);
    expect((await slow.peer.receiveAll()).end).toMatch(/end|ECONNRESET/);
    expect(first.tally).toMatchObject({ active: 0, idle: 0 });
  });

  test("and answers first after all, the second is called off", async () => {
    const { first, second, handler } = two();
    const exchange = get();
    const promise = handler(exchange);
    const slow = await first.next();
    const other = await second.next();
    slow.peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfi");
    const taken = new Taken(await promise);
    expect((await other.peer.receiveAll()).end).toMatch(/end|ECONNRESET/);
    slow.peer.send("rst");
    expect([await taken.over(), taken.text]).toEqual(["end", "first"]);
    expect(resultsOf(exchange)).toEqual([200, "-"]);
    expect(second.inFlight).toBe(0);
  });

  test("and fails while the second is asked: the second is waited for", async () => {
    const { first, second, handler } = two({ retries: 0 });
    const exchange = get();
    const promise = handler(exchange);
    const slow = await first.next();
    const other = await second.next();
    slow.peer.reset();
    await until(() => first.inFlight === 0);
    other.peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(resultsOf(exchange)).toEqual(["upstream-reset", 200]);
  });

  test("and the second fails: the first is waited for", async () => {
    const { first, second, handler } = two({ retries: 0 });
    const exchange = get();
    const promise = handler(exchange);
    const slow = await first.next();
    (await second.next()).peer.reset();
    await until(() => second.inFlight === 0);
    slow.peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(resultsOf(exchange)).toEqual([200, "upstream-reset"]);
  });

  test("and both fail: a third is tried, or the last failure is the answer", async () => {
    for (const retries of [0, 1]) {
      const origins = [new Origin(), new Origin(), new Origin()] as const;
      const endpoints = origins.map(({ endpoint }) => endpoint);
      const promise = forward(endpoints, { ...facts, retries })(get());
      const outcome = statusOf(promise).catch((failure: Failure) => failure.code);
      const [slow, other] = [await origins[0].next(), await origins[1].next()];
      other.peer.reset();
      await until(() => origins[1].inFlight === 0);
      slow.peer.reset();
      if (retries > 0) (await origins[2].next()).peer.send(OK);
      expect(await outcome).toBe(retries > 0 ? 200 : "upstream-reset");
    }
  });

  test("and then says it is busy, where that is retried: the second is waited for", async () => {
    const { first, second, handler } = two({ retry: { on: [503] } });
    const exchange = get();
    const promise = handler(exchange);
    const slow = await first.next();
    const other = await second.next();
    slow.peer.send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    await until(() => first.inFlight === 0);
    other.peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(resultsOf(exchange)).toEqual([503, 200]);
  });

  test("a stale connection of the second is taken once more, beside the first", async () => {
    const { first, second, handler } = two();
    const kept = await keepOne(second);
    const exchange = get();
    const promise = handler(exchange);
    const slow = await first.next();
    await head(kept);
    kept.reset();
    (await second.next()).peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(resultsOf(exchange)).toEqual(["-", "upstream-reset", 200]);
    expect(exchange.attempts![2]).toMatchObject({ hedge: true, reused: false });
    slow.peer.close();
  });

  test("the client goes away: both are called off", async () => {
    const { first, second, handler } = two();
    const exchange = get();
    const failed = failureOf(handler(exchange));
    const peers = [await first.next(), await second.next()];
    exchange.abort(new Failure("client-closed", "gone"));
    expect((await failed).code).toBe("client-closed");
    for (const { peer } of peers) expect((await peer.receiveAll()).end).toMatch(/end|ECONNRESET/);
    expect([first.inFlight, second.inFlight]).toEqual([0, 0]);
  });

  test("the exchange's limit ends both", async () => {
    const { first, second, handler } = two({ exchangeMs: 5000 });
    const failed = failureOf(handler(get()));
    await Promise.all([first.next(), second.next()]);
    jump(5000);
    expect((await failed).code).toBe("exchange-timeout");
    expect([first.inFlight, second.inFlight]).toEqual([0, 0]);
  });

  test("to connect, that counts too", async () => {
    const hole = new Origin({}, 0);
    const filler = new Peer(hole.endpoint.sockaddrs[0]!);
    afterThis(() => filler.close());
    const second = new Origin();
    const promise = forward([hole.endpoint, second.endpoint], facts)(get());
    (await second.next()).peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(hole.inFlight).toBe(0);
  });
});

describe("no second endpoint is asked", () => {
  test("when the first answers in time, however long its content takes", async () => {
    const { first, second, handler } = two(HEDGE_LATER);
    const exchange = get();
    const promise = handler(exchange);
    const { peer } = await first.next();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok");
    const taken = new Taken(await promise);
    jump(5000);
    await pass();
    peer.send("ok");
    await taken.over();
    expect(exchange.attempts).toHaveLength(1);
    expect(second.accepted).toBe(0);
  });

  class Spent extends RetryBudget {
    override tryRetry(): boolean {
      return false;
    }
  }

  test.each<[string, () => ReturnType<typeof get>, Facts, number]>([
    ["for a POST", () => send("POST"), {}, 0],
    ["for a request with content", () => send("PUT", MemoryBody.text("x")), {}, 0],
    ["for an upgrade", () => Object.assign(get(), {}), {}, 0],
    ["when the budget is used up", () => get(), { parts: { budget: new Spent(0, 0) } }, 0],
    ["when the other is known to be down", () => get(), { whenAllDown: "try-all" }, Status.down],
  ])("%s", async (what, request, more, status) => {
    const { first, second, handler } = two({ ...HEDGE_LATER, ...more });
    if (status !== 0) second.endpoint.state.mark(status);
    const exchange = request();
    if (what === "for an upgrade") exchange.request.upgrade = "websocket";
    const promise = handler(exchange);
    const { peer } = await first.next();
    jump(5000);
    await pass();
    peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(exchange.attempts).toHaveLength(1);
    expect(second.inFlight).toBe(0);
  });
});
