import { afterEach, describe, expect, test } from "bun:test";
import tls from "node:tls";
import { Authority, type Pair } from "../tls/testing.ts";
import type { Connection } from "./connection.ts";
import { libc } from "./libc.ts";
import { Listener } from "./listener.ts";
import type { TcpConnection } from "./tcp.ts";
import { listening, openSockets, Peer, Recorder, until, wait } from "./testing.ts";
import type { TlsConnection } from "./tls-connection.ts";
import type { TlsAcceptOwner, TlsHandshake } from "./tls-handshake.ts";
import type { HandshakeFacts } from "./tls-handshake-facts.ts";
import type { TlsIdentity } from "./tls-identity.ts";
import { alpnWire, createTlsContext, type TlsContextOptions } from "./tls-runtime.ts";
import { TlsServer, type TlsServerSettings } from "./tls-server.ts";

const authority = new Authority();
const clients = new Authority("Client CA");
const app = authority.issue(["app.test", "127.0.0.1"]);
const other = authority.issue(["other.test"]);

function context({ cert, key }: Pair, more: Partial<TlsContextOptions> = {}) {
  return createTlsContext({
    certificates: [cert],
    keys: [key],
    ca: null,
    crl: null,
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.3",
    ciphers: null,
    groups: null,
    ...more,
  });
}

const identity = (pair: Pair, more: Partial<TlsContextOptions & TlsIdentity> = {}): TlsIdentity => ({
  context: context(pair, more),
  clientCertificate: more.clientCertificate ?? "none",
  alpn: more.alpn,
  rules: "",
});

const closers: (() => void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await wait(5);
});

/** A TLS server on our listener. Every connection gets a `Recorder`, or what `serve` makes. */
function start(more: Partial<TlsServerSettings> = {}, serve?: (connection: TlsConnection) => void) {
  const { fd, address, sockaddr } = listening();
  const server = new TlsServer({
    handshakeTimeoutMs: 2000,
    maxHandshakes: 100,
    choose: ({ serverName }) => (serverName === "refused.test" ? null : appIdentity),
    ...more,
  });
  const failures: string[] = [];
  const faults: unknown[] = [];
  const secured: { connection: TlsConnection; facts: HandshakeFacts; heard: Recorder }[] = [];
  const listener = new Listener(fd, 100_000, {
    onConnection(connection) {
      server.accept(connection, {
        onSecured(connection, facts) {
          const heard = new Recorder();
          connection.handler = heard;
          secured.push({ connection, facts, heard });
          serve?.(connection);
        },
        onHandshakeFailed(_code, reason, serverName) {
          failures.push(serverName === "" ? reason : `${serverName}: ${reason}`);
          listener.released();
        },
        fault: (thrown) => faults.push(thrown),
      });
    },
    onAcceptPaused() {},
    fault: (thrown) => faults.push(thrown),
  });
  listener.start();
  closers.push(() => {
    listener.stop();
    libc.close(fd);
    for (const { connection } of secured) connection.destroy(true);
  });
  const port = address.kind === "tcp" ? address.port : 0;
  return { server, port, sockaddr, failures, faults, secured, listener };
}

const appIdentity = identity(app);

/** Connects with Node's client. */
function connect(port: number, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect(
      { port, host: "127.0.0.1", ca: authority.cert, servername: "app.test", ...options },
      () => resolve(socket),
    );
    socket.on("error", reject);
    closers.push(() => socket.destroy());
  });
}

const ended = (socket: tls.TLSSocket) => new Promise<void>((resolve) => socket.on("close", () => resolve()));

async function text(socket: tls.TLSSocket): Promise<string> {
  let all = "";
  for await (const piece of socket) all += piece;
  return all;
}

