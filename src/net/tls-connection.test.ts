/** What `Connection` promises, over TLS; both ends are ours unless the test is about what is on the wire. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import tls from "node:tls";
import { Authority } from "../tls/testing.ts";
import { encodeSockaddr } from "./address.ts";
import type { UnseenOctets } from "./connection.ts";
import { libc } from "./libc.ts";
import { Listener } from "./listener.ts";
import { queuedOctets } from "./send-queue.ts";
import { listening, openSockets, pass, pair as plainPair, Recorder, until, wait } from "./testing.ts";
import { type OriginFacts, type TlsClientSettings, TlsConnecting, TlsSessions } from "./tls-client.ts";
import type { TlsConnection } from "./tls-connection.ts";
import { createTlsContext, type TlsContext } from "./tls-runtime.ts";
import { TlsServer } from "./tls-server.ts";

const authority = new Authority();
const app = authority.issue(["app.test"]);
const options = { ca: null, crl: null, minVersion: "TLSv1.2", ciphers: null, groups: null } as const;
const versions = ["TLSv1.2", "TLSv1.3"] as const;

const clientContext = createTlsContext({
  ...options,
  certificates: [],
  keys: [],
  ca: authority.cert,
  maxVersion: "TLSv1.3",
});

const closers: (() => void)[] = [];
/** Whatever else runs in this process counts as well. */
let queuedBefore = 0;
beforeEach(() => {
  queuedBefore = queuedOctets();
});
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await until(() => queuedOctets() <= queuedBefore, "nothing is queued any more");
  expect(queuedOctets()).toBe(queuedBefore);
});

interface End {
  readonly connection: TlsConnection;
  readonly heard: Recorder;
}

function serve(context: TlsContext, onSecured: (end: End) => void) {
  const { fd, address, sockaddr } = listening();
  const server = new TlsServer({
    handshakeTimeoutMs: 5000,
    maxHandshakes: 100,
    choose: () => ({ context, clientCertificate: "none", alpn: undefined, rules: "" }),
  });
  const listener = new Listener(fd, 100_000, {
    onConnection(connection) {
      server.accept(connection, {
        onSecured(connection) {
          const heard = new Recorder();
          connection.handler = heard;
          onSecured({ connection, heard });
        },
        onHandshakeFailed() {},
        fault(thrown) {
          throw thrown;
        },
      });
    },
    onAcceptPaused() {},
    fault(thrown) {
      throw thrown;
    },
  });
  listener.start();
  closers.push(() => {
    listener.stop();
    libc.close(fd);
  });
  return { address, sockaddr };
}

const clientSettings: TlsClientSettings = {
  context: clientContext,
  verify: true,
  pins: [],
  alpn: undefined,
  handshakeTimeoutMs: 5000,
};

function dial(sockaddr: Uint8Array, sessions: TlsSessions | null = null): Promise<End & { facts: OriginFacts }> {
  return new Promise((resolve, reject) => {
    new TlsConnecting(sockaddr, 2000, "app.test", clientSettings, sessions, {
      onConnected(connection, facts) {
        const heard = new Recorder();
        connection.handler = heard;
        resolve({ connection, heard, facts });
      },
      onConnectFailed: reject,
      onHandshakeFailed: reject,
      fault: reject,
    });
  });
}

/** Two ends of one connection. */
async function pair(maxVersion: "TLSv1.2" | "TLSv1.3" = "TLSv1.3"): Promise<{ near: End; far: End }> {
  const context = createTlsContext({ ...options, certificates: [app.cert], keys: [app.key], maxVersion });
  const { promise, resolve } = Promise.withResolvers<End>();
  const { sockaddr } = serve(context, resolve);
  const far = await dial(sockaddr);
  const near = await promise;
  closers.push(() => {
    near.connection.destroy(true);
    far.connection.destroy(true);
  });
  return { near, far };
}

for (const version of versions) {
  describe(version, () => {
    test("octets go both ways, and are counted", async () => {
      const { near, far } = await pair(version);
      far.connection.writeText("question");
      await until(() => near.heard.text === "question");
      near.connection.write(Buffer.from("answer"));
      await until(() => far.heard.text === "answer");
      expect(near.connection).toMatchObject({ octetsIn: 8, octetsOut: 6, full: false, unsent: 0, open: true });
    });

    test("our end of writing is the peer's end, and reading goes on", async () => {
      const { near, far } = await pair(version);
      near.connection.writeText("last words");
      near.connection.endWriting();
      await until(() => far.heard.events.includes("end"));
      expect(far.heard.text).toBe("last words");
      far.connection.writeText("late");
      await until(() => near.heard.text === "late");
      far.connection.endWriting();
      await until(() => near.heard.events.includes("end"));
      await wait(10);
      expect([near.heard.events, far.heard.events]).toEqual([
        ["octets", "end"],
        ["octets", "end"],
      ]);
      near.connection.close(false);
      far.connection.close(false);
    });

    test("close sends everything that is queued first", async () => {
      const { near, far } = await pair(version);
      const content = Buffer.alloc(12_000_000, "0123456789abcdef!");
      far.connection.pause();
      near.connection.write(content);
      near.connection.close(false);
      await wait(20);
      far.connection.resume();
      await until(() => far.heard.events.includes("end"), "the end", 10_000);
      expect(far.heard.text.length).toBe(content.length);
      expect(Buffer.concat(far.heard.pieces).equals(content)).toBe(true);
    });

    test("a reset is a loss at the other end, and says no close_notify", async () => {
      const { near, far } = await pair(version);
      near.connection.writeText("half of the con");
      near.connection.flush();
      await until(() => far.heard.text !== "");
      near.connection.destroy(true);
      await until(() => far.heard.events.length > 1);
      expect(far.heard.events).toEqual(["octets", "lost ECONNRESET"]);
      expect(near.heard.events).toEqual([]);
      expect(far.connection.open).toBe(false);
    });
  });
}

