import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Failure } from "../base/failure.ts";
import { clock } from "../base/timer.ts";
import type { HedgeConfig, RetryCondition, RetryConfig } from "../config/gateway-config.ts";
import { type BodySink, type BodySource, MemoryBody, NO_BODY } from "../http/body.ts";
import { request } from "../middleware/testing.ts";
import { jump, openSockets, Peer, pass, until, wait } from "../net/testing.ts";
import { Status } from "../upstream/endpoint-state.ts";
import { endpoint } from "../upstream/testing.ts";
import type { UpstreamSettings } from "../upstream/upstream.ts";
import {
  afterThis,
  cleanUpAfterEach,
  failureOf,
  forward,
  get,
  HandContent,
  head,
  keepMany,
  keepOne,
  OK,
  Origin,
  outcomeOf,
  refusing,
  send,
  statusOf,
  Taken,
} from "./testing.ts";

cleanUpAfterEach();

describe("one attempt", () => {
  test("the request reaches the endpoint as made here, the response comes back as it flows", async () => {
    const origin = new Origin();
    const exchange = get("/path?a=b");
    const promise = forward([origin.endpoint])(exchange);
    const { peer, head } = await origin.next();
    expect(head).toStartWith("GET /path?a=b HTTP/1.1\r\nhost: example.com\r\n");
    expect(head).toContain("\r\nx-forwarded-for: 192.0.2.1\r\n");
    expect(head).toContain("\r\nvia: 1.1 lintel\r\n");
    expect(origin.endpoint.inFlight).toBe(1);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Mine: 1\r\n\r\none");
    const response = await promise;
    expect([response.status, response.fields.get("x-mine"), response.gatewayFields?.get("via")]).toEqual([
      200,
      "1",
      "1.1 lintel",
    ]);
    const taken = new Taken(response);
    await until(() => taken.text === "one");
    expect(origin.endpoint.inFlight).toBe(1);
    peer.send("two");
    expect(await taken.over()).toBe("end");
    expect(taken.text).toBe("onetwo");
    expect(origin.endpoint.inFlight).toBe(0);
    expect(exchange).toMatchObject({ upstream: "app", attempts: [{ reused: false, status: 200, failure: null }] });
    expect(exchange.waitsFor).toBeNull();
    expect(origin.endpoint.idleConnections).toBe(1);
  });

  test("interim responses are handed on at once", async () => {
    const origin = new Origin();
    const exchange = get();
    const informed: number[] = [];
    exchange.informer = { sendInterim: (status) => informed.push(status) };
    const promise = forward([origin.endpoint])(exchange);
    const { peer } = await origin.next();
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    await until(() => informed.length === 1);
    peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(informed).toEqual([103]);
  });

  test.each<[string, UpstreamSettings["host"], string, string]>([
    ["keep", { kind: "keep" }, "shop.example:8080", "shop.example:8080"],
    ["keep, without any", { kind: "keep" }, "", "127.0.0.1:PORT"],
    ["endpoint", { kind: "endpoint" }, "shop.example", "127.0.0.1:PORT"],
    ["fixed", { kind: "fixed", value: "origin.example" }, "shop.example", "origin.example"],
  ])("Host: %s", async (_name, host, authority, expected) => {
    const origin = new Origin();
    void forward([origin.endpoint], { host })(request("/", { authority })).catch(() => {});
    const { head } = await origin.next();
    const port = origin.endpoint.address.split(":")[1]!;
    expect(head.split("\r\n")[1]).toBe(`host: ${expected.replace("PORT", port)}`);
  });

  test("content that is cut at the client never looks complete to the endpoint", async () => {
    const origin = new Origin();
    let sink!: BodySink;
    const body: BodySource = {
      length: null,
      sendTo(to) {
        sink = to;
        to.begin({ pause() {}, resume() {}, cancel() {} });
        to.write(Buffer.from("half"));
      },
    };
    const promise = forward([origin.endpoint])(send("POST", body));
    const failed = failureOf(promise);
    const { peer } = await origin.next();
    sink.abort(new Failure("client-closed", "gone"));
    expect((await failed).code).toBe("client-closed");
    const { octets, end } = await peer.receiveAll();
    expect(octets.toString()).not.toContain("0\r\n\r\n");
    expect(end).toMatch(/end|ECONNRESET/);
    expect(origin.endpoint.inFlight).toBe(0);
  });

  test("a response that is cut is told to its taker, and counts as this attempt's failure", async () => {
    const origin = new Origin();
    const exchange = get();
    const promise = forward([origin.endpoint])(exchange);
    const { peer } = await origin.next();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    const taken = new Taken(await promise);
    await until(() => taken.text === "half");
    peer.reset();
    expect(await taken.over()).toBe("upstream-truncated");
    expect(exchange.attempts![0]!.failure?.code).toBe("upstream-truncated");
    expect(origin.endpoint.inFlight).toBe(0);
  });
});

