import { describe, expect, test } from "bun:test";
import { Failure } from "../base/failure.ts";
import { SILENT } from "../base/log.ts";
import { openPipes } from "../net/pipe.ts";
import { jump, Peer, until, wait } from "../net/testing.ts";
import { afterThis, cleanUpAfterEach, Origin, refusing, upstreamOf } from "../proxy/testing.ts";
import { Status } from "../upstream/endpoint-state.ts";
import { PassiveHealth } from "../upstream/health/passive.ts";
import { Queue } from "../upstream/queue.ts";
import { clientHello, endOf, HOUR_MS, IDLE_MS, type RelayFacts, received, relay as start } from "./testing.ts";

cleanUpAfterEach();

async function relay(facts: RelayFacts) {
  const made = await start(facts);
  afterThis(() => {
    made.relay.terminate(new Failure("shutting-down", "the test is over"));
    made.client.close();
    expect(made.over.times).toBe(1);
    expect(made.over.faults).toEqual([]);
  });
  return made;
}

const to = (...origins: Origin[]): RelayFacts => ({
  routes: { all: { to: upstreamOf(origins.map(({ endpoint }) => endpoint)) } },
});

/** Sends all of it, as room appears. */
async function sendAll(peer: Peer, octets: Buffer): Promise<void> {
  let sent = 0;
  await until(() => (sent += peer.send(octets.subarray(sent))) === octets.length, "room for all of it", 30_000);
}

/** The relay knows that it is connected: before, a reset is a connect that failed. */
async function connected(origin: Origin, client: Peer): Promise<Peer> {
  const peer = await origin.accept();
  client.send("?");
  await received(peer, 1);
  return peer;
}

describe("octets", () => {
  test("go both ways, and each side may end before the other", async () => {
    const origin = new Origin();
    const { client, over } = await relay(to(origin));
    const peer = await origin.accept();
    client.send("question");
    expect(await received(peer, 8)).toBe("question");
    client.endWriting();
    expect(await endOf(peer)).toBe("end");
    peer.send("late answer");
    expect(await received(client, 11)).toBe("late answer");
    expect(over.times).toBe(0);
    peer.endWriting();
    expect(await endOf(client)).toBe("end");
    expect(await over.code()).toBeNull();
    const { exchange } = over;
    expect(exchange).toMatchObject({
      phase: "done",
      route: "all",
      upstream: "app",
      requestOctets: 8,
      responseOctets: 11,
    });
    expect(exchange!.attempts).toMatchObject([{ endpoint: origin.endpoint.address, failure: null }]);
    expect(origin.inFlight).toBe(0);
  });

  test("an endpoint that speaks and ends first", async () => {
    const origin = new Origin();
    const { client, over } = await relay(to(origin));
    const peer = await origin.accept();
    peer.send("220 hello\r\n");
    peer.endWriting();
    expect(await received(client, 11)).toBe("220 hello\r\n");
    expect(await endOf(client)).toBe("end");
    client.send("QUIT");
    client.endWriting();
    expect(await received(peer, 4)).toBe("QUIT");
    expect(await over.code()).toBeNull();
  });

  test("that were read with a PROXY header go to the endpoint first", async () => {
    const origin = new Origin();
    const { client } = await relay({ ...to(origin), first: "first, " });
    const peer = await origin.accept();
    client.send("then");
    expect(await received(peer, 11)).toBe("first, then");
  });

  test("of a client that has ended before there was a connection arrive, and so does the answer", async () => {
    const origin = new Origin();
    const { client, over } = await relay(to(origin));
    client.send("all at once");
    client.endWriting();
    const peer = await origin.accept();
    expect(await received(peer, 11)).toBe("all at once");
    expect(await endOf(peer)).toBe("end");
    peer.send("done");
    peer.endWriting();
    expect(await received(client, 4)).toBe("done");
    expect(await over.code()).toBeNull();
  });

  test("in bulk arrive unchanged in both directions at once, and leave no pipe behind", async () => {
    const origin = new Origin();
    const { client, over } = await relay(to(origin));
    const peer = await origin.accept();
    const size = 16 * 1024 * 1024;
    const [up, down] = [crypto.getRandomValues(Buffer.alloc(65_536)), crypto.getRandomValues(Buffer.alloc(65_536))];
    const [upAll, downAll] = [up, down].map((piece) => Buffer.concat(new Array<Buffer>(size / 65_536).fill(piece)));
    const sending = [sendAll(client, upAll!), sendAll(peer, downAll!)];
    const [atOrigin, atClient] = [peer.receiveAll(10_000), client.receiveAll(10_000)];
    await Promise.all(sending);
    client.endWriting();
    peer.endWriting();
    expect((await atOrigin).octets.equals(upAll!)).toBe(true);
    expect((await atClient).octets.equals(downAll!)).toBe(true);
    expect(await over.code()).toBeNull();
    await until(() => openPipes().open === openPipes().free, "all pipes are given back");
  }, 60_000);

  test("that a side does not take hold up the other one, and nothing grows", async () => {
    const origin = new Origin();
    const { client } = await relay(to(origin));
    const peer = await origin.accept();
    const piece = Buffer.alloc(256 * 1024, 65);
    let sent = 0;
    let idle = 0;
    // Until the kernel takes no more for a while: the client takes nothing.
    for (; idle < 50; await wait(2)) {
      const taken = peer.send(piece);
      sent += taken;
      idle = taken === 0 ? idle + 1 : 0;
      expect(sent).toBeLessThan(64 * 1024 * 1024);
    }
    let got = 0;
    await until(() => (got += client.receive().length) === sent, "all that was sent");
  }, 30_000);
});