test("what the kernel does not take is queued, in order, and room is said once it is gone", async () => {
  const { near, far } = await pair();
  far.connection.pause();
  const pieces = Array.from({ length: 400 }, (_, i) => Buffer.alloc(50_000, 33 + (i % 90)));
  for (const piece of pieces) near.connection.write(piece);
  near.connection.writeText("the end");
  await pass();
  expect(near.connection.full).toBe(true);
  expect(near.connection.unsent).toBe(queuedOctets() - queuedBefore);
  expect(near.connection.octetsOut).toBe(20_000_007);
  far.connection.resume();
  await until(() => near.heard.events.includes("room"), "room", 10_000);
  await until(() => far.connection.octetsIn === 20_000_007, "all", 10_000);
  expect(Buffer.concat(far.heard.pieces).equals(Buffer.concat([...pieces, Buffer.from("the end")]))).toBe(true);
  expect(near.heard.events).toEqual(["room"]);
  expect(near.connection.full).toBe(false);
});

test("small writes of one turn are one record", async () => {
  const context = createTlsContext({ ...options, certificates: [app.cert], keys: [app.key], maxVersion: "TLSv1.2" });
  const { promise, resolve } = Promise.withResolvers<End>();
  const { address } = serve(context, resolve);
  const port = address.kind === "tcp" ? address.port : 0;
  const socket = tls.connect({ port, host: "127.0.0.1", ca: authority.cert, servername: "app.test" });
  const chunks: string[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(String(chunk)));
  const { connection } = await promise;
  connection.writeText("head ");
  connection.write(Buffer.from("content "));
  connection.write(Buffer.from("last chunk"));
  await until(() => chunks.length > 0);
  expect(chunks).toEqual(["head content last chunk"]);
  connection.close(false);
  socket.destroy();
});

test("nothing is heard while paused: not octets, not the end; then all of it in order", async () => {
  const { near, far } = await pair();
  near.connection.pause();
  const content = Buffer.alloc(3_000_000, "abc");
  far.connection.write(content);
  far.connection.endWriting();
  await wait(50);
  expect(near.heard.events).toEqual([]);
  expect(queuedOctets() - queuedBefore).toBeLessThan(3_000_000 + 1);
  near.connection.resume();
  expect(near.heard.events).toEqual([]); // Not from within.
  await until(() => near.heard.events.includes("end"), "the end", 10_000);
  expect(near.heard.events).toEqual(["octets", "end"]);
  expect(Buffer.concat(near.heard.pieces).equals(content)).toBe(true);
});

test("one read at most is held for a paused connection", async () => {
  const { near, far } = await pair();
  near.connection.pause();
  far.connection.write(Buffer.alloc(16_000_000));
  await until(() => far.connection.full);
  await wait(50);
  expect(near.connection.octetsIn).toBeLessThanOrEqual(512 * 1024 + 64 * 1024);
});

test("a loss while paused is said after what came before it", async () => {
  const { near, far } = await pair();
  near.connection.pause();
  far.connection.writeText("before");
  far.connection.flush();
  await until(() => near.connection.octetsIn === 6);
  far.connection.destroy(true);
  await wait(20);
  expect(near.heard.events).toEqual([]);
  near.connection.resume();
  await until(() => near.heard.events.length === 2);
  expect(near.heard.events).toEqual(["octets", expect.stringMatching(/^lost|^end/)]);
});

test("pausing within a callback holds the rest", async () => {
  const { near, far } = await pair();
  const hold = new (class extends Recorder {
    override onOctets(room: Buffer, length: number): void {
      super.onOctets(room, length);
      near.connection.pause();
      setTimeout(() => near.connection.resume(), 1);
    }
  })();
  near.connection.handler = hold;
  const content = Buffer.alloc(4_000_000, "wxyz");
  far.connection.write(content);
  far.connection.close(false);
  await until(() => hold.events.includes("end"), "the end", 10_000);
  expect(Buffer.concat(hold.pieces).equals(content)).toBe(true);
});

