/** HTTP/2 to an endpoint: how exchanges share connections. Every frame of the endpoint is in the test. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Failure } from "../base/failure.ts";
import { type BodySink, NO_BODY } from "../http/body.ts";
import { FieldSection } from "../http/field-section.ts";
import { HttpRequest, type HttpResponse } from "../http/message.ts";
import { libc } from "../net/libc.ts";
import { queuedOctets } from "../net/send-queue.ts";
import { jump, listening, openSockets, Peer, pass, until } from "../net/testing.ts";
import type { ClientConnection, ResponseTaker } from "../protocol/client-connection.ts";
import { Http2ClientConnection } from "../protocol/http2/client.ts";
import { ErrorCode } from "../protocol/http2/error-code.ts";
import { DEFAULT_FLOOD_LIMITS } from "../protocol/http2/floods.ts";
import { Setting } from "../protocol/http2/frame.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Http2Settings } from "./endpoint-settings.ts";
import type { ConnectionTaker } from "./pool.ts";
import { type EndpointFacts, endpoint, Tally } from "./testing.ts";
import { Http2Peer } from "./testing-http2.ts";

let before = 0;
let queuedBefore = 0;
let cleanup: (() => void)[] = [];
beforeEach(() => {
  before = openSockets();
  queuedBefore = queuedOctets();
});
afterEach(async () => {
  for (const clean of cleanup.reverse()) clean();
  cleanup = [];
  await until(() => openSockets() <= before, "every socket of the test is closed");
  expect(queuedOctets()).toBe(queuedBefore);
});

/** Content that nobody took would count against limits.queued for good. */
const NOBODY: BodySink = { begin() {}, write() {}, end() {}, abort() {} };

const http2 = (facts: Partial<Http2Settings> = {}, maxStreams = 100): Http2Settings => ({
  client: {
    scheme: "http",
    head: { requestLineOctets: 8192, fieldLineOctets: 16_384, fieldSectionOctets: 65_536, fieldCount: 200 },
    maxStreams,
    streamWindowOctets: 65_535,
    connectionWindowOctets: 65_535,
    floods: DEFAULT_FLOOD_LIMITS,
    pingTime: null,
    pingAnswerTime: null,
  },
  isRequired: true,
  maxConnections: Infinity,
  ...facts,
});

interface Served {
  readonly one: Endpoint;
  readonly tally: Tally;
  /** The next connection that it is asked for. */
  accept(): Promise<Http2Peer>;
  /** One that waits to be accepted; null if there is none. */
  poll(): Http2Peer | null;
}

function served(settings = http2(), facts: EndpointFacts = {}): Served {
  const { fd, sockaddr } = listening();
  const tally = new Tally();
  const one = endpoint("origin:80", { sockaddrs: [sockaddr], tally, http2: settings, ...facts });
  cleanup.push(() => {
    one.close();
    libc.close(fd);
  });
  return {
    one,
    tally,
    async accept() {
      const peer = await Peer.accept(fd);
      cleanup.push(() => peer.close());
      return new Http2Peer(peer);
    },
    poll() {
      const taken = libc.accept4(fd, null, null, 0);
      if (taken < 0) return null;
      const peer = new Peer(taken);
      cleanup.push(() => peer.close());
      return new Http2Peer(peer);
    },
  };
}

/** An exchange as `Attempt` does it: takes a connection or waits for one, and sends. */
class Asking implements ConnectionTaker, ResponseTaker {
  client: ClientConnection | null = null;
  failure: Failure | null = null;
  status = 0;
  isComplete = false;
  waiting: { cancel(): void } | null = null;
  readonly request: HttpRequest;

  constructor(one: Endpoint, { upgrade = null as string | null, timeoutMs = 5000 } = {}) {
    this.request = new HttpRequest("GET", "https", "a.test", "/", new FieldSection(), NO_BODY);
    this.request.upgrade = upgrade;
    const taken = one.pool.take(this.request, false);
    if (taken !== null) this.onClient(taken);
    else this.waiting = one.pool.connect(this.request, timeoutMs, this);
  }

  onClient(client: ClientConnection): void {
    this.client = client;
    client.send(this.request, "a.test", null, null, this);
  }
  onConnectFailed(failure: Failure): void {
    this.failure = failure;
  }
  onInterim(): void {}
  onResponse({ status, body }: HttpResponse): void {
    this.status = status;
    body.sendTo(NOBODY);
  }
  onFailed(failure: Failure): void {
    this.failure = failure;
  }
  onComplete(): void {
    this.isComplete = true;
  }

