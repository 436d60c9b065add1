import { describe, expect, test } from "bun:test";
import { Failure } from "../base/failure.ts";
import { clock } from "../base/timer.ts";
import type { RetryCondition } from "../config/gateway-config.ts";
import { MemoryBody, NO_BODY } from "../http/body.ts";
import { FieldSection } from "../http/field-section.ts";
import { jump, Peer, pass, until, wait } from "../net/testing.ts";
import { Status } from "../upstream/endpoint-state.ts";
import { RetryBudget } from "../upstream/retry-budget.ts";
import {
  afterThis,
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
  outcomeOf,
  received,
  refusing,
  resultsOf,
  send,
  statusOf,
  Taken,
} from "./testing.ts";

cleanUpAfterEach();

const BUSY = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nX-Of: first\r\n\r\nbusy";
const on503: Facts = { retry: { on: [503] } };

class Spent extends RetryBudget {
  constructor() {
    super(0, 0);
  }

  override tryRetry(): boolean {
    return false;
  }
}

/** An endpoint whose connects are never answered. */
function hole(): Origin {
  const origin = new Origin({}, 0);
  const filler = new Peer(origin.endpoint.sockaddrs[0]!);
  afterThis(() => filler.close());
  return origin;
}

describe("a status of the list", () => {
  test("is asked of another endpoint; the client sees nothing of it", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const exchange = get();
    const promise = forward([first.endpoint, second.endpoint], on503)(exchange);
    (await first.next()).peer.send(BUSY);
    (await second.next()).peer.send(OK);
    const response = await promise;
    expect(response.fields.get("x-of")).toBeUndefined();
    const taken = new Taken(response);
    expect([await taken.over(), taken.text]).toEqual(["end", "ok"]);
    expect(resultsOf(exchange)).toEqual([503, 200]);
    // Its content was there, so the connection is as good as before.
    expect(first.endpoint.idleConnections).toBe(1);
  });

  test.each([
    ["without content", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "", 1],
    ["whose content comes soon", "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n", "2\r\nno\r\n0\r\n\r\n", 1],
    ["whose content is long", "HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\n", "", 0],
    ["whose content turns out long", "HTTP/1.1 503 Busy\r\n\r\n", "x".repeat(70_000), 0],
  ])("%s: its connection is kept if it is soon free", async (_what, octets, later, kept) => {
    const [first, second] = [new Origin(), new Origin()];
    const promise = forward([first.endpoint, second.endpoint], on503)(get());
    const { peer } = await first.next();
    peer.send(octets);
    (await second.next()).peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(first.inFlight).toBe(0);
    if (later !== "") peer.send(later);
    await until(() => first.tally.active === 0, "the dropped response is over");
    expect(first.endpoint.idleConnections).toBe(kept);
  });

  test("whose content never comes costs its connection", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const promise = forward([first.endpoint, second.endpoint], on503)(get());
    const { peer } = await first.next();
    peer.send("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbu");
    (await second.next()).peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(await peer.receiveAll(3000)).toMatchObject({ end: expect.stringMatching(/end|ECONNRESET/) });
    expect(first.tally).toMatchObject({ active: 0, idle: 0 });
  });

  test("of the only endpoint is its answer, content included", async () => {
    const origin = new Origin();
    const promise = forward([origin.endpoint], on503)(get());
    (await origin.next()).peer.send(BUSY);
    const response = await promise;
    expect([response.status, response.fields.get("x-of")]).toEqual([503, "first"]);
    const taken = new Taken(response);
    expect([await taken.over(), taken.text]).toEqual(["end", "busy"]);
  });

  test("of all endpoints: the last one's own response is the answer", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const exchange = get();
    const promise = forward([first.endpoint, second.endpoint], { retries: 5, retry: { on: [503, 502] } })(exchange);
    (await first.next()).peer.send(BUSY);
    (await second.next()).peer.send("HTTP/1.1 502 Sorry\r\nContent-Length: 5\r\n\r\nsorry");
    const response = await promise;
    const taken = new Taken(response);
    await taken.over();
    expect([response.status, taken.text, resultsOf(exchange)]).toEqual([502, "sorry", [503, 502]]);
  });

  test("after as many attempts as there may be is the answer", async () => {
    const origins = [new Origin(), new Origin(), new Origin()];
    const endpoints = origins.map(({ endpoint }) => endpoint);
    const exchange = get();
    const promise = forward(endpoints, { ...on503, retries: 1 })(exchange);
    (await origins[0]!.next()).peer.send(BUSY);
    (await origins[1]!.next()).peer.send(BUSY);
    expect(await statusOf(promise)).toBe(503);
    expect(resultsOf(exchange)).toEqual([503, 503]);
  });

  test("is the answer to a POST, which may have been acted on; with anyMethod it is asked again", async () => {
    for (const anyMethod of [false, true]) {
      const [first, second] = [new Origin(), new Origin()];
      const promise = forward([first.endpoint, second.endpoint], { retry: { on: [503], anyMethod } })(send("POST"));
      (await first.next()).peer.send(BUSY);
      if (anyMethod) (await second.next()).peer.send(OK);
      expect(await statusOf(promise)).toBe(anyMethod ? 200 : 503);
    }
  });

  test("is a better answer than that of an endpoint known to be down", async () => {
    const [first, down] = [new Origin(), new Origin()];
    down.endpoint.state.mark(Status.down);
    const facts: Facts = { ...on503, whenAllDown: "try-all" };
    const promise = forward([first.endpoint, down.endpoint], facts)(get());
    (await first.next()).peer.send(BUSY);
    expect(await statusOf(promise)).toBe(503);
    expect(down.inFlight).toBe(0);
  });

  test("is the answer when the budget is used up", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const facts: Facts = { ...on503, parts: { budget: new Spent() } };
    const promise = forward([first.endpoint, second.endpoint], facts)(get());
    (await first.next()).peer.send(BUSY);
    expect(await statusOf(promise)).toBe(503);
    expect([first.inFlight, second.inFlight]).toEqual([0, 0]);
  });
});