test("a callback that throws costs its own connection only", async () => {
  const { near, far } = await pair();
  const faulty = new (class extends Recorder {
    override onOctets(): void {
      throw new Error("of the test");
    }
  })();
  near.connection.handler = faulty;
  far.connection.writeText("x");
  await until(() => faulty.events.length > 0);
  expect(faulty.events).toEqual(["fault of the test"]);
  expect(near.connection.open).toBe(false);
  await until(() => far.heard.events.length > 0);
});

test("a peer that goes on sending after our close is drained for a while, then cut", async () => {
  const { near, far } = await pair();
  near.connection.writeText("the answer");
  near.connection.close(true);
  far.connection.write(Buffer.alloc(1_000_000));
  await until(() => far.heard.events.includes("end"));
  expect(far.heard.text).toBe("the answer");
  far.connection.close(false);
  await until(() => !near.connection.open);
  expect(near.heard.events).toEqual([]);
});

test("octets that stayed in the kernel are read, encrypted and arrive", async () => {
  const { near, far } = await pair();
  const plain = await plainPair();
  const content = Buffer.alloc(5_000_000, "unseen ");
  const relay = new (class extends Recorder {
    readonly unseen = content.length;
    onUnseen(octets: UnseenOctets): void {
      this.events.push("unseen");
      near.connection.writeUnseen(octets);
      if (near.connection.full) plain.connection.pause();
    }
    override onOctets(room: Buffer, length: number): void {
      near.connection.write(room.subarray(0, length));
      if (near.connection.full) plain.connection.pause();
    }
  })();
  plain.connection.handler = relay;
  near.connection.handler = new (class extends Recorder {
    override onRoom(): void {
      plain.connection.resume();
    }
  })();
  for (let at = 0; at < content.length; await wait(1)) at += plain.peer.send(content.subarray(at));
  await until(() => far.connection.octetsIn === content.length, "all", 10_000);
  expect(Buffer.concat(far.heard.pieces).equals(content)).toBe(true);
  expect(relay.events).toContain("unseen");
  plain.connection.destroy();
  plain.peer.close();
});

test("a kept connection is quiet until something comes", async () => {
  const { near, far } = await pair();
  await wait(20); // Tickets.
  expect(far.connection.isQuiet()).toBe(true);
  near.connection.writeText("late");
  near.connection.flush();
  expect(far.connection.isQuiet()).toBe(false);
  await until(() => far.heard.text === "late");
  expect(far.connection.isQuiet()).toBe(true);
  near.connection.destroy();
  await until(() => !far.connection.isQuiet());
});

test("a write after the loss does nothing", async () => {
  const { near, far } = await pair();
  far.connection.destroy(true);
  await until(() => near.heard.events.length > 0);
  near.connection.writeText("anybody?");
  near.connection.write(Buffer.alloc(100_000));
  near.connection.endWriting();
  near.connection.close(true);
  near.connection.destroy();
  await pass();
  expect(near.connection.unsent).toBe(0);
});

test("sessions are resumed, each once", async () => {
  const context = createTlsContext({ ...options, certificates: [app.cert], keys: [app.key], maxVersion: "TLSv1.3" });
  const ends: End[] = [];
  const { sockaddr } = serve(context, (end) => {
    ends.push(end);
    end.connection.writeText("x");
  });
  const sessions = new TlsSessions();
  const resumed: boolean[] = [];
  for (let i = 0; i < 3; i++) {
    const { facts, heard, connection } = await dial(sockaddr, sessions);
    await until(() => heard.text === "x");
    resumed.push(facts.resumed);
    connection.close(false);
  }
  expect(resumed).toEqual([false, true, true]);
  while (sessions.take() !== null);
  const { facts, connection } = await dial(sockaddr, sessions);
  expect(facts.resumed).toBe(false);
  connection.close(false);
});

test("two thousand connections leave nothing behind", async () => {
  const context = createTlsContext({ ...options, certificates: [app.cert], keys: [app.key], maxVersion: "TLSv1.3" });
  const { sockaddr } = serve(context, ({ connection }) => {
    const echo = new (class extends Recorder {
      override onOctets(room: Buffer, length: number): void {
        connection.write(room.subarray(0, length));
      }
      override onPeerEnd(): void {
        connection.close(false);
      }
    })();
    connection.handler = echo;
  });
  const sessions = new TlsSessions();
  const before = openSockets();
  const client = async () => {
    for (let i = 0; i < 250; i++) {
      const { connection, heard } = await dial(sockaddr, sessions);
      connection.writeText("ping");
      await until(() => heard.text === "ping");
      if (i % 3 === 0) connection.destroy(true);
      else connection.close(i % 3 === 1);
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
  await until(() => openSockets() <= before, "all closed", 5000);
}, 60_000);

test("nobody there is told by its error", async () => {
  const { fd, address } = listening();
  libc.close(fd);
  await expect(dial(encodeSockaddr(address))).rejects.toBe("ECONNREFUSED");
});