describe("another endpoint", () => {
  test("is tried when one refuses, whatever the method and the content: nothing was sent", async () => {
    for (const exchange of [get(), send("POST"), send("POST", MemoryBody.text("content"))]) {
      const origin = new Origin();
      const promise = forward([refusing(), origin.endpoint])(exchange);
      const { peer } = await origin.next();
      peer.send(OK);
      expect(await statusOf(promise)).toBe(200);
      expect(exchange.attempts!.map(({ failure }) => failure?.code ?? null)).toEqual([
        "upstream-connect-refused",
        null,
      ]);
    }
  });

  test("is tried when a name has no address, and when one does not answer the connect", async () => {
    const hole = new Origin({}, 0);
    const filler = new Peer(hole.endpoint.sockaddrs[0]!);
    afterThis(() => filler.close());
    const origin = new Origin();
    const exchange = get();
    const promise = forward([endpoint("nameless:80"), hole.endpoint, origin.endpoint], { connectMs: 5000 })(exchange);
    await until(() => hole.inFlight === 1);
    jump(5000);
    const { peer } = await origin.next();
    peer.send(OK);
    await statusOf(promise);
    expect(exchange.attempts!.map(({ failure }) => failure?.code ?? null)).toEqual([
      "upstream-resolve-failed",
      "upstream-connect-timeout",
      null,
    ]);
  });

  test.each([
    ["GET", NO_BODY, true],
    ["HEAD", NO_BODY, true],
    ["OPTIONS", NO_BODY, true],
    ["DELETE", NO_BODY, true],
    ["PUT", NO_BODY, true],
    ["PUT", MemoryBody.text("content"), false], // It has gone out, and is not kept to go out again.
    ["POST", NO_BODY, false],
    ["POST", MemoryBody.text("content"), false],
    ["PATCH", NO_BODY, false],
    ["PROPFIND", NO_BODY, false],
  ] as const)("after a reset before the response: %s with %p: %p", async (method, body, retried) => {
    const [first, second] = [new Origin(), new Origin()];
    const exchange = send(method, body);
    const promise = forward([first.endpoint, second.endpoint])(exchange);
    const outcome = outcomeOf(promise);
    const { peer } = await first.next();
    peer.reset();
    if (retried) {
      const { peer: other } = await second.next();
      other.send("HTTP/1.1 204 No Content\r\n\r\n");
      expect(await statusOf(promise)).toBe(204);
    } else {
      await until(() => outcome.failure !== null);
      expect(outcome.failure!.status).toBe(502);
      expect(exchange.attempts).toHaveLength(1);
    }
    expect([first.endpoint.inFlight, second.endpoint.inFlight]).toEqual([0, 0]);
  });

  test.each([
    ["ends without a word", ""],
    ["ends in the middle of a head", "HTTP/1.1 200 OK\r\nContent-Le"],
    ["answers nonsense", "nonsense\r\n\r\n"],
    ["frames its response in two ways", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["switches protocols unasked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
  ])("is tried for GET when one %s; POST is answered with 502", async (_what, octets) => {
    for (const method of ["GET", "POST"]) {
      const [first, second] = [new Origin(), new Origin()];
      const promise = forward([first.endpoint, second.endpoint])(send(method));
      const status = statusOf(promise).catch((failure: Failure) => failure.status);
      const { peer } = await first.next();
      if (octets !== "") peer.send(octets);
      peer.endWriting();
      if (method === "GET") (await second.next()).peer.send(OK);
      expect(await status).toBe(method === "GET" ? 200 : 502);
      expect(first.endpoint.inFlight).toBe(0);
    }
  });

  test("is tried for GET when one is silent for too long, if that is a condition; POST gets 504", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const handler = forward([first.endpoint, second.endpoint], { firstOctetMs: 5000, retry: { on: ["timeout"] } });
    const promise = handler(get());
    await first.next();
    jump(5000);
    (await second.next()).peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    const exchange = send("POST");
    const failed = failureOf(handler(exchange));
    await until(() => exchange.phase === "first-octet");
    jump(5000);
    expect(await failed).toMatchObject({ code: "upstream-first-octet-timeout", status: 504 });
  });

  test("no more than `retry.attempts` of them", async () => {
    const endpoints = [refusing(), refusing(), refusing(), refusing()];
    for (const retries of [0, 1, 2, 9]) {
      const exchange = get();
      const failure = await failureOf(forward(endpoints, { retries })(exchange));
      expect(failure.code).toBe("upstream-connect-refused");
      expect(exchange.attempts).toHaveLength(Math.min(retries, 3) + 1);
    }
  });

  test("each of them once: with all tried, the last failure is the answer", async () => {
    const exchange = get();
    const failure = await failureOf(forward([endpoint("nameless:80"), refusing()], { retries: 5 })(exchange));
    expect(failure.code).toBe("upstream-connect-refused");
    expect(exchange.attempts!.map((attempt) => attempt.endpoint)).toEqual(["nameless:80", "refusing:80"]);
  });

  test("is not tried once the response has begun", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const promise = forward([first.endpoint, second.endpoint])(get());
    const { peer } = await first.next();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    const taken = new Taken(await promise);
    peer.close();
    expect(await taken.over()).toBe("upstream-truncated");
    expect(second.accepted).toBe(0);
  });

  test("is not one that is down or draining; with none up it is 503", async () => {
    const [down, draining, up] = [new Origin(), new Origin(), new Origin()];
    down.endpoint.state.mark(Status.down);
    draining.endpoint.state.mark(Status.draining);
    const handler = forward([down.endpoint, draining.endpoint, up.endpoint]);
    const promise = handler(get());
    (await up.next()).peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    up.endpoint.state.mark(Status.down);
    const exchange = get();
    expect(await failureOf(handler(exchange))).toMatchObject({ code: "no-endpoint", status: 503 });
    expect(exchange.attempts).toBeNull();
    expect(await failureOf(forward([])(get()))).toMatchObject({ code: "no-endpoint" });
  });
});