describe("a handshake", () => {
  test("gives a connection and the facts of it", async () => {
    const { port, secured } = start({ choose: () => identity(app, { alpn: alpnWire(["h2", "http/1.1"])! }) });
    const socket = await connect(port, { ALPNProtocols: ["http/1.1", "h2"] });
    await until(() => secured.length === 1);
    expect(secured[0]!.facts).toMatchObject({
      version: "TLSv1.3",
      serverName: "app.test",
      alpn: "h2",
      resumed: false,
      clientCertificate: null,
    });
    socket.write("hello");
    const { heard, connection } = secured[0]!;
    await until(() => heard.text === "hello");
    connection.writeText("good ");
    connection.write(Buffer.from("bye"));
    connection.close(false);
    expect(await text(socket)).toBe("good bye");
  });

  test("is TLS 1.2 if the client has no other", async () => {
    const { port, secured } = start();
    await connect(port, { maxVersion: "TLSv1.2" });
    await until(() => secured.length === 1);
    expect(secured[0]!.facts.version).toBe("TLSv1.2");
  });

  test("without a protocol in common is refused (RFC 7301 §3.2)", async () => {
    const { port, failures } = start({ choose: () => identity(app, { alpn: alpnWire(["http/1.1"])! }) });
    await expect(connect(port, { ALPNProtocols: ["foo"] })).rejects.toThrow();
    await until(() => failures.length === 1);
    expect(failures).toEqual(["app.test: no application protocol in common (ALPN)"]);
  });

  test("chooses by the server name, which is told without regard to case", async () => {
    const chosen: (string | null)[] = [];
    const { port } = start({
      choose: ({ serverName }) => {
        chosen.push(serverName);
        return serverName === "other.test" ? identity(other) : appIdentity;
      },
    });
    const one = await connect(port, { servername: "OTHER.test" });
    expect(one.getPeerCertificate().subject.CN).toBe("other.test");
    const two = await connect(port);
    expect(two.getPeerCertificate().subject.CN).toBe("app.test");
    expect(chosen).toEqual(["other.test", "app.test"]);
  });

  test("for a name without a certificate is refused with unrecognized_name (RFC 6066 §3)", async () => {
    const { port, failures } = start();
    await expect(connect(port, { servername: "refused.test" })).rejects.toThrow(/unrecognized.name/i);
    expect(failures).toEqual(["refused.test: no certificate for the server name"]);
  });

  test("below the version of a name is refused, above it is not", async () => {
    const { port, failures } = start({ choose: () => identity(app, { minVersion: "TLSv1.3" }) });
    await expect(connect(port, { maxVersion: "TLSv1.2" })).rejects.toThrow();
    await until(() => failures.length === 1);
    expect(failures).toEqual(["app.test: no TLS version in common"]);
    await connect(port);
  });

  test("uses the certificate whose kind the client knows, of two for one name", async () => {
    const rsa = authority.issue(["app.test"], { kind: "rsa" });
    const { port, secured } = start({
      choose: () => identity(app, { certificates: [rsa.cert, app.cert], keys: [rsa.key, app.key] }),
    });
    const tls12 = { maxVersion: "TLSv1.2" } as const;
    await connect(port, { ...tls12, ciphers: "ECDHE-RSA-AES128-GCM-SHA256" });
    await connect(port, { ...tls12, ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" });
    const usual = await connect(port);
    await until(() => secured.length === 3);
    expect(secured.slice(0, 2).map(({ facts }) => facts.cipher)).toEqual([
      "ECDHE-RSA-AES128-GCM-SHA256",
      "ECDHE-ECDSA-AES128-GCM-SHA256",
    ]);
    expect(usual.getPeerX509Certificate()?.publicKey.asymmetricKeyType).toBe("ec");
  });

  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    test(`is resumed within a context, and never in another one (${maxVersion})`, async () => {
      let current = identity(app);
      const { port, secured } = start({ choose: () => current }, (connection) => connection.writeText("x"));
      const session = async (session?: Buffer) => {
        let newest: Buffer | undefined;
        const socket = tls.connect({
          port,
          host: "127.0.0.1",
          ca: authority.cert,
          servername: "app.test",
          maxVersion,
          ...(session === undefined ? {} : { session }),
        });
        socket.on("session", (it: Buffer) => {
          newest = it;
        });
        await new Promise((resolve) => socket.once("data", resolve));
        socket.destroy();
        return newest ?? session!;
      };
      const first = await session();
      const second = await session(first);
      current = identity(app);
      await session(second);
      await until(() => secured.length === 3);
      expect(secured.map(({ facts }) => facts.resumed)).toEqual([false, true, false]);
    });
  }
});

describe("a client certificate", () => {
  const required = (more: Partial<TlsContextOptions> = {}) =>
    identity(app, { ca: clients.cert, clientCertificate: "required", ...more });
  const alice = clients.issue([], { subject: "alice", use: "client", serial: 5 });
  const stranger = authority.issue([], { subject: "stranger", use: "client" });

  test("that is required and trusted is described", async () => {
    const { port, secured } = start({ choose: () => required() });
    await connect(port, alice);
    await until(() => secured.length === 1);
    expect(secured[0]!.facts.clientCertificate).toMatchObject({
      subject: "CN=alice",
      issuer: "CN=Client CA",
      serial: "05",
      distrust: "",
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
      pem: expect.stringContaining("BEGIN CERTIFICATE"),
    });
  });

  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    test(`that is required and missing ends the handshake (${maxVersion})`, async () => {
      const { port, failures, secured } = start({ choose: () => required() });
      await connect(port, { maxVersion }).then(ended, () => {});
      await until(() => failures.length === 1);
      expect(failures).toEqual(["app.test: no client certificate was sent"]);
      expect(secured).toEqual([]);
    });

    test(`that is required and of a stranger ends the handshake (${maxVersion})`, async () => {
      const { port, failures, secured } = start({ choose: () => required() });
      await connect(port, { ...stranger, maxVersion }).then(ended, () => {});
      await until(() => failures.length === 1);
      expect(failures).toEqual([expect.stringMatching(/^app.test: the client certificate was refused: the CA/)]);
      expect(secured).toEqual([]);
    });
  }

  test("that is expired, not valid yet, or meant for servers is refused", async () => {
    const { port, failures } = start({ choose: () => required() });
    for (const wish of [{ until: -0.5 }, { from: 1 }, { use: "server" as const }])
      await connect(port, clients.issue([], { use: "client", ...wish })).then(ended, () => {});
    await until(() => failures.length === 3);
    expect(failures.map((text) => text.slice(text.lastIndexOf(": ") + 2))).toEqual([
      "the certificate has expired",
      "the certificate is not valid yet",
      "the certificate is not meant for this use",
    ]);
  });

  test("that is revoked is refused, another one of the CA is not (RFC 5280 §5)", async () => {
    const { port, failures, secured } = start({ choose: () => required({ crl: clients.revoke(5, 6) }) });
    await connect(port, alice).then(ended, () => {});
    await connect(port, clients.issue([], { use: "client", serial: 7 }));
    await until(() => failures.length + secured.length === 2);
    expect(failures).toEqual(["app.test: the client certificate was refused: the certificate is revoked"]);
  });

  test("that is optional may be missing, and a stranger's is told with what is wrong", async () => {
    const { port, secured } = start({
      choose: () => identity(app, { ca: clients.cert, clientCertificate: "optional" }),
    });
    await connect(port);
    await connect(port, stranger);
    await connect(port, alice);
    await until(() => secured.length === 3);
    expect(secured.map(({ facts }) => facts.clientCertificate?.distrust)).toEqual([
      undefined,
      expect.stringContaining("the CA of the certificate"),
      "",
    ]);
  });

  test("is known in a resumed session too", async () => {
    const one = required();
    const { port, secured } = start({ choose: () => one }, (connection) => connection.writeText("x"));
    const go = async (session?: Buffer) => {
      const socket = await connect(port, { ...alice, ...(session === undefined ? {} : { session }) });
      const newest = await new Promise<Buffer>((resolve) => socket.once("session", resolve));
      socket.destroy();
      return newest;
    };
    await go(await go());
    await until(() => secured.length === 2);
    expect(secured[1]!.facts).toMatchObject({
      resumed: true,
      clientCertificate: { subject: "CN=alice", distrust: "" },
    });
  });

  test("session does not open a name that wants another CA's certificates", async () => {
    const first = required();
    const second = identity(app, { ca: authority.cert, clientCertificate: "required" });
    const { port, failures, secured } = start(
      {
        choose: ({ serverName }) => (serverName === "other.test" ? second : first),
      },
      (connection) => connection.writeText("x"),
    );
    const socket = await connect(port, alice);
    const session = await new Promise<Buffer>((resolve) => socket.once("session", resolve));
    await connect(port, { session, servername: "other.test", rejectUnauthorized: false }).then(ended, () => {});
    await until(() => failures.length === 1);
    expect(secured.length).toBe(1);
  });
});