describe("conditions", () => {
  test.each<[RetryCondition[], string, boolean]>([
    [["connect"], "reset", false],
    [["reset"], "reset", true],
    [["malformed"], "nonsense", true],
    [["reset"], "nonsense", false],
    [["timeout"], "silence", true],
    [["reset", "malformed", 503], "silence", false],
  ])("%j and %s: another endpoint is tried: %p", async (on, what, retried) => {
    const [first, second] = [new Origin(), new Origin()];
    const exchange = get();
    const outcome = outcomeOf(
      forward([first.endpoint, second.endpoint], { firstOctetMs: 5000, retry: { on } })(exchange),
    );
    const { peer } = await first.next();
    if (what === "reset") peer.reset();
    else if (what === "nonsense") peer.send("nonsense\r\n\r\n");
    else jump(5000);
    if (retried) (await second.next()).peer.send("HTTP/1.1 204 No Content\r\n\r\n");
    await until(() => outcome.response !== null || outcome.failure !== null);
    expect(outcome.response?.status ?? null).toBe(retried ? 204 : null);
  });

  test("without `connect`, a refused connection is the end", async () => {
    const origin = new Origin();
    const failure = await failureOf(forward([refusing(), origin.endpoint], { retry: { on: ["reset"] } })(get()));
    expect(failure.code).toBe("upstream-connect-refused");
  });

  test("with the budget used up, the failure is the answer", async () => {
    const origin = new Origin();
    const facts: Facts = { parts: { budget: new Spent() } };
    const failure = await failureOf(forward([refusing(), origin.endpoint], facts)(get()));
    expect(failure.code).toBe("upstream-connect-refused");
    expect(origin.inFlight).toBe(0);
  });

  test("anyMethod: a POST that was sent is sent again after a reset", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const facts: Facts = { retry: { anyMethod: true } };
    const promise = forward([first.endpoint, second.endpoint], facts)(send("POST"));
    (await first.next()).peer.reset();
    (await second.next()).peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
  });
});

