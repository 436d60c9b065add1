/** The examples of docs/tcp.md and docs/udp.md are served, and relay as the pages say. What `explain` says is in docs-commands.test.ts. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { randomInt } from "node:crypto";
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import type { AddressInfo, Socket } from "node:net";
import tls from "node:tls";
import { parse } from "yaml";
import { needs, program } from "../src/base/testing.ts";
import { Gateway, type TestConfig } from "./support/gateway.ts";
import { Origin } from "./support/origin.ts";
import { textOf } from "./support/page-reader.ts";
import { CertificateFolder, openssl, opensslPath, shown } from "./support/tls.ts";
import { until } from "./support/until.ts";
import { Wire, WireServer } from "./support/wire.ts";

setDefaultTimeout(60_000);

const examplesOf = (page: string): string[] =>
  [...textOf(page).matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text]) => text!);
const tcp = examplesOf("tcp.md");
const udp = examplesOf("udp.md");

const cleanUps: (() => void)[] = [];
const cleanUp = (): void => {
  for (const clean of cleanUps.splice(0)) clean();
};
afterEach(cleanUp);

/** What is connected goes before the gateway does, which would wait for it. */
const peersFirst = { [Symbol.dispose]: cleanUp };

/** Serves an example on free ports. @param places addresses of the page, and where they are in truth */
function serve(example: string, places: Readonly<Record<string, string>>): Promise<Gateway> {
  let text = example;
  for (const [there, here] of Object.entries(places)) text = text.replaceAll(there, here);
  const config = parse(text) as TestConfig;
  const free = (entries: unknown) =>
    (entries as { listen: string | string[] }[] | undefined)?.map((entry) => ({
      ...entry,
      listen: typeof entry.listen === "string" ? "127.0.0.1:0" : ["127.0.0.1:0", "[::1]:0"],
    }));
  return Gateway.start({ listeners: undefined, ...config, tcp: free(config["tcp"]), udp: free(config["udp"]) });
}

/** Says its name to everybody who comes. */
async function greeter(name: string): Promise<WireServer> {
  const server = await WireServer.start((wire) => {
    wire.send(name);
    wire.socket.on("end", () => wire.socket.end());
  });
  cleanUps.push(() => server.stop());
  return server;
}

async function come(port: number, from?: string): Promise<Wire> {
  const wire = await Wire.connect(port, from);
  cleanUps.push(() => wire.close());
  return wire;
}

async function greeting(wire: Wire): Promise<string> {
  await until(() => wire.text !== "" || wire.end !== "", "a greeting");
  return wire.text;
}

test("docs/tcp.md: connections are spread, and one that a check finds down gets none", async () => {
  const [first, second] = [await greeter("first"), await greeter("second")];
  const places = { "10.0.0.1:5432": first.address, "10.0.0.2:5432": second.address, "every: 2s": "every: 50ms" };
  await using gateway = await serve(tcp[0]!, places);
  using _peers = peersFirst;
  const port = gateway.portOf("database");
  // The one with fewer open has the next.
  for (let i = 0; i < 3; i++) {
    const pair = [await greeting(await come(port)), await greeting(await come(port))];
    expect(pair.sort()).toEqual(["first", "second"]);
  }
  const gone = first.address;
  first.stop();
  await gateway.says(`an endpoint is down upstream=postgres endpoint=${gone}`);
  for (let i = 0; i < 4; i++) expect(await greeting(await come(port))).toBe("second");
});