describe("what is not a handshake", () => {
  const cases: [string, Buffer | string, string][] = [
    ["plain HTTP", "GET / HTTP/1.1\r\n\r\n", "the client speaks plain HTTP"],
    ["garbage", Buffer.alloc(300, 0xee), "the client does not speak TLS"],
    ["an alert", Buffer.from([21, 3, 3, 0, 2, 2, 40]), "the client sent an alert instead of a ClientHello"],
    ["SSL 2", Buffer.from("802e0103010015000000", "hex"), "the client does not speak TLS"],
    ["a record that is too long", Buffer.from([22, 3, 1, 0x40, 1, 1]), "a record is longer than TLS allows"],
    ["another message", Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0]), "the first message is not a ClientHello"],
  ];
  for (const [what, octets, reason] of cases) {
    test(`${what} is refused: ${reason}`, async () => {
      const { sockaddr, failures, server } = start();
      using peer = new Peer(sockaddr);
      peer.send(octets);
      await peer.receiveAll();
      expect(failures).toEqual([reason]);
      expect(server.open).toBe(0);
    });
  }

  test("nothing at all ends by the time limit", async () => {
    const { sockaddr, failures } = start({ handshakeTimeoutMs: 50 });
    using peer = new Peer(sockaddr);
    expect((await peer.receiveAll()).end).toBe("end");
    expect(failures).toEqual(["it took too long"]);
  });

  test("a ClientHello and then nothing ends by the time limit", async () => {
    const { sockaddr, failures } = start({ handshakeTimeoutMs: 100 });
    using peer = new Peer(sockaddr);
    peer.send(await clientHello());
    expect((await peer.receiveAll()).end).toBe("end");
    expect(failures).toEqual(["app.test: it took too long"]);
  });

  test("a client that leaves at any octet of the handshake costs nothing that stays", async () => {
    const { sockaddr, failures, server, faults, secured } = start();
    const hello = await clientHello();
    const before = openSockets();
    for (let length = 1; length < hello.length + 40; length += 7) {
      const peer = new Peer(sockaddr);
      peer.send(Buffer.concat([hello, Buffer.alloc(40, 0x14)]).subarray(0, length));
      if (length % 2 === 0) await wait(1);
      if (length % 3 === 0) peer.reset();
      else peer.close();
    }
    await until(() => server.open === 0 && failures.length >= hello.length / 7);
    await until(() => openSockets() <= before);
    expect(faults).toEqual([]);
    expect(secured).toEqual([]);
  });

  test("a ClientHello in pieces of any size is understood", async () => {
    for (const size of [1, 7, 100]) {
      const { sockaddr, server, failures } = start();
      using peer = new Peer(sockaddr);
      const hello = await clientHello();
      for (let at = 0; at < hello.length; at += size) {
        peer.send(hello.subarray(at, at + size));
        if (at % 50 === 0) await wait(1);
      }
      await until(() => peer.receive() !== "");
      expect(failures).toEqual([]);
      expect(server.handshakes).toBe(1);
    }
  });

  test("garbage after the ClientHello fails the handshake", async () => {
    const { sockaddr, failures } = start();
    using peer = new Peer(sockaddr);
    peer.send(await clientHello());
    await until(() => peer.receive() !== "");
    peer.send(Buffer.alloc(100, 0x30));
    await peer.receiveAll();
    expect(failures.length).toBe(1);
  });
});