describe("an endpoint that cannot be reached", () => {
  test("is followed by another one", async () => {
    const origin = new Origin();
    const { client, over } = await relay({ routes: { all: { to: upstreamOf([refusing(), origin.endpoint]) } } });
    client.send("ping");
    const peer = await origin.accept();
    expect(await received(peer, 4)).toBe("ping");
    peer.endWriting();
    client.endWriting();
    expect(await over.code()).toBeNull();
    expect(over.exchange!.attempts!.map(({ failure }) => failure?.code ?? null)).toEqual([
      "upstream-connect-refused",
      null,
    ]);
  });

  test("is not followed by more than retry.attempts say, and the client is reset", async () => {
    const { client, over } = await relay({
      routes: { all: { to: upstreamOf([refusing(), refusing(), refusing()]) } },
      attempts: 1,
    });
    expect(await over.code()).toBe("upstream-connect-refused");
    expect(over.exchange!.attempts).toHaveLength(2);
    expect(await endOf(client)).toBe("ECONNRESET");
  });

  test("because it does not answer counts as one, after upstream's connect timeout", async () => {
    // Its queue is full, so the kernel does not answer.
    const silent = new Origin({}, 0);
    const waiting = new Peer(silent.endpoint.sockaddrs[0]!);
    afterThis(() => waiting.close());
    const { over } = await relay({ routes: { all: { to: upstreamOf([silent.endpoint], { connectMs: HOUR_MS }) } } });
    await until(() => {
      jump(HOUR_MS);
      return over.times > 0;
    });
    expect(await over.code()).toBe("upstream-connect-timeout");
  });

  test("and an upstream without any: the client is reset, and told why in the log", async () => {
    const { client, over } = await relay({ routes: { all: { to: upstreamOf([]) } } });
    expect(await over.code()).toBe("no-endpoint");
    expect(await endOf(client)).toBe("ECONNRESET");
  });
});

