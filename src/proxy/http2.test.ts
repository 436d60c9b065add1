/** Forwarding over HTTP/2: what an endpoint refuses is asked for again, whatever the method. */
import { describe, expect, test } from "bun:test";
import { timerList } from "../base/timer.ts";
import { MemoryBody } from "../http/body.ts";
import { jump, pass } from "../net/testing.ts";
import { Http2ClientConnection } from "../protocol/http2/client.ts";
import { ErrorCode } from "../protocol/http2/error-code.ts";
import { DEFAULT_FLOOD_LIMITS } from "../protocol/http2/floods.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import type { Http2Settings } from "../upstream/endpoint-settings.ts";
import { Http2Peer } from "../upstream/testing-http2.ts";
import { cleanUpAfterEach, type Facts, failureOf, forward, get, Origin, resultsOf, send, statusOf } from "./testing.ts";

cleanUpAfterEach();

const HTTP2 = {
  client: {
    scheme: "http",
    head: { requestLineOctets: 8192, fieldLineOctets: 16_384, fieldSectionOctets: 65_536, fieldCount: 200 },
    maxStreams: 100,
    streamWindowOctets: 65_535,
    connectionWindowOctets: 65_535,
    floods: DEFAULT_FLOOD_LIMITS,
    pingTime: null,
    pingAnswerTime: null,
  },
  isRequired: true,
  maxConnections: Infinity,
} as const;

/** No limit of time is looked at here. */
const sendsTo = (endpoints: readonly Endpoint[], facts: Facts = {}) =>
  forward(endpoints, { connectMs: 60_000, firstOctetMs: 60_000, idleMs: 60_000, ...facts });

const origin = (facts: Partial<Http2Settings> = {}) => new Origin({ http2: { ...HTTP2, ...facts } });
const accept = async (one: Origin): Promise<Http2Peer> => new Http2Peer(await one.accept()).settings();

/** An endpoint with one connection that has served an exchange. */
async function known(facts: Partial<Http2Settings> = {}): Promise<{ one: Origin; peer: Http2Peer }> {
  const one = origin(facts);
  const first = sendsTo([one.endpoint])(get("/first"));
  const peer = await accept(one);
  peer.respond(await peer.next());
  await statusOf(first);
  return { one, peer };
}

describe("a stream that the endpoint refused (RFC 9113 §8.7)", () => {
  test.each(["GET", "POST"])(
    "is asked for again at the same endpoint with %s, and says nothing about it",
    async (method) => {
      const { one, peer } = await known();
      const failed: string[] = [];
      const passive = { answered() {}, failed: () => failed.push("failed"), update() {}, readmit: () => false };
      const exchange = send(method);
      const response = sendsTo([one.endpoint], { parts: { passive: passive as never } })(exchange);
      peer.reset(await peer.next(), ErrorCode.refusedStream);
      peer.respond(await peer.next());
      expect(await statusOf(response)).toBe(204);
      expect(resultsOf(exchange)).toEqual(["upstream-refused", 204]);
      expect(failed).toEqual([]);
    },
  );

  test("by leaving goes over another connection to it (RFC 9113 §6.8)", async () => {
    const { one, peer } = await known();
    const response = sendsTo([one.endpoint])(send("POST"));
    const stream = await peer.next();
    peer.goAway(stream.id - 2);
    const other = await accept(one);
    other.respond(await other.next());
    expect(await statusOf(response)).toBe(204);
  });

  test("twice goes to another endpoint, and fails without one", async () => {
    const { one, peer } = await known();
    const other = origin();
    const exchange = send("POST");
    const response = sendsTo([one.endpoint, other.endpoint])(exchange);
    for (let i = 0; i < 2; i++) peer.reset(await peer.next(), ErrorCode.refusedStream);
    const second = await accept(other);
    second.respond(await second.next());
    expect(await statusOf(response)).toBe(204);
    expect(resultsOf(exchange)).toEqual(["upstream-refused", "upstream-refused", 204]);
    const alone = sendsTo([one.endpoint])(send("POST"));
    const failure = failureOf(alone);
    for (let i = 0; i < 2; i++) peer.reset(await peer.next(), ErrorCode.refusedStream);
    expect(await failure).toMatchObject({ code: "upstream-refused", status: 503 });
  });

  test("with content that is gone is not asked for again", async () => {
    const { one, peer } = await known();
    const failure = failureOf(sendsTo([one.endpoint])(send("POST", new MemoryBody(Buffer.from("content")))));
    peer.reset(await peer.next(), ErrorCode.refusedStream);
    expect((await failure).code).toBe("upstream-refused");
  });
});