needs(program("openssl", opensslPath)).test("docs/tcp.md: the server name decides, and TLS is not ended", async () => {
  const files = new CertificateFolder();
  const sockets = new Set<Socket>();
  const named = (subject: string) =>
    new Promise<string>((resolve) => {
      const server = tls.createServer(files.authority.issue([subject], { subject }));
      server.on("connection", (socket: Socket) => sockets.add(socket));
      server.on("tlsClientError", () => {});
      server.listen(0, "127.0.0.1", () => resolve(`127.0.0.1:${(server.address() as AddressInfo).port}`));
      cleanUps.push(() => {
        for (const socket of sockets) socket.destroy();
        server.close();
      });
    });
  cleanUps.push(() => files.remove());
  const places = {
    "10.0.1.1:443": await named("shop"),
    "10.0.2.1:443": await named("staff"),
    "10.0.3.1:443": await named("others"),
  };
  await using outside = await serve(tcp[1]!, places);
  const who = (gateway: Gateway, name: string | null) => shown(gateway.portOf("tls"), name);
  expect(await who(outside, "shop.example.com")).toBe("shop");
  expect(await who(outside, "a.shop.example.com")).toBe("shop");
  expect(await who(outside, "a.b.shop.example.com")).toBe("others");
  expect(await who(outside, "git.corp.example.com")).toBe("others");
  expect(await who(outside, null)).toBe("others");
  await using inside = await serve(tcp[1]!, { ...places, "10.0.0.0/8": "127.0.0.0/8" });
  expect(await who(inside, "git.corp.example.com")).toBe("staff");
  expect(await who(inside, "a.b.corp.example.com")).toBe("staff");

  // The third example ends TLS, and begins it anew toward one of the two.
  const secured = tls.createServer(files.authority.issue(["redis.internal"]), (socket) => {
    socket.on("error", () => {});
    socket.write(`secured for ${(socket as { servername?: string }).servername}`);
  });
  secured.on("connection", (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => secured.listen(0, "127.0.0.1", resolve));
  cleanUps.push(() => secured.close());
  const { cert, key } = files.put("db", files.authority.issue(["secured.example.com", "db.example.com"]));
  await using gateway = await serve(tcp[2]!, {
    "/etc/lintel/db.pem": cert,
    "/etc/lintel/db.key": key,
    "/etc/lintel/internal-ca.pem": files.file("ca.pem"),
    "10.0.0.1:6379": (await greeter("plain")).address,
    "10.0.0.2:6380": `127.0.0.1:${(secured.address() as AddressInfo).port}`,
  });
  using _peers = peersFirst;
  const port = gateway.portOf("redis");
  const heard = (servername: string) =>
    new Promise<[string, string | false | null]>((resolve, reject) => {
      const options = { port, host: "127.0.0.1", servername, ca: files.authority.cert, ALPNProtocols: ["redis"] };
      const socket = tls.connect(options);
      cleanUps.push(() => socket.destroy());
      socket.on("data", (octets: Buffer) => resolve([octets.toString(), socket.alpnProtocol]));
      socket.on("error", reject);
    });
  expect(await heard("db.example.com")).toEqual(["plain", "redis"]);
  expect(await heard("secured.example.com")).toEqual(["secured for redis.internal", "redis"]);
  expect(await openssl(port, ["-tls1_2", "-servername", "db.example.com"])).toContain("Cipher is (NONE)");
});

test("docs/tcp.md: who the client is comes in one PROXY header and goes on in another", async () => {
  const servers = [await greeter("web"), await greeter("web")];
  const places = { "10.0.0.11:8080": servers[0]!.address, "10.0.0.12:8080": servers[1]!.address };
  await using gateway = await serve(tcp[3]!, { ...places, "192.0.2.0/24": "127.0.0.0/8" });
  using _peers = peersFirst;
  const client = await come(gateway.portOf("edge"));
  client.send("PROXY TCP4 192.0.2.9 198.51.100.1 5555 8080\r\nhello");
  expect(await greeting(client)).toBe("web");
  const wires = () => servers.flatMap(({ wires }) => wires);
  await until(() => wires().some(({ text }) => text.includes("hello")), "the header and what comes after it");
  const { octets } = wires().find(({ text }) => text.includes("hello"))!;
  expect(octets.subarray(0, 12).toString("latin1")).toBe("\r\n\r\n\0\r\nQUIT\n");
  expect([...octets.subarray(16, 24)]).toEqual([192, 0, 2, 9, 198, 51, 100, 1]);
  expect(octets.toString("latin1")).toEndWith("hello");
});

test("docs/tcp.md: limits and times", async () => {
  const mail = await greeter("220 mail");
  const places = { "10.0.0.5:25": mail.address, "maxPerClient: 20": "maxPerClient: 2" };
  await using gateway = await serve(tcp[4]!, places);
  using _peers = peersFirst;
  const port = gateway.portOf("mail");
  const [one, two] = [await come(port), await come(port)];
  expect([await greeting(one), await greeting(two)]).toEqual(["220 mail", "220 mail"]);
  expect(await greeting(await come(port))).toBe("");
  expect(await greeting(await come(port, "127.0.0.7"))).toBe("220 mail");
  one.close();
  await until(async () => (await greeting(await come(port))) === "220 mail", "there is room again");

  await using hasty = await serve(tcp[4]!, { "10.0.0.5:25": mail.address, "idle: 10m": "idle: 1s" });
  using _others = peersFirst;
  const idle = await come(hasty.portOf("mail"));
  expect(await greeting(idle)).toBe("220 mail");
  await idle.ended();
});

/** A peer of UDP. */
class Peer {
  readonly heard: string[] = [];
  readonly #socket: DatagramSocket;

  private constructor(socket: DatagramSocket) {
    this.#socket = socket;
    socket.on("error", () => {});
    cleanUps.push(() => socket.close());
  }

  /** @param name what it answers to everything; without, it asks */
  static async open(place: { host?: string; port?: number } = {}, name?: string): Promise<Peer> {
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => socket.bind(place.port ?? 0, place.host ?? "127.0.0.1", resolve));
    const peer = new Peer(socket);
    socket.on("message", (octets, { port, address }) => {
      peer.heard.push(octets.toString());
      if (name !== undefined) socket.send(name, port, address);
    });
    return peer;
  }

  get address(): string {
    const { address, port } = this.#socket.address();
    return `${address}:${port}`;
  }

  say(port: number): void {
    this.#socket.send("hello", port, "127.0.0.1");
  }

  /** Says it until somebody answers: a datagram may be lost. */
  async ask(port: number): Promise<string> {
    const before = this.heard.length;
    let looks = 0;
    await until(() => {
      if (looks++ % 100 === 0) this.say(port);
      return this.heard.length > before;
    }, "an answer");
    return this.heard.at(-1)!;
  }
}