describe("a kept connection", () => {
  test("is used again", async () => {
    const origin = new Origin();
    const handler = forward([origin.endpoint]);
    const peer = await keepOne(origin, handler);
    const exchange = send("POST", MemoryBody.text("x"));
    const promise = handler(exchange);
    await head(peer);
    peer.send(OK);
    await statusOf(promise);
    expect(exchange.attempts).toMatchObject([{ reused: true, failure: null }]);
  });

  test.each(["end", "reset"])("that %ss just as a GET is sent costs nothing: once more on a fresh one", async (how) => {
    const origin = new Origin();
    const other = new Origin();
    const peer = await keepOne(origin);
    const exchange = get();
    // Even where no other endpoint may be tried.
    const promise = forward([origin.endpoint, other.endpoint], { retries: 0 })(exchange);
    await head(peer);
    if (how === "end") peer.close();
    else peer.reset();
    const fresh = await origin.next();
    fresh.peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(exchange.attempts!.map(({ endpoint, reused }) => [endpoint, reused])).toEqual([
      [origin.endpoint.address, true],
      [origin.endpoint.address, false],
    ]);
    expect(other.accepted).toBe(0);
    expect(origin.endpoint.inFlight).toBe(0);
  });

  test("a request that brings the endpoint down goes through one kept connection, not through all", async () => {
    const origin = new Origin();
    const peers = await keepMany(origin, 5);
    const outcome = outcomeOf(forward([origin.endpoint], { retries: 0 })(get("/poison")));
    let hit = 0;
    const crash = (peer: Peer) => {
      if (!peer.receive().toString().includes("/poison")) return;
      hit++;
      peer.reset();
    };
    for (let i = 0; i < 3000 && outcome.failure === null; i++) {
      for (const peer of peers) crash(peer);
      if (hit === 1 && origin.accepted === 5) {
        const { peer } = await origin.next();
        hit++;
        peer.reset();
      }
      await wait(1);
    }
    expect(outcome.failure).toMatchObject({ code: "upstream-reset" });
    expect({ hit, kept: origin.endpoint.idleConnections }).toEqual({ hit: 2, kept: 4 });
  });

  test("if the fresh one fails too, that counts, and the next endpoint is tried", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const peer = await keepOne(first);
    const exchange = get();
    const promise = forward([first.endpoint, second.endpoint], { retries: 1 })(exchange);
    await head(peer);
    peer.reset();
    (await first.next()).peer.reset();
    (await second.next()).peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(exchange.attempts).toHaveLength(3);
  });

  test.each([
    ["POST", NO_BODY],
    ["POST", MemoryBody.text("content")],
    ["PUT", MemoryBody.text("content")],
  ] as const)("whose end has not been noticed yet does not get a %s with %p", async (method, body) => {
    const origin = new Origin();
    const peer = await keepOne(origin);
    const exchange = send(method, body);
    // No turn of the loop passes between the end and the request.
    peer.close();
    const promise = forward([origin.endpoint])(exchange);
    (await origin.next()).peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
    expect(exchange.attempts).toMatchObject([{ reused: false, failure: null }]);
  });

  test("that resets after a POST was sent on it: 502, and it is not sent again", async () => {
    const origin = new Origin();
    const peer = await keepOne(origin);
    const failed = failureOf(forward([origin.endpoint])(send("POST", MemoryBody.text("pay"))));
    await head(peer);
    peer.reset();
    expect(await failed).toMatchObject({ code: "upstream-reset", status: 502 });
    await wait(20);
    expect(origin.accepted).toBe(1);
  });
});