describe("limits", () => {
  test("handshakes beyond the limit wait, and are done in turn", async () => {
    const { port, sockaddr, server, secured, failures } = start({ maxHandshakes: 2 });
    using first = new Peer(sockaddr);
    using second = new Peer(sockaddr);
    using silent = new Peer(sockaddr);
    await until(() => server.open === 3);
    expect([server.handshakes, silent.receive()]).toEqual([0, ""]);
    for (const peer of [first, second]) peer.send(await clientHello());
    await until(() => server.handshakes === 2);
    const third = connect(port);
    await until(() => server.waiting === 1);
    first.close();
    await third;
    await until(() => secured.length === 1);
    expect(failures).toEqual([
      expect.stringMatching(/^app.test: the (client closed the connection|connection was lost)/),
    ]);
    second.close();
    await until(() => server.handshakes === 0);
  });

  test("clients that begin handshakes and do not go on make room for those that wait", async () => {
    const { port, sockaddr, server, failures } = start({ maxHandshakes: 2, handshakeTimeoutMs: 3_600_000 });
    using first = new Peer(sockaddr);
    using second = new Peer(sockaddr);
    for (const peer of [first, second]) peer.send(await clientHello());
    await until(() => server.handshakes === 2);
    await connect(port);
    expect(failures).toContain("app.test: others waited for its place");
    // Nobody waits any more: the other may stay.
    await until(() => server.open === 1);
    expect(failures).toHaveLength(1);
  });

  test("who waits for a certificate that has yet to be got holds up nobody", async () => {
    const { promise, resolve } = Promise.withResolvers<TlsIdentity | null>();
    const { port, server, secured, failures } = start({
      maxHandshakes: 1,
      choose: ({ serverName }) => (serverName === "www.app.test" ? promise : appIdentity),
    });
    const waiting = connect(port, { servername: "www.app.test", rejectUnauthorized: false });
    await until(() => server.open === 1 && server.handshakes === 0);
    await connect(port);
    await until(() => secured.length === 1);
    resolve(appIdentity);
    await waiting;
    await until(() => secured.length === 2);
    expect([server.open, failures]).toEqual([0, []]);
  });

  test.each<[string, () => Promise<null>, string]>([
    ["there is none", () => Promise.resolve(null), "www.app.test: no certificate for the server name"],
    ["it fails", () => Promise.reject(new Error("no CA answers")), "www.app.test: no CA answers"],
  ])("who waited for a certificate is told if %s", async (_, choose, failure) => {
    const { port, server, failures } = start({ choose });
    await expect(connect(port, { servername: "www.app.test" })).rejects.toThrow();
    await until(() => failures.length === 1);
    expect([failures, server.open]).toEqual([[failure], 0]);
  });

  test("who leaves while it waits for a certificate leaves nothing", async () => {
    const { promise, resolve } = Promise.withResolvers<TlsIdentity | null>();
    const { sockaddr, server, failures } = start({ choose: () => promise, handshakeTimeoutMs: 60_000 });
    const peer = new Peer(sockaddr);
    peer.send(await clientHello());
    await until(() => server.open === 1);
    await until(() => server.handshakes === 0);
    server.cancelAll();
    peer.close();
    resolve(appIdentity);
    await promise;
    expect([server.open, failures]).toEqual([0, []]);
  });

  test("all can be called off, those that wait too, and nobody hears of it", async () => {
    const before = openSockets();
    const { sockaddr, server, failures, listener } = start({ maxHandshakes: 2 });
    const peers = Array.from({ length: 5 }, () => new Peer(sockaddr));
    const hello = await clientHello();
    peers[0]!.send(hello.subarray(0, 50));
    for (const peer of peers.slice(1)) peer.send(hello);
    await until(() => server.handshakes === 2 && server.waiting === 2 && server.open === 5);
    server.cancelAll();
    expect([server.open, server.handshakes, server.waiting]).toEqual([0, 0, 0]);
    for (const peer of peers) {
      expect((await peer.receiveAll()).end).not.toBe("");
      peer.close();
    }
    expect(failures).toEqual([]);
    listener.stop();
    await until(() => openSockets() <= before + 1);
  });

  test("contexts are swapped under load and no handshake fails", async () => {
    let current = identity(app);
    const { port, secured, failures, faults } = start(
      { choose: () => current },
      (connection) => (connection.handler = new Echo(connection)),
    );
    let swapping = true;
    let swaps = 0;
    const swapper = (async () => {
      while (swapping) {
        for (let i = 0; i < 20; i++, swaps++) current = identity(swaps % 2 === 0 ? app : other);
        await wait(1);
      }
    })();
    const client = async () => {
      for (let i = 0; i < 25; i++) {
        const socket = await connect(port, { checkServerIdentity: () => undefined });
        socket.end("over and out");
        expect(await text(socket)).toBe("over and out");
      }
    };
    await Promise.all([client(), client(), client(), client()]);
    swapping = false;
    await swapper;
    expect({ secured: secured.length, failures, faults }).toEqual({ secured: 100, failures: [], faults: [] });
    expect(swaps).toBeGreaterThan(100);
  }, 30_000);
});

