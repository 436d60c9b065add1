import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createSocket, type Socket } from "node:dgram";
import { SILENT } from "../base/log.ts";
import { IPV6, needs } from "../base/testing.ts";
import { timerList } from "../base/timer.ts";
import type { RelayMatchConfig } from "../config/relay-config.ts";
import type { Exchange } from "../http/exchange.ts";
import { encodeSockaddr, familyOf } from "../net/address.ts";
import { libc, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from "../net/libc.ts";
import { localAddressOf } from "../net/local-address.ts";
import { jump, openSockets, until } from "../net/testing.ts";
import { upstreamOf } from "../proxy/testing.ts";
import { Counter, CounterRow, Level } from "../telemetry/registry.ts";
import { DROPS } from "../telemetry/relay-metrics.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import { Status } from "../upstream/endpoint-state.ts";
import { PassiveHealth } from "../upstream/health/passive.ts";
import { endpoint } from "../upstream/testing.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { RelayRoutes } from "./routes.ts";
import { HOUR_MS, routeMetrics } from "./testing.ts";
import { UdpRelay, type UdpRelaySettings } from "./udp-relay.ts";

let before = 0;
const clean: (() => void)[] = [];
beforeEach(() => {
  before = openSockets();
});
afterEach(async () => {
  for (const one of clean.splice(0).reverse()) one();
  await until(() => openSockets() <= before, "every socket of the test is closed");
});

/** A peer by the runtime's own sockets: what it hears, by sender's port. */
class DatagramPeer {
  readonly heard: { readonly text: string; readonly octets: number; readonly port: number; readonly from: string }[] =
    [];
  readonly socket: Socket;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("message", (octets, { port, address }) => {
      this.heard.push({ text: octets.toString("latin1"), octets: octets.length, port, from: address });
    });
    socket.on("error", () => {});
    clean.push(() => this.close());
  }

  static async open(host = "127.0.0.1"): Promise<DatagramPeer> {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    const peer = new DatagramPeer(socket);
    await new Promise<void>((resolve) => socket.bind(0, host, resolve));
    return peer;
  }

  get port(): number {
    return this.socket.address().port;
  }

  send(text: string | Buffer, port: number, host = "127.0.0.1"): void {
    this.socket.send(text, port, host);
  }

  /** Sends what it hears back, with something before it. */
  echo(): this {
    this.socket.on("message", (octets, { port, address }) =>
      this.socket.send(`re:${octets.toString("latin1")}`, port, address),
    );
    return this;
  }

  async hears(count: number): Promise<string[]> {
    await until(() => this.heard.length >= count, `${count} datagrams`);
    return this.heard.map(({ text }) => text);
  }

  close(): void {
    this.close = () => {};
    this.socket.close();
  }
}

const endpointOf = (peer: DatagramPeer, host = "127.0.0.1"): Endpoint =>
  endpoint(`${host}:${peer.port}`, { sockaddrs: [encodeSockaddr({ kind: "tcp", host, port: peer.port })] });

interface Facts extends Partial<Omit<UdpRelaySettings, "routes" | "metrics">> {
  readonly to?: Upstream;
  readonly match?: RelayMatchConfig;
  readonly host?: string;
}