describe("the exchange's own limit", () => {
  test("ends an attempt to connect", async () => {
    const hole = new Origin({}, 0);
    const filler = new Peer(hole.endpoint.sockaddrs[0]!);
    afterThis(() => filler.close());
    const failure = await failureOf(forward([hole.endpoint], { exchangeMs: 40 })(get()));
    expect(failure).toMatchObject({ code: "exchange-timeout", status: 504 });
    expect(hole.endpoint.inFlight).toBe(0);
  });

  test("ends the wait for a response; the endpoint's connection is closed, nothing else is tried", async () => {
    const [first, second] = [new Origin(), new Origin()];
    const exchange = get();
    const failed = failureOf(forward([first.endpoint, second.endpoint], { exchangeMs: 5000 })(exchange));
    const { peer } = await first.next();
    jump(5000);
    expect((await failed).code).toBe("exchange-timeout");
    expect((await peer.receiveAll()).end).toMatch(/end|ECONNRESET/);
    expect(exchange.attempts).toHaveLength(1);
    expect(exchange.waitsFor).toBeNull();
    expect([first.endpoint.inFlight, first.tally.active, first.tally.idle]).toEqual([0, 0, 0]);
  });

  test("cuts content that still flows, so that it does not look complete", async () => {
    const origin = new Origin();
    const promise = forward([origin.endpoint], { exchangeMs: 5000 })(get());
    const { peer } = await origin.next();
    peer.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    const taken = new Taken(await promise);
    await until(() => taken.text === "until the end");
    jump(5000);
    expect(await taken.over()).toBe("exchange-timeout");
    expect([origin.endpoint.inFlight, origin.tally.active]).toEqual([0, 0]);
  });

  test("spans all attempts", async () => {
    const [first, silent] = [new Origin(), new Origin()];
    const exchange = get();
    const failed = failureOf(forward([first.endpoint, silent.endpoint], { exchangeMs: 5000 })(exchange));
    const begun = clock.now;
    const { peer } = await first.next();
    await wait(5);
    peer.reset();
    await silent.next();
    // All of the second attempt began later than that.
    jump(5000, begun);
    expect((await failed).code).toBe("exchange-timeout");
    expect(exchange.attempts).toHaveLength(2);
  });

  test("is over with the exchange: it does not strike a later one on the same connection", async () => {
    const origin = new Origin();
    const handler = forward([origin.endpoint], { exchangeMs: 5000 });
    const peer = await keepOne(origin, handler);
    const promise = forward([origin.endpoint])(get());
    await head(peer);
    jump(5000);
    await pass();
    peer.send(OK);
    expect(await statusOf(promise)).toBe(200);
  });

  test("is a call's grpc-timeout where that is shorter", async () => {
    const origin = new Origin();
    const call = (timeout: string) =>
      request("/s/M", { method: "POST", fields: { "content-type": "application/grpc", "grpc-timeout": timeout } });
    const begun = clock.now;
    const failures = [
      failureOf(forward([origin.endpoint], { exchangeMs: 60_000 })(call("1S"))),
      failureOf(forward([origin.endpoint], { exchangeMs: 500 })(call("1H"))),
    ];
    await origin.next();
    await origin.next();
    jump(1100, begun);
    for (const failure of failures) expect((await failure).code).toBe("exchange-timeout");
  });

  test("of the exchange itself goes before the site's", async () => {
    const origin = new Origin();
    const exchange = get();
    exchange.timeouts = { exchangeMs: 30 };
    const failure = await failureOf(forward([origin.endpoint], { exchangeMs: 60_000 })(exchange));
    expect(failure.code).toBe("exchange-timeout");
  });
});

