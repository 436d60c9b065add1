/** UDP through the whole program: a real DNS server, several workers, floods, dead endpoints, reload, drain. */
import { afterAll, describe, expect, test } from "bun:test";
import { createSocket, type Socket } from "node:dgram";
import { promises as dns } from "node:dns";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../src/acme/testing.ts";
import { needs, program } from "../../src/base/testing.ts";
import { Gateway, type TestConfig } from "../support/gateway.ts";
import { until } from "../support/until.ts";

const sockets: Socket[] = [];
afterAll(() => {
  for (const socket of sockets) socket.close();
});

/** A peer, and what it has heard. */
class Peer {
  readonly heard: string[] = [];
  /** Ports that datagrams came from. */
  readonly ports: number[] = [];

  private constructor(readonly socket: Socket) {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("message", (octets, { port }) => {
      this.heard.push(octets.toString());
      this.ports.push(port);
    });
  }

  /** @param answers what it says to each datagram; null: nothing */
  static async open(answers: ((text: string) => string | null) | null = null): Promise<Peer> {
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
    const peer = new Peer(socket);
    socket.on("message", (octets, { port, address }) => {
      const answer = answers?.(octets.toString()) ?? null;
      if (answer !== null) socket.send(answer, port, address);
    });
    return peer;
  }

  get address(): string {
    return `127.0.0.1:${this.socket.address().port}`;
  }

  send(text: string, port: number): void {
    this.socket.send(text, port, "127.0.0.1");
  }

  /** Says it until somebody answers: a datagram may be lost, and that is no fault. */
  async ask(text: string, port: number): Promise<string> {
    const before = this.heard.length;
    let said = 0;
    await until(() => {
      if (said++ % 40 === 0) this.send(text, port);
      return this.heard.length > before;
    }, `an answer to ${text}`);
    return this.heard[before]!;
  }
}

const relaying = (udp: TestConfig, more: TestConfig = {}): TestConfig => ({
  listeners: undefined,
  udp: [{ name: "in", listen: "127.0.0.1:0", ...udp }],
  ...more,
});

const echoing = (name: string) => Peer.open((text) => `${name}:${text}`);

async function reload(gateway: Gateway, config: TestConfig): Promise<void> {
  const telemetry = { accessLog: { format: "json", output: join(gateway.directory, "access.log"), flush: "10ms" } };
  const whole = { workers: 1, admin: { address: "127.0.0.1:0" }, telemetry, ...config };
  writeFileSync(join(gateway.directory, "lintel.json"), JSON.stringify(whole));
  const before = gateway.output.split("is in force").length;
  gateway.signal("SIGHUP");
  await until(
    () => gateway.output.split("is in force").length > before,
    () => `a reload:\n${gateway.output}`,
  );
}

