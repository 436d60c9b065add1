import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Failure } from "../base/failure.ts";
import { clock } from "../base/timer.ts";
import { NO_BODY } from "../http/body.ts";
import { Exchange } from "../http/exchange.ts";
import { FieldSection } from "../http/field-section.ts";
import { HttpRequest, type HttpResponse } from "../http/message.ts";
import { encodeSockaddr } from "../net/address.ts";
import { libc } from "../net/libc.ts";
import { jump, LOOPBACK, listening, openSockets, Peer, pass, until, wait } from "../net/testing.ts";
import type { ResponseTaker } from "../protocol/client-connection.ts";
import type { Http1ClientConnection } from "../protocol/http1/client.ts";
import type { Endpoint } from "./endpoint.ts";
import type { ConnectionTaker } from "./pool.ts";
import { type EndpointFacts, endpoint, Tally } from "./testing.ts";

let before = 0;
let cleanup: (() => void)[] = [];
beforeEach(() => {
  before = openSockets();
});
afterEach(async () => {
  for (const clean of cleanup) clean();
  cleanup = [];
  await until(() => openSockets() <= before, "every socket of the test is closed");
});

/** An endpoint and the socket it leads to. */
function served(facts: EndpointFacts = {}): { one: Endpoint; tally: Tally; fd: number; sockaddr: Uint8Array } {
  const { fd, sockaddr } = listening();
  const tally = new Tally();
  const one = endpoint("origin:80", { sockaddrs: [sockaddr], tally, ...facts });
  cleanup.push(() => {
    one.close();
    libc.close(fd);
  });
  return { one, tally, fd, sockaddr };
}

class Taker implements ConnectionTaker, ResponseTaker {
  client: Http1ClientConnection | null = null;
  failure: Failure | null = null;
  response: HttpResponse | null = null;
  complete = false;

  onClient(client: Http1ClientConnection): void {
    this.client = client;
  }
  onConnectFailed(failure: Failure): void {
    this.failure = failure;
  }
  onInterim(): void {}
  onResponse(response: HttpResponse): void {
    this.response = response;
  }
  onFailed(failure: Failure): void {
    this.failure = failure;
  }
  onComplete(): void {
    this.complete = true;
  }
}

/** @param isLong one of the addresses does not answer: its time passes at once */
async function connect(one: Endpoint, isLong = false): Promise<Taker> {
  const taker = new Taker();
  one.pool.connectHttp1(10_000, taker);
  if (isLong) jump(10_000);
  await until(() => taker.client !== null || taker.failure !== null);
  return taker;
}

/** A new connection, with its other end. */
async function opened(one: Endpoint, fd: number): Promise<{ client: Http1ClientConnection; peer: Peer }> {
  const { client } = await connect(one);
  const peer = await Peer.accept(fd);
  cleanup.push(() => peer.close());
  return { client: client!, peer };
}

/** One request and its response over a connection, after which it is idle. */
async function use(client: Http1ClientConnection, peer: Peer): Promise<void> {
  const taker = new Taker();
  const request = new HttpRequest("GET", "http", "origin", "/", new FieldSection(), NO_BODY);
  client.send(request, "origin", null, null, taker);
  await until(() => peer.receive().toString().endsWith("\r\n\r\n"));
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  await until(() => taker.complete);
}