test("docs/udp.md: each datagram of DNS has a session of its own, and DNS over TCP goes to the same endpoints", async () => {
  const places: Record<string, string> = {};
  const names = { "10.0.0.1:53": "first", "10.0.0.2:53": "second" };
  for (const [there, name] of Object.entries(names)) {
    // The check is made by TCP at the same port.
    const door = await Origin.start({ host: `127.${randomInt(1, 255)}.${randomInt(1, 255)}.7`, port: 0 });
    door.script = (request) => request.reply({ content: name });
    cleanUps.push(() => door.stop());
    const [host, port] = door.address.split(":") as [string, string];
    await Peer.open({ host, port: Number(port) }, name);
    places[there] = door.address;
  }
  await using gateway = await serve(udp[0]!, places);
  using _peers = peersFirst;
  const client = await Peer.open();
  const answers = new Set<string>();
  await until(
    async () => answers.add(await client.ask(Number(new URL(gateway.url("udp://")).port))).size === 2,
    "answers of both",
  );
  expect(answers).toEqual(new Set(["first", "second"]));
  const answer = await fetch(`http://127.0.0.1:${gateway.portOf("dns-tcp")}/`);
  expect(["first", "second"]).toContain(await answer.text());
});

test("docs/udp.md: the first route for the client's address takes it", async () => {
  const [office, others] = [await Peer.open({}, "office"), await Peer.open({}, "others")];
  const places = { "10.0.0.7:5060": office.address, "10.0.0.8:5060": others.address, "192.0.2.0/24": "127.0.0.7/32" };
  await using gateway = await serve(udp[1]!, places);
  using _peers = peersFirst;
  const port = gateway.portOf("phones");
  expect(await (await Peer.open({ host: "127.0.0.7" })).ask(port)).toBe("office");
  expect(await (await Peer.open({ host: "127.0.0.8" })).ask(port)).toBe("others");
});

test("docs/udp.md: a session stays with its endpoint, and a client may have so many", async () => {
  const [first, second] = [await Peer.open({}, "first"), await Peer.open({}, "second")];
  const places = {
    "10.0.0.1:27015": first.address,
    "10.0.0.2:27015": second.address,
    "idle: 30s": "idle: 10m",
    "maxPerClient: 50": "maxPerClient: 4",
  };
  await using gateway = await serve(udp[2]!, places);
  using _peers = peersFirst;
  const port = gateway.portOf("game");
  const players = await Promise.all(Array.from({ length: 4 }, () => Peer.open()));
  const own: string[] = [];
  for (const player of players) own.push(await player.ask(port));
  expect(new Set(own)).toEqual(new Set(["first", "second"]));
  for (const [i, player] of players.entries())
    for (let again = 0; again < 4; again++) expect(await player.ask(port)).toBe(own[i]!);

  // One too many is dropped and counted; another client has room.
  const late = await Peer.open();
  const dropped = async () => {
    late.say(port);
    const samples = [...(await gateway.metrics())];
    return samples.some(([name, value]) => name.startsWith("lintel_udp_dropped_datagrams_total{") && value > 0);
  };
  await until(dropped, "a datagram is dropped");
  expect(late.heard).toEqual([]);
  expect(["first", "second"]).toContain(await (await Peer.open({ host: "127.0.0.9" })).ask(port));
});