describe("resets", () => {
  test("of the client reach the endpoint", async () => {
    const origin = new Origin();
    const { client, over } = await relay(to(origin));
    const peer = await origin.accept();
    client.send("half of a");
    await received(peer, 9);
    client.reset();
    expect(await endOf(peer)).toBe("ECONNRESET");
    expect(await over.code()).toBe("client-closed");
  });

  test("of the endpoint reach the client, after the endpoint's last words", async () => {
    const origin = new Origin();
    const { client, over } = await relay(to(origin));
    const peer = await connected(origin, client);
    peer.send("too many connections");
    peer.reset();
    expect(await over.code()).toBe("upstream-reset");
    expect(over.exchange!.failure!.message).toContain("ECONNRESET");
    const { octets, end } = await client.receiveAll(10_000);
    expect([octets.toString(), end]).toEqual(["too many connections", "ECONNRESET"]);
  });

  test("of an endpoint that has said nothing count against its health", async () => {
    const origins = [new Origin(), new Origin()];
    const passive = new PassiveHealth(
      {
        failures: 1,
        window: 10_000,
        rate: null,
        rateRequests: 20,
        statuses: [],
        latency: null,
        ejectFor: 10_000,
        ejectMax: 10_000,
        maxEjected: 1,
      },
      { slowStartMs: 0, log: SILENT },
    );
    const upstream = upstreamOf(
      origins.map(({ endpoint }) => endpoint),
      { parts: { passive } },
    );
    const { client, over } = await relay({ routes: { all: { to: upstream } } });
    let peer: Peer | null = null;
    let fallen: Origin | undefined;
    await until(() => (fallen = origins.find((one) => (peer ??= one.poll()) !== null)) !== undefined);
    client.send("question");
    await received(peer!, 8);
    peer!.reset();
    expect(await over.code()).toBe("upstream-reset");
    expect(fallen!.endpoint.state.status).toBe(Status.ejected);
  });

  test("of a client that waits for room give its place up", async () => {
    const origin = new Origin({ maxInFlight: 1 });
    const queue = new Queue({ size: 10, timeout: HOUR_MS }, 1);
    const upstream = upstreamOf([origin.endpoint], { parts: { queue } });
    const first = await relay({ routes: { all: { to: upstream } } });
    const second = await relay({ routes: { all: { to: upstream } } });
    const third = await relay({ routes: { all: { to: upstream } } });
    await until(() => queue.waiting === 2);
    second.client.reset();
    expect(await second.over.code()).toBe("client-closed");
    expect(queue.waiting).toBe(1);
    (await origin.accept()).reset();
    await first.over.code();
    const peer = await origin.accept();
    third.client.send("my turn");
    expect(await received(peer, 7)).toBe("my turn");
  });
});

describe("limits", () => {
  test("a connection where nothing moves ends after timeouts.idle, and looks complete to nobody", async () => {
    const origin = new Origin();
    const { client, over } = await relay(to(origin));
    const peer = await origin.accept();
    client.send("x");
    await received(peer, 1);
    jump(IDLE_MS);
    expect(await over.code()).toBe("tunnel-idle");
    expect([await endOf(client), await endOf(peer)]).toEqual(["ECONNRESET", "ECONNRESET"]);
  });

  test("where one side has ended, the other one has timeouts.halfClosed for each octet", async () => {
    const origin = new Origin();
    const { client, over } = await relay(to(origin));
    const peer = await origin.accept();
    client.send("x");
    await received(peer, 1);
    client.endWriting();
    expect(await endOf(peer)).toBe("end");
    jump(HOUR_MS);
    expect(over.times).toBe(0);
    jump(2 * HOUR_MS);
    expect(await over.code()).toBe("tunnel-idle");
  });

  test("a client that finds no room and a full queue is reset at once", async () => {
    const origin = new Origin({ maxInFlight: 1 });
    const upstream = upstreamOf([origin.endpoint], { parts: { queue: new Queue({ size: 0, timeout: 1000 }, 1) } });
    await relay({ routes: { all: { to: upstream } } });
    const second = await relay({ routes: { all: { to: upstream } } });
    expect(await second.over.code()).toBe("queue-full");
  });

  test("one that waits too long for room is reset", async () => {
    const origin = new Origin({ maxInFlight: 1 });
    const upstream = upstreamOf([origin.endpoint], { parts: { queue: new Queue({ size: 9, timeout: HOUR_MS }, 1) } });
    await relay({ routes: { all: { to: upstream } } });
    const second = await relay({ routes: { all: { to: upstream } } });
    jump(HOUR_MS);
    expect(await second.over.code()).toBe("queue-timeout");
  });

  test("terminating it resets both sides", async () => {
    const origin = new Origin();
    const made = await relay(to(origin));
    const peer = await connected(origin, made.client);
    made.relay.terminate(new Failure("shutting-down", "the drain time is over"));
    expect(await made.over.code()).toBe("shutting-down");
    expect([await endOf(made.client), await endOf(peer)]).toEqual(["ECONNRESET", "ECONNRESET"]);
  });
});