/** A relay on a port of its own. */
function relay({ to, match = {}, host = "127.0.0.1", ...facts }: Facts) {
  const sockaddr = encodeSockaddr({ kind: "tcp", host, port: 0 });
  const fd = libc.socket(familyOf(sockaddr), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  libc.bind(fd, sockaddr, sockaddr.length);
  const over: Exchange[] = [];
  const [totals, levels] = [new Float64Array(400), new Int32Array(4)];
  const metrics = {
    failures: new CounterRow(totals, 0),
    routes: new Map(),
    active: new Level(levels, 0),
    receivedDatagrams: new Counter(totals, 300),
    sentDatagrams: new Counter(totals, 301),
    dropped: new CounterRow(totals, 310),
  };
  const made = new UdpRelay(fd, { onSessionOver: (exchange) => over.push(exchange) });
  const settings = (upstream: Upstream): UdpRelaySettings => ({
    name: "in",
    routes: new RelayRoutes([
      { name: "all", match, target: { upstream, retry: null as never, metrics: routeMetrics() } },
    ]),
    metrics,
    maxSessions: 100,
    maxPerClient: Infinity,
    responses: null,
    idleTime: timerList(HOUR_MS)!,
    log: SILENT,
    ...facts,
  });
  made.use(settings(to!));
  made.start();
  clean.push(() => {
    made.terminate();
    made.retire();
    libc.close(fd);
    expect(levels[0]).toBe(0);
  });
  const dropped = (): Record<string, number> =>
    Object.fromEntries(DROPS.map((reason, i) => [reason, totals[310 + i]!] as const).filter(([, count]) => count > 0));
  return {
    relay: made,
    port: localAddressOf(fd).port,
    over,
    dropped,
    levels,
    use: (next: Upstream) => made.use(settings(next)),
  };
}

const codes = (over: readonly Exchange[]) => over.map(({ failure }) => failure?.code ?? null);

describe("a session", () => {
  test("takes a client's datagrams to one endpoint, and its answers back", async () => {
    const [one, two] = [(await DatagramPeer.open()).echo(), (await DatagramPeer.open()).echo()];
    const upstream = upstreamOf([endpointOf(one), endpointOf(two)]);
    const { port, relay: made } = relay({ to: upstream });
    const [alice, bob] = [await DatagramPeer.open(), await DatagramPeer.open()];
    for (const text of ["a1", "a2", "a3"]) alice.send(text, port);
    expect(new Set(await alice.hears(3))).toEqual(new Set(["re:a1", "re:a2", "re:a3"]));
    bob.send("b1", port);
    expect(await bob.hears(1)).toEqual(["re:b1"]);
    expect([one, two].map(({ heard }) => heard.length).sort()).toEqual([1, 3]);
    expect(alice.heard.map((heard) => heard.port)).toEqual([port, port, port]);
    expect(made.open).toBe(2);
    expect(upstream.endpoints.map(({ inFlight }) => inFlight)).toEqual([1, 1]);
  });

  test("ends by silence, and the next datagram begins another", async () => {
    const origin = (await DatagramPeer.open()).echo();
    const { port, over, relay: made } = relay({ to: upstreamOf([endpointOf(origin)]) });
    const client = await DatagramPeer.open();
    client.send("one", port);
    await client.hears(1);
    jump(HOUR_MS);
    expect(made.open).toBe(0);
    expect(codes(over)).toEqual([null]);
    expect(over[0]).toMatchObject({
      protocol: "UDP",
      route: "all",
      phase: "done",
      requestOctets: 3,
      responseOctets: 6,
    });
    client.send("two", port);
    await client.hears(2);
    expect(origin.heard[0]!.port).not.toBe(origin.heard[1]!.port);
  });

  test("without any answer is no failure where none is expected", async () => {
    const origin = await DatagramPeer.open();
    const { port, over } = relay({ to: upstreamOf([endpointOf(origin)]) });
    (await DatagramPeer.open()).send("log line", port);
    await origin.hears(1);
    jump(HOUR_MS);
    expect(codes(over)).toEqual([null]);
  });

  test("with `responses` ends with the last answer to all that was asked", async () => {
    const origin = await DatagramPeer.open();
    const { port, over } = relay({ to: upstreamOf([endpointOf(origin)]), responses: 2 });
    const client = await DatagramPeer.open();
    client.send("a", port);
    client.send("b", port);
    await origin.hears(2);
    for (let i = 1; i <= 4; i++) {
      expect(over).toHaveLength(0);
      origin.send(`answer ${i}`, origin.heard[0]!.port);
      await client.hears(i);
    }
    await until(() => over.length === 1);
    expect(codes(over)).toEqual([null]);
  });

  test("with `responses` that has no answer fails, which counts against its endpoint", async () => {
    const origin = await DatagramPeer.open();
    const upstream = upstreamOf([endpointOf(origin), endpointOf(await DatagramPeer.open())], {
      parts: { passive: passive() },
    });
    const { port, over } = relay({ to: upstream, responses: 1 });
    (await DatagramPeer.open()).send("?", port);
    await until(() => upstream.endpoints.some(({ inFlight }) => inFlight === 1));
    jump(HOUR_MS);
    expect(codes(over)).toEqual(["upstream-first-octet-timeout"]);
    expect(upstream.endpoints.filter(({ state }) => state.status === Status.ejected)).toHaveLength(1);
  });
});

const passive = () =>
  new PassiveHealth(
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

describe("datagrams", () => {
  test.each([0, 1, 1472, 65_507])("of %i octets arrive as they are", async (size) => {
    const origin = await DatagramPeer.open();
    const { port } = relay({ to: upstreamOf([endpointOf(origin)]) });
    const client = await DatagramPeer.open();
    const octets = crypto.getRandomValues(Buffer.alloc(Math.min(size, 65_536)));
    client.send(octets, port);
    await until(() => origin.heard.length === 1);
    expect(origin.heard[0]!.text).toBe(octets.toString("latin1"));
    origin.send(octets, origin.heard[0]!.port);
    await until(() => client.heard.length === 1);
    expect(client.heard[0]!.text).toBe(octets.toString("latin1"));
  });

  test("in a burst go and come back by the batch", async () => {
    const origin = (await DatagramPeer.open()).echo();
    const { port } = relay({ to: upstreamOf([endpointOf(origin)]) });
    const clients = await Promise.all(Array.from({ length: 20 }, () => DatagramPeer.open()));
    for (let i = 0; i < 10; i++) for (const client of clients) client.send(`${i}`, port);
    for (const client of clients) {
      expect((await client.hears(10)).sort()).toEqual(Array.from({ length: 10 }, (_, i) => `re:${i}`));
    }
  });

  test("to a socket of every address are answered from the address they were sent to", async () => {
    const origin = (await DatagramPeer.open()).echo();
    const { port } = relay({ to: upstreamOf([endpointOf(origin)]), host: "0.0.0.0" });
    const client = await DatagramPeer.open("0.0.0.0");
    client.send("x", port, "127.0.0.9");
    await client.hears(1);
    expect(client.heard[0]).toMatchObject({ text: "re:x", from: "127.0.0.9", port });
  });

  needs(IPV6).test("over IPv6, and IPv4 that comes mapped, are told apart", async () => {
    const origin = (await DatagramPeer.open("::1")).echo();
    const { port, relay: made } = relay({ to: upstreamOf([endpointOf(origin, "::1")]), host: "::" });
    const [six, four] = [await DatagramPeer.open("::1"), await DatagramPeer.open("127.0.0.1")];
    six.send("6", port, "::1");
    four.send("4", port, "127.0.0.8");
    expect([await six.hears(1), await four.hears(1)]).toEqual([["re:6"], ["re:4"]]);
    expect([six.heard[0]!.from, four.heard[0]!.from]).toEqual(["::1", "127.0.0.8"]);
    expect(made.open).toBe(2);
  });
});

describe("an endpoint", () => {
  test("that is not there ends its session, and the next datagram goes to another one", async () => {
    // A socket that is connected to somebody else takes nothing from us, and nobody else gets its port.
    const deaf = await DatagramPeer.open();
    const refusing = endpointOf(deaf);
    await new Promise<void>((resolve) => deaf.socket.connect(1, "127.0.0.1", resolve));
    const origin = (await DatagramPeer.open()).echo();
    const upstream = upstreamOf([refusing, endpointOf(origin)], { parts: { passive: passive() } });
    const { port, over } = relay({ to: upstream });
    // Of two in turn, one comes to each of them first.
    const clients = [await DatagramPeer.open(), await DatagramPeer.open()];
    await until(() => {
      for (const client of clients) client.send("anyone?", port);
      return clients.every(({ heard }) => heard.length > 0) && over.length > 0;
    });
    expect(codes(over)[0]).toBe("upstream-connect-refused");
    expect(refusing.state.status).toBe(Status.ejected);
  });

  test("that the upstream has no more is left with the next datagram", async () => {
    const [old, next] = [(await DatagramPeer.open()).echo(), (await DatagramPeer.open()).echo()];
    const upstream = upstreamOf([endpointOf(old)]);
    const { port, over } = relay({ to: upstream });
    const client = await DatagramPeer.open();
    client.send("1", port);
    await client.hears(1);
    upstream.update([endpointOf(next)]);
    client.send("2", port);
    await client.hears(2);
    expect([old.heard.length, next.heard.length]).toEqual([1, 1]);
    expect(codes(over)).toEqual([null]);
  });

  test("that is down and silent is left, one that still answers is not", async () => {
    const [one, two] = [await DatagramPeer.open(), await DatagramPeer.open()];
    const upstream = upstreamOf([endpointOf(one), endpointOf(two)]);
    const { port } = relay({ to: upstream });
    const client = await DatagramPeer.open();
    client.send("1", port);
    await until(() => one.heard.length + two.heard.length === 1);
    const [first, second] = one.heard.length === 1 ? [one, two] : [two, one];
    upstream.endpoints.find(({ address }) => address.endsWith(`:${first.port}`))!.state.mark(Status.down);
    first.send("answer", first.heard[0]!.port);
    await client.hears(1);
    client.send("2", port);
    await first.hears(2);
    client.send("3", port);
    await second.hears(1);
  });

  test("without room takes no session", async () => {
    const origin = (await DatagramPeer.open()).echo();
    const full = endpoint("full", { maxInFlight: 1, sockaddrs: endpointOf(origin).sockaddrs });
    const { port, dropped } = relay({ to: upstreamOf([full]) });
    const [one, two] = [await DatagramPeer.open(), await DatagramPeer.open()];
    one.send("1", port);
    await one.hears(1);
    two.send("2", port);
    await until(() => dropped()["endpoint"] === 1);
    one.send("3", port);
    await one.hears(2);
  });

  test("of an upstream without any: datagrams are dropped and counted", async () => {
    const { port, dropped, over } = relay({ to: upstreamOf([]) });
    (await DatagramPeer.open()).send("?", port);
    await until(() => dropped()["endpoint"] === 1);
    expect(over).toEqual([]);
  });
});

describe("bounds", () => {
  test("at maxSessions the oldest session without an answer makes room; those with one stay", async () => {
    const origin = await DatagramPeer.open();
    origin.socket.on("message", (octets, { port }) => {
      if (octets.toString() === "answer me") origin.send("answer", port);
    });
    const { port, over, dropped, relay: made } = relay({ to: upstreamOf([endpointOf(origin)]), maxSessions: 3 });
    const served = await DatagramPeer.open();
    served.send("answer me", port);
    await served.hears(1);
    for (let i = 0; i < 50; i++) (await DatagramPeer.open()).send("flood", port);
    await origin.hears(51);
    expect(made.open).toBe(3);
    expect(codes(over)).toEqual(new Array(48).fill("too-many-connections"));
    served.send("answer me", port);
    await served.hears(2);
    expect(dropped()).toEqual({});
  });

  test("where all have been answered, what would begin another is dropped", async () => {
    const origin = (await DatagramPeer.open()).echo();
    const { port, dropped, relay: made } = relay({ to: upstreamOf([endpointOf(origin)]), maxSessions: 1 });
    const [one, two] = [await DatagramPeer.open(), await DatagramPeer.open()];
    one.send("1", port);
    await one.hears(1);
    two.send("2", port);
    await until(() => dropped()["sessions"] === 1);
    expect(made.open).toBe(1);
  });

  test("a client address has maxPerClient sessions at most", async () => {
    const origin = (await DatagramPeer.open()).echo();
    const { port, dropped } = relay({ to: upstreamOf([endpointOf(origin)]), maxPerClient: 1 });
    const [one, two, other] = [
      await DatagramPeer.open(),
      await DatagramPeer.open(),
      await DatagramPeer.open("127.0.0.2"),
    ];
    one.send("1", port);
    await one.hears(1);
    two.send("2", port);
    await until(() => dropped()["client"] === 1);
    other.send("3", port);
    await other.hears(1);
  });

  test("a client that no route takes is dropped", async () => {
    const origin = (await DatagramPeer.open()).echo();
    const { port, dropped } = relay({ to: upstreamOf([endpointOf(origin)]), match: { client: ["10.0.0.0/8"] } });
    (await DatagramPeer.open()).send("1", port);
    await until(() => dropped()["route"] === 1);
    expect(origin.heard).toEqual([]);
  });
});

describe("the end", () => {
  test("a relay that is shut takes nothing new, and brings answers still", async () => {
    const origin = await DatagramPeer.open();
    const { port, relay: made, over } = relay({ to: upstreamOf([endpointOf(origin)]) });
    const [client, late] = [await DatagramPeer.open(), await DatagramPeer.open()];
    client.send("1", port);
    await origin.hears(1);
    made.shut();
    made.drain();
    late.send("2", port);
    origin.send("answer", origin.heard[0]!.port);
    expect(await client.hears(1)).toEqual(["answer"]);
    expect(origin.heard).toHaveLength(1);
    jump(2000);
    expect(made.open).toBe(0);
    expect(codes(over)).toEqual([null]);
  });

  test("a session that is drained before its answer came says nothing about its endpoint", async () => {
    const origin = await DatagramPeer.open();
    const upstream = upstreamOf([endpointOf(origin), endpointOf(await DatagramPeer.open())], {
      parts: { passive: passive() },
    });
    const { port, relay: made, over } = relay({ to: upstream, responses: 1 });
    (await DatagramPeer.open()).send("?", port);
    await until(() => upstream.endpoints.some(({ inFlight }) => inFlight === 1));
    made.drain();
    jump(2000);
    expect(codes(over)).toEqual([null]);
    expect(upstream.endpoints.map(({ state }) => state.status & Status.ejected)).toEqual([0, 0]);
  });

  test("another config keeps the sessions whose endpoint it has", async () => {
    const origin = (await DatagramPeer.open()).echo();
    const upstream = upstreamOf([endpointOf(origin)]);
    const { port, use, relay: made } = relay({ to: upstream });
    const client = await DatagramPeer.open();
    client.send("1", port);
    await client.hears(1);
    use(upstream);
    client.send("2", port);
    await client.hears(2);
    expect(made.open).toBe(1);
    expect(origin.heard[0]!.port).toBe(origin.heard[1]!.port);
  });
});