describe("the pool", () => {
  test("a connection is kept after its exchange, and taken again", async () => {
    const { one, tally, fd } = served();
    expect(one.pool.takeIdle(false)).toBeNull();
    const { client, peer } = await opened(one, fd);
    expect(one.idleConnections).toBe(0);
    await use(client, peer);
    expect({ idle: one.idleConnections, tally: [tally.active, tally.idle] }).toEqual({ idle: 1, tally: [0, 1] });
    expect(one.pool.takeIdle(false)).toBe(client);
    expect({ idle: one.idleConnections, tally: [tally.active, tally.idle] }).toEqual({ idle: 0, tally: [1, 0] });
    await use(client, peer);
    expect(client.requests).toBe(2);
    expect(tally).toMatchObject({ opened: 1, closed: 0, active: 0, idle: 1 });
  });

  test("the one used last is taken first", async () => {
    const { one, fd } = served();
    const [a, b, c] = [await opened(one, fd), await opened(one, fd), await opened(one, fd)];
    for (const { client, peer } of [b, a, c]) await use(client, peer);
    expect([
      one.pool.takeIdle(false),
      one.pool.takeIdle(true),
      one.pool.takeIdle(false),
      one.pool.takeIdle(false),
    ]).toEqual([c.client, a.client, b.client, null]);
    for (const { client } of [a, b, c]) client.connection.destroy();
  });

  test("no more than maxIdle are kept; the surplus one is closed", async () => {
    const { one, tally, fd } = served({ maxIdle: 2 });
    const all = [await opened(one, fd), await opened(one, fd), await opened(one, fd)];
    for (const { client, peer } of all) await use(client, peer);
    expect(one.idleConnections).toBe(2);
    expect((await all[2]!.peer.receiveAll()).end).toBe("end");
    expect(tally).toMatchObject({ opened: 3, closed: 1, active: 0, idle: 2 });
  });

  test("maxIdle 0 keeps none", async () => {
    const { one, fd } = served({ maxIdle: 0 });
    const { client, peer } = await opened(one, fd);
    await use(client, peer);
    expect(one.idleConnections).toBe(0);
    expect((await peer.receiveAll()).end).toBe("end");
  });

  test("none waits longer than the idle time, which starts anew after each use", async () => {
    const { one, tally, fd } = served({ idleTimeMs: 5000 });
    const { client, peer } = await opened(one, fd);
    await use(client, peer);
    const idleSince = clock.now;
    await wait(5);
    one.pool.takeIdle(false);
    await use(client, peer);
    jump(5000, idleSince);
    expect(one.idleConnections).toBe(1);
    jump(5000);
    expect((await peer.receiveAll()).end).toBe("end");
    expect(one.idleConnections).toBe(0);
    expect(tally).toMatchObject({ active: 0, idle: 0, closed: 1 });
  });

  test("one taken from the pool is not closed by the idle time it had there", async () => {
    const { one, fd } = served({ idleTimeMs: 5000 });
    const { client, peer } = await opened(one, fd);
    await use(client, peer);
    const taker = new Taker();
    one.pool
      .takeIdle(false)!
      .send(new HttpRequest("GET", "http", "origin", "/", new FieldSection(), NO_BODY), "origin", null, null, taker);
    jump(5000);
    await pass();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    await until(() => taker.complete);
    expect(taker.failure).toBeNull();
  });

  test.each(["end", "reset", "unasked octets"])("one that sees %s while it waits leaves the pool", async (what) => {
    const { one, tally, fd } = served();
    const kept = await opened(one, fd);
    const dead = await opened(one, fd);
    await use(kept.client, kept.peer);
    await use(dead.client, dead.peer);
    if (what === "end") dead.peer.close();
    else if (what === "reset") dead.peer.reset();
    else dead.peer.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    await until(() => one.idleConnections === 1);
    expect(one.pool.takeIdle(false)).toBe(kept.client);
    kept.client.connection.destroy();
    expect(tally).toMatchObject({ closed: 1, idle: 0 });
  });

  test("one that has ended without our having noticed is passed over where that matters", async () => {
    const { one, tally, fd } = served();
    const kept = await opened(one, fd);
    const dead = await opened(one, fd);
    await use(kept.client, kept.peer);
    await use(dead.client, dead.peer);
    // No turn of the loop passes between the end and the question.
    dead.peer.close();
    expect(one.pool.takeIdle(true)).toBe(kept.client);
    expect(one.idleConnections).toBe(0);
    expect(tally).toMatchObject({ closed: 1, active: 1, idle: 0 });
    kept.client.connection.destroy();
  });

  test("close ends what is idle now, and what is in use once it would be kept", async () => {
    const { one, tally, fd } = served();
    const idle = await opened(one, fd);
    const busy = await opened(one, fd);
    await use(idle.client, idle.peer);
    one.close();
    expect((await idle.peer.receiveAll()).end).toBe("end");
    await use(busy.client, busy.peer);
    expect((await busy.peer.receiveAll()).end).toBe("end");
    expect({ idle: one.idleConnections, tally }).toMatchObject({ idle: 0, tally: { active: 0, idle: 0, closed: 2 } });
  });
});