test("a connection that ended while requests were on it is replaced by one that they share", async () => {
  const { one, peer } = await known();
  const all = Array.from({ length: 5 }, () => sendsTo([one.endpoint])(get()));
  for (let i = 0; i < 5; i++) await peer.next();
  peer.peer.reset();
  const other = await accept(one);
  for (let i = 0; i < 5; i++) other.respond(await other.next());
  expect(await Promise.all(all.map(statusOf))).toEqual([204, 204, 204, 204, 204]);
  expect(one.tally.opened).toBe(2);
});

describe("a request that a kept connection's endpoint began to process", () => {
  const codes = [ErrorCode.internal, ErrorCode.cancel, ErrorCode.enhanceYourCalm];
  test.each(codes)("and whose stream it reset (%p) is sent again as `retry` says, or not at all", async (code) => {
    const { one, peer } = await known();
    const exchange = get();
    const failure = failureOf(sendsTo([one.endpoint], { retries: 0 })(exchange));
    peer.reset(await peer.next(), code);
    expect((await failure).code).toBe("upstream-reset");
    expect(resultsOf(exchange)).toEqual(["upstream-reset"]);
  });

  test("maybe, for it does not answer PING either, is not sent again beside `retry`", async () => {
    const [pingTime, pingAnswerTime] = [timerList(5000), timerList(5000)];
    const { one, peer } = await known({ client: { ...HTTP2.client, pingTime, pingAnswerTime } });
    const exchange = get();
    const failure = failureOf(sendsTo([one.endpoint], { retries: 0 })(exchange));
    await peer.next();
    jump(5000);
    await pass();
    jump(10_000); // The first jump took the clock along while it went on.
    expect((await failure).code).toBe("upstream-reset");
    expect(resultsOf(exchange)).toEqual(["upstream-reset"]);
  });
});

describe("a request that may not be sent twice", () => {
  test.each([Infinity, 1])(
    "does not get an idle connection that has just ended (pool.connections: %p)",
    async (most) => {
      const { one, peer } = await known({ maxConnections: most });
      peer.peer.close();
      const exchange = send("POST");
      const response = sendsTo([one.endpoint])(exchange);
      const other = await accept(one);
      other.respond(await other.next());
      expect(await statusOf(response)).toBe(204);
      expect(resultsOf(exchange)).toEqual([204]);
    },
  );
});

test("a request whose kept connection ended is not sent again on another kept one", async () => {
  const { one, peer } = await known({ client: { ...HTTP2.client, maxStreams: 1 } });
  const handler = sendsTo([one.endpoint]);
  const both = [handler(get("/1")), handler(get("/2"))];
  const [first, second] = [await peer.next(), await accept(one)];
  peer.respond(first);
  second.respond(await second.next());
  await Promise.all(both.map(statusOf));
  const response = handler(get("/deadly"));
  await peer.next();
  peer.peer.reset();
  const third = await accept(one);
  third.respond(await third.next());
  expect(await statusOf(response)).toBe(204);
  expect(second.read().asked.length).toBe(1);
});

test("a limit of exchanges at an endpoint holds on a shared connection too", async () => {
  const one = new Origin({ http2: HTTP2, maxInFlight: 2 });
  const handler = sendsTo([one.endpoint]);
  const all = [handler(get()), handler(get())];
  expect((await failureOf(handler(get()))).code).toBe("queue-full");
  const peer = await accept(one);
  for (let i = 0; i < 2; i++) peer.respond(await peer.next());
  expect(await Promise.all(all.map(statusOf))).toEqual([204, 204]);
  expect(one.endpoint.pool.take(get().request, false)).toBeInstanceOf(Http2ClientConnection);
});