describe("routes by server name (RFC 6066 §3)", () => {
  async function two() {
    const [named, rest] = [new Origin(), new Origin()];
    const facts: RelayFacts = {
      routes: {
        named: { match: { serverName: ["db.example.com"] }, to: upstreamOf([named.endpoint]) },
        rest: { match: { client: ["127.0.0.0/8"] }, to: upstreamOf([rest.endpoint]) },
      },
    };
    return { named, rest, ...(await relay(facts)) };
  }

  test("wait for the ClientHello, however it is cut, and pass it on as it came", async () => {
    const { named, client, over } = await two();
    const hello = clientHello("DB.example.com");
    for (let at = 0; at < hello.length; at += 11) {
      client.send(hello.subarray(at, at + 11));
      await wait(1);
    }
    const peer = await named.accept();
    expect(await received(peer, hello.length)).toBe(hello.toString("latin1"));
    peer.send("ServerHello");
    expect(await received(client, 11)).toBe("ServerHello");
    client.endWriting();
    peer.endWriting();
    await over.code();
    expect(over.exchange).toMatchObject({
      route: "named",
      client: { tls: { serverName: "db.example.com", version: "" } },
    });
  });

  test.each([
    ["another name", clientHello("other.example.com")],
    ["no name", clientHello(null)],
    ["something that is not TLS", Buffer.from("SSH-2.0-x\r\n")],
  ])("%s goes on to the routes without one", async (_, octets) => {
    const { rest, client } = await two();
    client.send(octets);
    expect(await received(await rest.accept(), octets.length)).toBe(octets.toString("latin1"));
  });

  test("a name that nobody takes is told so (unrecognized_name)", async () => {
    const origin = new Origin();
    const upstream = upstreamOf([origin.endpoint]);
    const { client, over } = await relay({
      routes: { one: { match: { serverName: ["*.example.com"] }, to: upstream } },
    });
    client.send(clientHello("example.com"));
    const { octets } = await client.receiveAll(10_000);
    expect([...octets]).toEqual([21, 3, 3, 0, 2, 2, 112]);
    expect(await over.code()).toBe("no-route");
    expect(over.exchange!.failure!.message).toContain("example.com");
  });

  test("a broken ClientHello is refused with an alert", async () => {
    const { client, over } = await two();
    const hello = clientHello("db.example.com");
    hello[9] = 0; // The record's message says that it is longer than it is.
    hello[5] = 2; // ServerHello
    client.send(hello);
    expect([...(await client.receiveAll(10_000)).octets.subarray(0, 2)]).toEqual([21, 3]);
    expect(await over.code()).toBe("request-malformed");
  });

  test("a ClientHello that does not come is not waited for longer than timeouts.hello", async () => {
    const { client, over } = await two();
    client.send(clientHello("db.example.com").subarray(0, 20));
    await wait(5);
    jump(HOUR_MS);
    expect(await over.code()).toBe("head-timeout");
    expect(await endOf(client)).toBe("ECONNRESET");
  });

  test("a client that leaves before is forgotten", async () => {
    const { client, over } = await two();
    client.send(clientHello("db.example.com").subarray(0, 20));
    client.endWriting();
    expect(await over.code()).toBe("client-closed");
  });

  test("after TLS was ended here, its server name chooses", async () => {
    const [named, rest] = [new Origin(), new Origin()];
    const tls = {
      version: "TLSv1.3",
      cipher: "",
      serverName: "db.example.com",
      alpn: "",
      resumed: false,
      rules: "",
      clientCertificate: null,
    };
    const { client } = await relay({
      routes: {
        named: { match: { serverName: ["db.example.com"] }, to: upstreamOf([named.endpoint]) },
        rest: { to: upstreamOf([rest.endpoint]) },
      },
      client: { tls },
    });
    client.send("plain");
    expect(await received(await named.accept(), 5)).toBe("plain");
  });
});