  /** Its status, or the code of its failure. */
  async outcome(): Promise<number | string> {
    await until(() => this.isComplete || this.failure !== null, "the end of an exchange");
    return this.failure?.code ?? this.status;
  }
}

const ask = (one: Endpoint, count: number): Asking[] => Array.from({ length: count }, () => new Asking(one));
const outcomes = (all: readonly Asking[]): Promise<(number | string)[]> =>
  Promise.all(all.map((asking) => asking.outcome()));

/** A connection that is known, with its first exchange over. */
async function known(served: Served, ...settings: number[]): Promise<Http2Peer> {
  const first = new Asking(served.one);
  const peer = await served.accept();
  peer.settings(...settings).respond(await peer.next());
  await first.outcome();
  return peer;
}

describe("exchanges that come at one time", () => {
  test("share one connection; only the first does not wait for the endpoint's settings", async () => {
    const it = served();
    const all = ask(it.one, 5);
    const peer = await it.accept();
    const first = await peer.next();
    expect(first.head).toMatchObject({ ":method": "GET", ":scheme": "http", ":authority": "a.test" });
    await pass();
    expect(peer.read().asked.length).toBe(1);
    peer.settings().respond(first);
    for (let i = 1; i < 5; i++) peer.respond(await peer.next());
    expect(await outcomes(all)).toEqual([204, 204, 204, 204, 204]);
    expect(it.tally).toMatchObject({ opened: 1, active: 0, idle: 1 });
  });

  test("are no more on a connection than the endpoint takes (RFC 9113 §5.1.2); for the others more are opened", async () => {
    const it = served();
    const one = await known(it, Setting.maxConcurrentStreams, 2);
    const all = ask(it.one, 5);
    const two = (await it.accept()).settings(Setting.maxConcurrentStreams, 2);
    const three = (await it.accept()).settings(Setting.maxConcurrentStreams, 2);
    await until(() => two.read().asked.length + three.read().asked.length === 3);
    expect(one.read().asked.length).toBe(3);
    for (const peer of [one, two, three])
      for (const stream of peer.asked.slice(peer === one ? 1 : 0)) peer.respond(stream);
    expect(await outcomes(all)).toEqual([204, 204, 204, 204, 204]);
    expect(it.tally).toMatchObject({ opened: 3, active: 0, idle: 3 });
  });

  test("are no more on a connection than pool.streams", async () => {
    const it = served(http2({}, 3));
    const all = ask(it.one, 4);
    const one = (await it.accept()).settings();
    const two = (await it.accept()).settings();
    await until(() => one.read().asked.length + two.read().asked.length === 4);
    expect(Math.max(one.asked.length, two.asked.length)).toBeLessThanOrEqual(3);
    for (const peer of [one, two]) for (const stream of peer.asked) peer.respond(stream);
    expect(await outcomes(all)).toEqual([204, 204, 204, 204]);
  });

  test("wait for a stream where there may be no more connections, in the order they came", async () => {
    const it = served(http2({ maxConnections: 1 }, 1));
    const all = ask(it.one, 3);
    const peer = (await it.accept()).settings();
    for (const asking of all) {
      const stream = await peer.next();
      await pass();
      expect(peer.read().asked.at(-1)).toBe(stream);
      peer.respond(stream);
      expect(await asking.outcome()).toBe(204);
    }
    expect(it.tally.opened).toBe(1);
  });

  test("and wait in vain fail when their time to connect is over", async () => {
    const it = served(http2({ maxConnections: 1 }, 1));
    const [served1, waiting] = ask(it.one, 2);
    const peer = (await it.accept()).settings();
    const stream = await peer.next();
    await until(() => served1!.client instanceof Http2ClientConnection && served1!.client.isReady);
    jump(5000);
    await until(() => waiting!.failure !== null);
    // It is ours that there was no room, and not the endpoint's.
    expect(waiting!.failure).toMatchObject({ code: "pool-full", side: "gateway", retry: "connect" });
    peer.respond(stream);
    await served1!.outcome();
  });

  test("and wait in vain for a connection that shows no life fail as the endpoint's fault", async () => {
    const it = served(http2({ maxConnections: 1 }));
    const first = new Asking(it.one);
    const mute = await it.accept();
    await mute.next();
    const waiting = new Asking(it.one, { timeoutMs: 500 });
    jump(600);
    expect(waiting.failure).toMatchObject({ code: "upstream-connect-timeout", side: "upstream" });
    mute.peer.reset();
    await first.outcome();
  });

  test("all hear that there is no connection", async () => {
    const { fd, sockaddr } = listening();
    libc.close(fd);
    const one = endpoint("gone:80", { sockaddrs: [sockaddr], http2: http2() });
    expect(new Set(await outcomes(ask(one, 5)))).toEqual(new Set(["upstream-connect-refused"]));
  });

  test("all hear that what answers is not HTTP/2", async () => {
    const it = served();
    const all = ask(it.one, 5);
    const peer = await it.accept();
    await peer.next();
    peer.peer.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    expect(new Set(await outcomes(all))).toEqual(new Set(["upstream-malformed"]));
    expect(it.tally).toMatchObject({ opened: 1, closed: 1 });
  });

  test("give up waiting, and the connection that was being opened with them", async () => {
    const it = served();
    const all = ask(it.one, 3);
    await null; // It is being opened now.
    for (const asking of all) asking.waiting!.cancel();
    await it.accept(); // The kernel had made it already.
    await known(it);
    expect(it.tally.opened).toBe(1);
    expect(all.map(({ client, failure }) => client ?? failure)).toEqual([null, null, null]);
  });
});