describe("called off", () => {
  const gone = () => new Failure("client-closed", "the client went away");

  test("while it connects", async () => {
    const hole = new Origin({}, 0);
    const filler = new Peer(hole.endpoint.sockaddrs[0]!);
    afterThis(() => filler.close());
    const exchange = get();
    const failed = failureOf(forward([hole.endpoint])(exchange));
    await pass();
    exchange.abort(gone());
    expect((await failed).code).toBe("client-closed");
    expect(hole.endpoint.inFlight).toBe(0);
  });

  test("while a second endpoint connects because the first one's name had no address", async () => {
    const hole = new Origin({}, 0);
    const filler = new Peer(hole.endpoint.sockaddrs[0]!);
    afterThis(() => filler.close());
    const sockets = openSockets();
    const exchange = get();
    const failed = failureOf(forward([endpoint("nameless:80"), hole.endpoint])(exchange));
    await until(() => exchange.attempts?.length === 2);
    expect(openSockets()).toBe(sockets + 1);
    exchange.abort(gone());
    expect((await failed).code).toBe("client-closed");
    expect(hole.endpoint.inFlight).toBe(0);
    await pass();
    expect(openSockets()).toBe(sockets);
  });

  test("before the response: the connection is closed, since its response would follow", async () => {
    const origin = new Origin();
    const exchange = get();
    const failed = failureOf(forward([origin.endpoint])(exchange));
    const { peer } = await origin.next();
    exchange.abort(gone());
    expect((await failed).code).toBe("client-closed");
    expect((await peer.receiveAll()).end).toMatch(/end|ECONNRESET/);
    expect(origin.tally).toMatchObject({ active: 0, idle: 0, opened: 1, closed: 1 });
  });

  test("in the middle of the content, by its taker", async () => {
    const origin = new Origin();
    const exchange = get();
    const promise = forward([origin.endpoint])(exchange);
    const { peer } = await origin.next();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    const taken = new Taken(await promise);
    taken.flow.cancel(gone());
    expect(origin.endpoint.inFlight).toBe(0);
    expect((await peer.receiveAll()).end).toMatch(/end|ECONNRESET/);
    expect(taken.outcome).toBe("");
    expect(origin.tally).toMatchObject({ active: 0, idle: 0 });
  });
});