describe("with PROXY headers", () => {
  const exchangeOf = (peer: string, peerPort = 40_000): Exchange => {
    const client = { listener: "http", peer, peerPort, localAddress: "192.0.2.80", localPort: 80, tls: null };
    const asked = new HttpRequest("GET", "http", "origin", "/", new FieldSection(), NO_BODY);
    return new Exchange(client, "HTTP/1.1", asked, 0);
  };

  async function openedFor(one: Endpoint, fd: number, exchange: Exchange) {
    const taker = new Taker();
    one.connect(exchange, 1000, taker);
    await until(() => taker.client !== null);
    const peer = await Peer.accept(fd);
    cleanup.push(() => peer.close());
    let header = "";
    await until(() => (header += peer.receive().toString("latin1")).endsWith("\r\n"));
    return { client: taker.client!, peer, header };
  }

  test("a kept connection is only for the client that it was opened for, and nobody else is remembered", async () => {
    const { one, fd } = served({ proxyProtocol: 1, idleTimeMs: 5000 });
    const [alice, bob] = [exchangeOf("192.0.2.1"), exchangeOf("192.0.2.2")];
    const hers = await openedFor(one, fd, alice);
    expect(hers.header).toBe("PROXY TCP4 192.0.2.1 192.0.2.80 40000 80\r\n");
    await use(hers.client, hers.peer);
    expect(one.take(bob, false)).toBeNull();
    expect(one.take(exchangeOf("192.0.2.1", 40_001), false)).toBeNull();
    expect(one.take(alice, false)).toBe(hers.client);
    await use(hers.client, hers.peer);
    expect(one.idleConnections).toBe(1);
    jump(5000);
    await until(() => one.idleConnections === 0);
    expect(one.take(alice, false)).toBeNull();
    expect(one.clients).toBe(0);
    one.connect(bob, 1000, new Taker()).cancel();
    expect(one.clients).toBe(0);
  });

  test("a client over a unix socket has no address to tell", async () => {
    const { one, fd } = served({ proxyProtocol: 1 });
    const { client, header } = await openedFor(one, fd, exchangeOf(""));
    expect(header).toBe("PROXY UNKNOWN\r\n");
    client.closeIdle();
  });
});

describe("connecting", () => {
  const refusing = (): Uint8Array => {
    const { fd, sockaddr } = listening();
    libc.close(fd);
    return sockaddr;
  };

  test("tries the addresses of a name in turn", async () => {
    const { fd, sockaddr } = listening();
    const one = endpoint("app:80", { sockaddrs: [refusing(), refusing(), sockaddr] });
    const { client } = await connect(one);
    expect(client).not.toBeNull();
    client!.connection.destroy();
    libc.close(fd);
  });

  test("goes on to the next address after a time-out too", async () => {
    const hole = listening(LOOPBACK, 0);
    using _peer = new Peer(hole.sockaddr);
    const { fd, sockaddr } = listening();
    const { client } = await connect(endpoint("app:80", { sockaddrs: [hole.sockaddr, sockaddr] }), true);
    expect(client).not.toBeNull();
    client!.connection.destroy();
    libc.close(fd);
    libc.close(hole.fd);
  });

  test("the last address says why: refused, timed out, or anything else", async () => {
    const hole = listening(LOOPBACK, 0);
    using _peer = new Peer(hole.sockaddr);
    for (const [sockaddrs, code, isLong] of [
      [[refusing(), refusing()], "upstream-connect-refused", false],
      [[hole.sockaddr, refusing()], "upstream-connect-refused", true],
      [[hole.sockaddr], "upstream-connect-timeout", true],
      [[refusing(), encodeSockaddr({ kind: "unix", path: "/nonexistent/app.sock" })], "upstream-connect-failed", false],
    ] as const) {
      const { failure } = await connect(endpoint("app:80", { sockaddrs: [...sockaddrs] }), isLong);
      expect(failure).toMatchObject({ code, message: expect.stringContaining("app:80") });
    }
    libc.close(hole.fd);
  });

  test("a name without an address fails later, never from within connect", async () => {
    const taker = new Taker();
    endpoint("app:80").pool.connectHttp1(1000, taker);
    expect(taker.failure).toBeNull();
    await pass();
    expect(taker.failure).toMatchObject({ code: "upstream-resolve-failed", retry: "connect" });
  });

  test("a cancelled attempt says nothing, at whichever address it is", async () => {
    const hole = listening(LOOPBACK, 0);
    using _peer = new Peer(hole.sockaddr);
    const takers = [[], [refusing()], [hole.sockaddr, refusing()], [refusing(), hole.sockaddr]].map((sockaddrs) => {
      const taker = new Taker();
      const opening = endpoint("app:80", { sockaddrs }).pool.connectHttp1(60, taker);
      if (sockaddrs[1] === hole.sockaddr) setTimeout(() => opening.cancel(), 20);
      else opening.cancel();
      return taker;
    });
    await Bun.sleep(120);
    expect(takers.map(({ failure, client }) => failure ?? client)).toEqual([null, null, null, null]);
    libc.close(hole.fd);
  });
});

test("an endpoint that opened and lost 100 connections counts none", async () => {
  const { one, tally, fd } = served();
  for (let i = 0; i < 100; i++) {
    const { client, peer } = await opened(one, fd);
    if (i % 4 !== 0) await use(client, peer);
    if (i % 4 === 1) one.pool.takeIdle(true);
    if (i % 3 === 0) peer.reset();
    else peer.close();
  }
  await until(() => tally.closed === 100);
  expect(tally).toMatchObject({ opened: 100, active: 0, idle: 0, faults: [] });
  expect(one.idleConnections).toBe(0);
});