describe("content that is kept", () => {
  const facts: Facts = { retry: { on: ["reset", "connect", 503], content: 1000 } };

  test("is sent again, octet by octet, with its length", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const exchange = send("PUT", MemoryBody.text("content"));
    const promise = forward([first.endpoint, second.endpoint], facts)(exchange);
    const one = await first.accept();
    await received(one, "content");
    one.reset();
    const two = await second.accept();
    const request = await received(two, "content");
    expect(request).toMatch(/^PUT \/ HTTP\/1\.1\r\n[\s\S]*\r\ncontent-length: 7\r\n\r\ncontent$/);
    two.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(resultsOf(exchange)).toEqual(["upstream-reset", 200]);
  });

  test("is sent again in chunks, with trailers", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const content = new HandContent();
    const promise = forward([first.endpoint, second.endpoint], facts)(send("PUT", content));
    const one = await first.accept();
    content.write("one");
    content.write("two");
    content.end(FieldSection.of({ "x-sum": "2" }));
    await received(one, "x-sum: 2\r\n\r\n");
    one.send(BUSY);
    const two = await second.accept();
    const request = await received(two, "x-sum: 2\r\n\r\n");
    expect(request).toEndWith("\r\n\r\n6\r\nonetwo\r\n0\r\nx-sum: 2\r\n\r\n");
    two.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(first.endpoint.idleConnections).toBe(1);
  });

  test("is still flowing when the first endpoint fails: the second gets what came and what comes", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const content = new HandContent(9);
    const promise = forward([first.endpoint, second.endpoint], facts)(send("PUT", content));
    const one = await first.accept();
    content.write("one");
    await received(one, "one");
    one.reset();
    const two = await second.accept();
    await received(two, "one");
    expect(content.paused).toBe(false);
    content.write("two");
    content.write("end");
    content.end();
    expect(await received(two, "twoend")).toBe("twoend");
    two.send(OK);
    expect(await statusOf(promise)).toBe(200);
  });

  test("is still flowing when the first endpoint is busy: its connection is closed", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const content = new HandContent(6);
    const promise = forward([first.endpoint, second.endpoint], facts)(send("PUT", content));
    const one = await first.accept();
    content.write("one");
    await received(one, "one");
    one.send(BUSY);
    const two = await second.accept();
    await received(two, "one");
    content.write("two");
    content.end();
    expect(await received(two, "two")).toBe("two");
    two.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect((await one.receiveAll()).end).toMatch(/end|ECONNRESET/);
    expect(first.tally).toMatchObject({ active: 0, idle: 0 });
  });

  test("that has not begun when the endpoint fails is taken by the next", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const content = new HandContent(3);
    const promise = forward([first.endpoint, second.endpoint], facts)(send("PUT", content));
    (await first.next()).peer.reset();
    const two = await second.accept();
    await head(two);
    content.write("one");
    content.end();
    await received(two, "one");
    two.send(OK);
    expect(await statusOf(promise)).toBe(200);
  });

  test.each([
    ["of declared length", 1001],
    ["of unknown length", null],
  ])("only up to the bound: more, %s, is not sent again", async (_what, length) => {
    const [first, second] = [new Origin(), new Origin()];
    const content = new HandContent(length);
    const failed = failureOf(forward([first.endpoint, second.endpoint], facts)(send("PUT", content)));
    const one = await first.accept();
    content.write("x".repeat(600));
    await received(one, length === null ? "x\r\n" : "x");
    content.write("x".repeat(401));
    one.reset();
    expect(await failed).toMatchObject({ code: "upstream-reset", status: 502 });
    // Whoever sends it hears that nobody wants the rest.
    expect(content.cancelled?.code).toBe("upstream-reset");
    expect(second.inFlight).toBe(0);
  });

  test("of exactly the bound is", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const text = "x".repeat(999).concat("y");
    const promise = forward([first.endpoint, second.endpoint], facts)(send("PUT", MemoryBody.text(text)));
    const one = await first.accept();
    await received(one, "y");
    one.reset();
    const two = await second.accept();
    expect(await received(two, "y")).toEndWith(`\r\n\r\n${text}`);
    two.send(OK);
    expect(await statusOf(promise)).toBe(200);
  });

  test("of a POST is not, unless anyMethod says so", async () => {
    for (const anyMethod of [false, true]) {
      const [first, second] = [new Origin(), new Origin()];
      const handler = forward([first.endpoint, second.endpoint], { retry: { ...facts.retry, anyMethod } });
      const outcome = outcomeOf(handler(send("POST", MemoryBody.text("pay"))));
      const one = await first.accept();
      await received(one, "pay");
      one.reset();
      if (anyMethod) {
        const two = await second.accept();
        await received(two, "pay");
        two.send("HTTP/1.1 204 No Content\r\n\r\n");
      }
      await until(() => outcome.response !== null || outcome.failure !== null);
      expect(outcome.response?.status ?? outcome.failure?.code).toBe(anyMethod ? 204 : "upstream-reset");
    }
  });

  test("goes out once more on a fresh connection when a kept one was stale", async () => {
    const origin = new Origin();
    const peer = await keepOne(origin);
    const promise = forward([origin.endpoint], facts)(send("PUT", MemoryBody.text("content")));
    await received(peer, "content");
    peer.reset();
    const fresh = await origin.accept();
    await received(fresh, "content");
    fresh.send(OK);
    expect(await statusOf(promise)).toBe(200);
  });

  test("that is cut by the client while a second endpoint takes it never looks complete there", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const content = new HandContent();
    const failed = failureOf(forward([first.endpoint, second.endpoint], facts)(send("PUT", content)));
    const one = await first.accept();
    content.write("one");
    await received(one, "one\r\n");
    one.reset();
    const two = await second.accept();
    await received(two, "one\r\n");
    content.abort(new Failure("client-closed", "gone"));
    expect((await failed).code).toBe("client-closed");
    const { octets, end } = await two.receiveAll();
    expect(octets.toString()).not.toContain("0\r\n\r\n");
    expect(end).toMatch(/end|ECONNRESET/);
  });

  test("the response before the content is complete: the rest still goes out", async () => {
    const origin = new Origin();
    const content = new HandContent(6);
    const promise = forward([origin.endpoint], facts)(send("PUT", content));
    const peer = await origin.accept();
    content.write("one");
    await received(peer, "one");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok");
    const taken = new Taken(await promise);
    content.write("two");
    content.end();
    expect(await received(peer, "two")).toBe("two");
    peer.send("ok");
    expect(await taken.over()).toBe("end");
  });
});