describe("a connection", () => {
  test("serves one exchange after the other, and is idle in between", async () => {
    const it = served();
    const peer = await known(it);
    expect(it.one.idleConnections).toBe(1);
    const again = new Asking(it.one);
    expect(it.one.idleConnections).toBe(0);
    peer.respond(await peer.next(), 200, "content");
    expect(await again.outcome()).toBe(200);
    expect(again.client!.requests).toBe(2);
    expect(it.tally).toMatchObject({ opened: 1, active: 0, idle: 1 });
  });

  test("is not kept longer than the idle time, and not beyond maxIdle", async () => {
    const it = served(http2(), { idleTimeMs: 5000 });
    const peer = await known(it);
    jump(5000);
    await until(() => peer.read().goneAway);
    expect(it.tally).toMatchObject({ opened: 1, closed: 1, idle: 0 });
    const none = served(http2(), { maxIdle: 0 });
    const other = await known(none);
    await until(() => other.read().goneAway);
    expect(none.tally).toMatchObject({ opened: 1, closed: 1, active: 0, idle: 0 });
  });

  test("that says GOAWAY gets no more, and finishes what it has (RFC 9113 §6.8)", async () => {
    const it = served();
    const peer = await known(it);
    const open = new Asking(it.one);
    const stream = await peer.next();
    peer.goAway(stream.id);
    await until(() => it.one.pool.take(open.request, false) === null);
    const next = new Asking(it.one);
    const other = (await it.accept()).settings();
    other.respond(await other.next());
    expect(await next.outcome()).toBe(204);
    peer.respond(stream);
    expect(await open.outcome()).toBe(204);
    await until(() => it.tally.closed === 1);
    expect(it.tally).toMatchObject({ opened: 2, active: 0, idle: 1 });
  });

  test("that is leaving is no reason to wait, even where there may be no more connections", async () => {
    const it = served(http2({ maxConnections: 1 }));
    const peer = await known(it);
    const long = new Asking(it.one);
    const stream = await peer.next();
    peer.goAway(stream.id);
    await until(() => it.one.pool.take(long.request, false) === null);
    const next = new Asking(it.one);
    const other = (await it.accept()).settings();
    other.respond(await other.next());
    expect(await next.outcome()).toBe(204);
    peer.respond(stream);
    expect(await long.outcome()).toBe(204);
    expect(it.tally.opened).toBe(2);
  });

  test("that goes away before it got to a request fails it as refused, which is safe to repeat", async () => {
    const it = served();
    const peer = await known(it);
    const lost = new Asking(it.one);
    const stream = await peer.next();
    peer.goAway(stream.id - 2);
    expect(await lost.outcome()).toBe("upstream-refused");
    const refused = new Asking(it.one);
    const other = (await it.accept()).settings();
    other.reset(await other.next(), ErrorCode.refusedStream);
    expect(await refused.outcome()).toBe("upstream-refused");
  });

  test("that never sends its settings does not stand in the way of another for ever", async () => {
    const it = served();
    const [first, second] = [1, 2].map(() => new Asking(it.one, { timeoutMs: 600_000 }));
    const mute = await it.accept();
    await mute.next();
    jump(5000);
    const other = (await it.accept()).settings();
    other.respond(await other.next());
    expect(await second!.outcome()).toBe(204);
    mute.peer.reset();
    expect(await first!.outcome()).toBe("upstream-reset");
  });

  test("is used no more when its endpoint is gone, and closed after its last exchange", async () => {
    const it = served();
    const peer = await known(it);
    const open = new Asking(it.one);
    const stream = await peer.next();
    it.one.close();
    peer.respond(stream);
    expect(await open.outcome()).toBe(204);
    await until(() => peer.read().goneAway);
    expect(it.tally).toMatchObject({ opened: 1, closed: 1, active: 0, idle: 0 });
  });

  test("that was lost while it was idle is forgotten", async () => {
    const it = served();
    const peer = await known(it);
    peer.peer.reset();
    await until(() => it.tally.closed === 1);
    expect(it.one.idleConnections).toBe(0);
    expect(it.tally).toMatchObject({ active: 0, idle: 0 });
  });
});