/** Sends back what comes, and ends when the peer does. */
class Echo extends Recorder {
  constructor(readonly connection: Connection) {
    super();
  }

  override onOctets(room: Buffer, length: number): void {
    this.connection.write(room.subarray(0, length));
    if (this.connection.full) this.connection.pause();
  }

  override onRoom(): void {
    this.connection.resume();
  }

  override onPeerEnd(): void {
    this.connection.close(false);
  }
}

let recorded: Buffer | null = null;

/** What Node's client sends first. */
async function clientHello(): Promise<Buffer> {
  if (recorded !== null) return recorded;
  const { fd, address } = listening();
  const socket = tls.connect({ port: (address as { port: number }).port, host: "127.0.0.1", servername: "app.test" });
  socket.on("error", () => {});
  const peer = await Peer.accept(fd);
  let octets: ReturnType<Peer["receive"]> = "";
  await until(() => typeof (octets = peer.receive()) !== "string");
  socket.destroy();
  peer.close();
  libc.close(fd);
  recorded = octets as unknown as Buffer;
  return recorded;
}

/** Connections that are not there: of real ones a machine does not give as many. */
class Crowd implements TlsAcceptOwner {
  failures: string[] = [];

  join(server: TlsServer, count: number, hello: Buffer): TlsHandshake[] {
    return Array.from({ length: count }, () => server.accept(noConnection(), this, hello));
  }