needs(program("dnsmasq")).describe("DNS", () => {
  test("is answered through two workers by a real server, over UDP and over TCP beside it", async () => {
    const port = await freePort();
    const server = Bun.spawn(
      [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-hosts",
        "--no-resolv",
        "--pid-file=",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        `--port=${port}`,
        "--address=/a.test/192.0.2.7",
        ...Array.from({ length: 40 }, (_, i) => `--txt-record=large.test,${"x".repeat(200)}${i}`),
        ...(process.getuid?.() === 0 ? ["--user=root"] : []),
      ],
      { stdio: ["ignore", "ignore", "ignore"], env: { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` } },
    );
    try {
      await using gateway = await Gateway.start({
        ...relaying({ responses: 1, to: `127.0.0.1:${port}` }, { workers: 2 }),
        tcp: [{ name: "tcp", listen: "127.0.0.1:0", to: `127.0.0.1:${port}` }],
      });
      const resolver = new dns.Resolver({ timeout: 2000, tries: 8 });
      resolver.setServers([`127.0.0.1:${gateway.portOf("in")}`]);
      for (let i = 0; i < 30; i++) expect(await resolver.resolve4(`${i}.a.test`)).toEqual(["192.0.2.7"]);
      const lines = await gateway.log(30);
      const line = {
        protocol: "UDP",
        listener: "in",
        route: "in/1",
        attempts: 1,
        outcome: { code: null, phase: "done" },
      };
      for (const one of lines) expect(one).toMatchObject(line);
      const metrics = await gateway.metrics();
      expect(metrics.get('lintel_udp_sessions_active{listener="in"}')).toBe(0);
      expect(metrics.get('lintel_udp_sessions_total{listener="in",route="in/1"}')).toBeGreaterThanOrEqual(30);
      // Over TCP, as a client does whose answer was cut off.
      const { promise, resolve } = Promise.withResolvers<number>();
      const query = Buffer.from(
        "00010100000100000000000005" +
          Buffer.from("large").toString("hex") +
          "04" +
          Buffer.from("test").toString("hex") +
          "0000100001",
        "hex",
      );
      let octets = 0;
      const socket = await Bun.connect({
        hostname: "127.0.0.1",
        port: gateway.portOf("tcp"),
        socket: {
          data(_, piece) {
            octets += piece.length;
            if (octets > 8000) resolve(octets);
          },
        },
      });
      socket.write(Buffer.concat([Buffer.from([query.length >> 8, query.length & 255]), query]));
      expect(await promise).toBeGreaterThan(8000);
      socket.end();
    } finally {
      server.kill();
    }
  }, 60_000);
});

describe("sessions", () => {
  test("keep a client with its endpoint, whichever worker has it", async () => {
    const origins = [await echoing("one"), await echoing("two")];
    const endpoints = origins.map(({ address }) => address);
    await using gateway = await Gateway.start(relaying({ to: endpoints }, { workers: 2 }));
    const port = gateway.portOf("in");
    const names = new Set<string>();
    for (let i = 0; i < 12; i++) {
      const client = await Peer.open();
      const first = (await client.ask("a", port)).split(":")[0]!;
      names.add(first);
      for (const text of ["b", "c"]) {
        const answer = await client.ask(text, port);
        expect(answer.split(":")[0]).toBe(first);
      }
    }
    expect(names).toEqual(new Set(["one", "two"]));
  });

  test("whose endpoint is not there end, and clients get another one; the program goes on", async () => {
    const alive = await echoing("alive");
    const dead = `127.0.0.1:${await freePort()}`;
    const upstreams = {
      app: { endpoints: [dead, alive.address], health: { passive: { failures: 1, ejectFor: "1m" } } },
    };
    await using gateway = await Gateway.start(relaying({ to: "app" }, { upstreams }));
    const { workers } = gateway;
    for (let i = 0; i < 6; i++) expect(await (await Peer.open()).ask("hi", gateway.portOf("in"))).toBe("alive:hi");
    await gateway.says("an endpoint is ejected");
    expect((await gateway.log())[0]).toMatchObject({ endpoint: dead, outcome: { code: "upstream-connect-refused" } });
    expect(gateway.workers).toEqual(workers);
  });

  test("from a flood of ports are bounded, and those that are served go on", async () => {
    const origin = await Peer.open((text) => (text === "flood" ? null : `o:${text}`));
    await using gateway = await Gateway.start(relaying({ to: origin.address, maxSessions: 50 }));
    const port = gateway.portOf("in");
    const client = await Peer.open();
    expect(await client.ask("1", port)).toBe("o:1");
    const sessionPort = origin.ports[0]!;
    const refused = async () =>
      (await gateway.metrics()).get('lintel_udp_failures_total{listener="in",code="too-many-connections"}') ?? 0;
    let most = 0;
    // A busy machine loses datagrams: then more of them make the flood.
    for (let round = 0; round < 10 || (round < 200 && (await refused()) <= 100); round++) {
      const flood = await Promise.all(Array.from({ length: 60 }, () => Peer.open()));
      for (const one of flood) for (let i = 0; i < 5; i++) one.send("flood", port);
      const active = (await gateway.metrics()).get('lintel_udp_sessions_active{listener="in"}')!;
      most = Math.max(most, active);
      for (const one of flood) {
        sockets.splice(sockets.indexOf(one.socket), 1);
        one.socket.close();
      }
    }
    expect(most).toBeLessThanOrEqual(50);
    expect(await client.ask("2", port)).toBe("o:2");
    expect(origin.ports[origin.heard.lastIndexOf("2")]).toBe(sessionPort);
    await gateway.says("make room for new ones");
    expect(await refused()).toBeGreaterThan(100);
  }, 60_000);
});

describe("a reload", () => {
  test("keeps sessions whose endpoint stays, and moves those whose endpoint is gone", async () => {
    const [one, two] = [await echoing("one"), await echoing("two")];
    await using gateway = await Gateway.start(relaying({ to: one.address }));
    const port = gateway.portOf("in");
    const client = await Peer.open();
    expect(await client.ask("a", port)).toBe("one:a");
    await reload(gateway, relaying({ to: one.address, maxSessions: 77 }));
    expect(await client.ask("b", port)).toBe("one:b");
    expect(one.ports[one.heard.indexOf("a")]).toBe(one.ports[one.heard.indexOf("b")]!);
    await reload(gateway, relaying({ to: two.address }));
    expect(await client.ask("c", port)).toBe("two:c");
  });

  test("adds and removes entries", async () => {
    const origin = await echoing("o");
    await using gateway = await Gateway.start(relaying({ to: origin.address }));
    const second = await freePort();
    const more = { name: "more", listen: `127.0.0.1:${second}`, to: origin.address };
    const first = { name: "in", listen: "127.0.0.1:0", to: origin.address };
    await reload(gateway, { listeners: undefined, udp: [first, more] });
    expect(await (await Peer.open()).ask("x", second)).toBe("o:x");
    await reload(gateway, { listeners: undefined, udp: [first] });
    // Its session ends by a short silence; then the port is free.
    await until(async () => {
      const socket = createSocket({ type: "udp4", reuseAddr: false });
      const bound = await new Promise<boolean>((resolve) => {
        socket.once("error", () => resolve(false));
        socket.bind(second, "127.0.0.1", () => resolve(true));
      });
      socket.close();
      return bound;
    }, "the port is free");
    expect(await (await Peer.open()).ask("y", gateway.portOf("in"))).toBe("o:y");
  }, 30_000);
});

describe("the end", () => {
  test("answers on their way still arrive after SIGTERM", async () => {
    const origin = await Peer.open();
    const gateway = await Gateway.start(relaying({ to: origin.address }));
    const client = await Peer.open();
    client.send("slow question", gateway.portOf("in"));
    await until(() => origin.heard.length === 1, "the question");
    gateway.signal("SIGTERM");
    await gateway.says("finishing what is in flight");
    origin.send("answer", origin.ports[0]!);
    await until(() => client.heard.includes("answer"), "the answer");
    expect(await gateway.exited(20_000)).toBe(0);
    await gateway.stop();
  });

  test("an upgrade hands the socket over", async () => {
    const origin = await echoing("o");
    await using gateway = await Gateway.start(relaying({ to: origin.address }));
    const port = gateway.portOf("in");
    const client = await Peer.open();
    expect(await client.ask("before", port)).toBe("o:before");
    gateway.signal("SIGUSR2");
    await gateway.says("new workers serve", 30_000);
    expect(await client.ask("after", port)).toBe("o:after");
    expect(gateway.portOf("in")).toBe(port);
  }, 60_000);
});