describe("a WebSocket", () => {
  test("waits for the endpoint's settings, and goes as extended CONNECT where that is offered (RFC 8441 §4)", async () => {
    const it = served();
    const socket = new Asking(it.one, { upgrade: "websocket" });
    const peer = await it.accept();
    await pass();
    expect(peer.read().asked).toEqual([]);
    peer.settings(Setting.enableConnectProtocol, 1);
    const stream = await peer.next();
    expect(stream.head).toMatchObject({ ":method": "CONNECT", ":protocol": "websocket" });
    peer.respond(stream, 200, "");
    await until(() => socket.status === 101);
    peer.peer.reset();
    await socket.outcome();
  });

  test("without that and without TLS is asked for as any request: whether it is one is the origin server's to say", async () => {
    const it = served();
    const socket = new Asking(it.one, { upgrade: "websocket" });
    const peer = (await it.accept()).settings();
    const stream = await peer.next();
    expect(stream.head).toMatchObject({ ":method": "GET" });
    peer.respond(stream, 404);
    expect(await socket.outcome()).toBe(404);
    expect(socket.client).toBeInstanceOf(Http2ClientConnection);
  });
});

test("hundreds of exchanges in random order leave no connection counted, and none waiting", async () => {
  const it = served(http2({ maxConnections: 3 }, 4));
  let isOver = false;
  const serve = async (peer: Http2Peer): Promise<void> => {
    peer.settings(Setting.maxConcurrentStreams, 3);
    let done = 0;
    let hasLeft = false;
    for (; !isOver; await pass()) {
      for (const stream of peer.read().asked.slice(done)) {
        done++;
        if (done % 17 === 0) peer.reset(stream, ErrorCode.refusedStream);
        else peer.respond(stream, 200, "x");
      }
      if (done < 60 || hasLeft) continue;
      hasLeft = true;
      peer.goAway(peer.asked.at(-1)!.id);
    }
  };
  /** One whose exchanges were all called off is closed, maybe before it was greeted. */
  const unlessGone = (why: Error): void => {
    if (!/EPIPE|ECONNRESET/.test(why.message)) throw why;
  };
  const serving: Promise<void>[] = [];
  const accepting = (async () => {
    for (; !isOver; await pass()) {
      const peer = it.poll();
      if (peer !== null) serving.push(serve(peer).catch(unlessGone));
    }
  })();
  const all: Asking[] = [];
  for (let i = 0; i < 400; i++) {
    all.push(new Asking(it.one, { timeoutMs: 600_000 }));
    if (i % 7 === 0) all.at(-1)!.waiting?.cancel();
    if (i % 13 === 0) await pass();
  }
  const counted = all.filter((_, i) => i % 7 !== 0);
  const results = await outcomes(counted);
  isOver = true;
  // Nothing of it goes on while the next test runs.
  await Promise.all([accepting, ...serving]);
  expect(new Set(results)).toEqual(new Set([200, "upstream-refused"]));
  it.one.close();
  await until(() => it.tally.closed === it.tally.opened, "every connection is closed");
  expect(it.tally).toMatchObject({ active: 0, idle: 0, faults: [] });
  expect(it.one.idleConnections).toBe(0);
});