  onSecured(): void {}
  onHandshakeFailed(code: string): void {
    this.failures.push(code);
  }
  fault(thrown: unknown): void {
    throw thrown;
  }
}

const noConnection = () =>
  ({ handler: null, pause() {}, write() {}, close() {}, destroy() {} }) as unknown as TcpConnection;

test("ten thousand that wait and get no certificate all end at once, one after the other", async () => {
  const choose = () => null;
  const server = new TlsServer({ handshakeTimeoutMs: 10_000, maxHandshakes: 0, choose });
  const crowd = new Crowd();
  crowd.join(server, 10_000, await clientHello());
  expect([server.waiting, crowd.failures.length]).toEqual([10_000, 0]);
  server.settings = { ...server.settings, maxHandshakes: 1 };
  expect([server.open, server.handshakes, server.waiting]).toEqual([0, 0, 0]);
  expect(crowd.failures).toHaveLength(10_000);
});

test("a certificate that comes after its handshake has ended is nobody's", async () => {
  const { promise, resolve } = Promise.withResolvers<null>();
  const server = new TlsServer({ handshakeTimeoutMs: 10_000, maxHandshakes: 1, choose: () => promise });
  const crowd = new Crowd();
  const [first] = crowd.join(server, 2, await clientHello());
  first!.cancel();
  resolve(null);
  await Promise.resolve();
  expect(crowd.failures).toEqual(["unknown-name"]);
  expect([server.open, server.handshakes, server.waiting]).toEqual([0, 0, 0]);
});