test("whatever happens in whatever order, an exchange has one outcome and its lease is given back once (property)", async () => {
  const STEPS = [
    "respond",
    "busy",
    "half a head",
    "head",
    "content",
    "end",
    "reset",
    "upload",
    "uploaded",
    "abort",
    "wait",
    "turn",
  ] as const;
  interface Case {
    readonly method: string;
    readonly content: boolean;
    readonly kept: boolean;
    readonly retry: Partial<RetryConfig>;
    readonly hedge: HedgeConfig | null;
    readonly script: readonly (typeof STEPS)[number][];
  }
  const limits = { firstOctetMs: 15, idleMs: 15, exchangeMs: 25, retries: 1 };
  const play = async ({ method, content, kept, retry, hedge, script }: Case) => {
    const origins = [new Origin(), new Origin()];
    // What happens, happens to the connection that was used last.
    let peer = kept ? await keepOne(origins[0]!) : null;
    const upload = new HandContent();
    let uploading = content;
    const exchange = send(method, content ? upload : NO_BODY);
    let outcomes = 0;
    let taken: Taken | null = null;
    forward(
      origins.map((origin) => origin.endpoint),
      { ...limits, retry, hedge },
    )(exchange).then(
      (response) => {
        outcomes++;
        taken = new Taken(response);
      },
      () => outcomes++,
    );
    await pass();
    const act = {
      respond: () => peer?.send(OK),
      busy: () => peer?.send("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"),
      "half a head": () => peer?.send("HTTP/1.1 200 OK\r\nContent-"),
      head: () => peer?.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
      content: () => peer?.send("12345"),
      end: () => peer?.endWriting(),
      reset: () => peer?.reset(),
      upload: () => uploading && upload.cancelled === null && upload.write("123456"),
      uploaded: () => {
        if (uploading && upload.cancelled === null) upload.end();
        uploading = false;
      },
      abort: () => {
        const failure = new Failure("client-closed", "gone");
        if (uploading && upload.cancelled === null) upload.abort(failure);
        uploading = false;
        exchange.abort(failure);
        if (taken === null || taken.outcome !== "") return;
        taken.flow.cancel(failure);
        taken.outcome = "cancelled";
      },
      wait: () => wait(8),
      turn: () => wait(1),
    };
    for (const name of script) {
      for (const origin of origins) peer = origin.poll() ?? peer;
      try {
        await act[name]();
      } catch {
        // The gateway has closed this connection.
      }
    }
    await until(() => outcomes > 0 && (taken === null || taken.outcome !== ""), "an outcome");
    await pass();
    expect(outcomes).toBe(1);
    expect(exchange.waitsFor).toBeNull();
    for (const origin of origins) expect(origin.inFlight).toBe(0);
    // A dropped response may still be read to its end.
    for (const origin of origins) origin.close();
    await until(() => origins.every(({ tally }) => tally.active === 0 && tally.idle === 0), "no connection is left");
  };
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        method: fc.constantFrom("GET", "PUT", "POST"),
        content: fc.boolean(),
        kept: fc.boolean(),
        retry: fc.record({
          on: fc.subarray<RetryCondition>(["connect", "reset", "malformed", "timeout", 503]),
          anyMethod: fc.boolean(),
          content: fc.constantFrom(0, 10, 1000),
          perAttempt: fc.constantFrom(Infinity, 10),
        }),
        hedge: fc.constantFrom(null, { after: 3 }),
        script: fc.array(fc.constantFrom(...STEPS), { minLength: 1, maxLength: 10 }),
      }),
      play,
    ),
    { numRuns: 200 },
  );
}, 30_000);