describe("perAttempt", () => {
  const facts: Facts = { retry: { on: ["timeout"], perAttempt: 5000 } };

  test("an endpoint that is frozen is left for the next; its connection is closed", async () => {
    const [frozen, second] = [new Origin(), new Origin()];
    const exchange = get();
    const promise = forward([frozen.endpoint, second.endpoint], facts)(exchange);
    const { peer } = await frozen.next();
    jump(5000);
    (await second.next()).peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(resultsOf(exchange)).toEqual(["upstream-attempt-timeout", 200]);
    expect((await peer.receiveAll()).end).toMatch(/end|ECONNRESET/);
    expect(frozen.tally).toMatchObject({ active: 0, idle: 0 });
  });

  test("includes the connect; since nothing was sent then, a POST is tried elsewhere too", async () => {
    const silent = hole();
    const second = new Origin();
    const exchange = send("POST", MemoryBody.text("pay"));
    const promise = forward([silent.endpoint, second.endpoint], facts)(exchange);
    jump(5000);
    (await second.next()).peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(resultsOf(exchange)).toEqual(["upstream-attempt-timeout", 200]);
  });

  test("of the last attempt is 504", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const exchange = get();
    const failed = failureOf(forward([first.endpoint, second.endpoint], facts)(exchange));
    await first.next();
    jump(5000);
    await second.next();
    jump(10_000); // The first jump's time counts for what was armed in it.
    expect(await failed).toMatchObject({ code: "upstream-attempt-timeout", status: 504 });
    expect(exchange.attempts).toHaveLength(2);
  });

  test("does not count time in which the client is waited for", async () => {
    const origin = new Origin();
    const content = new HandContent(2);
    const exchange = send("POST", content);
    const promise = forward([origin.endpoint], facts)(exchange);
    const peer = await origin.accept();
    await until(() => exchange.phase === "first-octet");
    jump(5000);
    await pass();
    content.write("ok");
    content.end();
    await received(peer, "ok");
    peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
  });

  test("does not count time in which content still moves", async () => {
    const origin = new Origin();
    const content = new HandContent();
    const exchange = send("POST", content);
    const promise = forward([origin.endpoint], facts)(exchange);
    const peer = await origin.accept();
    await until(() => exchange.phase === "first-octet");
    for (let i = 1; i <= 4; i++) {
      content.write("ok");
      await received(peer, "ok\r\n");
      jump(5000 * i); // What is armed in a jump counts from its end.
      await pass();
    }
    content.end();
    await received(peer, "0\r\n\r\n");
    peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
  });

  test("starts anew when the content is complete", async () => {
    const origin = new Origin();
    const content = new HandContent();
    const exchange = send("POST", content);
    const promise = forward([origin.endpoint], facts)(exchange);
    const begun = clock.now;
    const peer = await origin.accept();
    await until(() => exchange.phase === "first-octet");
    await wait(5);
    content.end();
    await received(peer, "0\r\n\r\n");
    jump(5000, begun);
    await pass();
    peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
  });

  test("ends an attempt whose endpoint takes nothing of the content", async () => {
    const origin = new Origin();
    const content = new HandContent();
    const exchange = send("POST", content);
    const outcome = outcomeOf(forward([origin.endpoint], { retry: { perAttempt: 5000 } })(exchange));
    await origin.accept();
    await until(() => exchange.phase === "first-octet");
    content.write("x".repeat(32 * 1024 * 1024));
    // As long as the kernel takes some of it, it moves.
    for (let i = 1; i < 1000 && outcome.failure === null; i++) {
      jump(5000 * i);
      await wait(1);
    }
    expect(outcome.failure?.code).toBe("upstream-attempt-timeout");
    expect(content.cancelled?.code).toBe("upstream-attempt-timeout");
  });

  test("is over with the response head, though content still goes out", async () => {
    const origin = new Origin();
    const content = new HandContent(6);
    const promise = forward([origin.endpoint], facts)(send("PUT", content));
    const peer = await origin.accept();
    content.write("one");
    await received(peer, "one");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok");
    const taken = new Taken(await promise);
    content.write("two");
    content.end();
    jump(5000);
    await pass();
    peer.send("ok");
    expect(await taken.over()).toBe("end");
  });

  test("is over with the response head: content may take as long as it does", async () => {
    const origin = new Origin();
    const promise = forward([origin.endpoint], facts)(get());
    const { peer } = await origin.next();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok");
    const taken = new Taken(await promise);
    jump(5000);
    await pass();
    peer.send("ok");
    expect(await taken.over()).toBe("end");
  });
});

test("interim responses of an attempt that fails then have gone on already", async () => {
  const [first, second] = [new Origin(), new Origin()];
  const exchange = send("PUT", NO_BODY);
  const informed: number[] = [];
  exchange.informer = { sendInterim: (status) => informed.push(status) };
  const promise = forward([first.endpoint, second.endpoint])(exchange);
  const { peer } = await first.next();
  peer.send("HTTP/1.1 103 Early Hints\r\n\r\n");
  await until(() => informed.length === 1);
  peer.reset();
  (await second.next()).peer.send(OK);
  expect(await statusOf(promise)).toBe(200);
});
