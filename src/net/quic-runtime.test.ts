/**
 * What we rely on in the runtime's QUIC. Both ends are the runtime's here; test/e2e has
 * Chromium and the client of ngtcp2. A test that fails after an upgrade of the runtime says which comment, limit or
 * page of the docs has to change.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { connect, type QuicSession as NativeSession, type QuicStream as NativeStream } from "node:quic";
import { needs, ROOT } from "../base/testing.ts";
import { Authority } from "../tls/testing.ts";
import { encodeSockaddr } from "./address.ts";
import { AF_INET, IPPROTO_IP, libc, SOL_SOCKET } from "./libc.ts";
import {
  H3Error,
  listenQuic,
  type QuicFields,
  type QuicHandshake,
  type QuicIdentity,
  type QuicListener,
  type QuicOptions,
  type QuicStreamTaker,
  type RequestStream,
  type Session,
} from "./quic-runtime.ts";
import { findUdpSockets } from "./quic-socket.ts";
import { until } from "./testing.ts";

const authority = new Authority();
const one = authority.issue(["one.test"], { subject: "one" });
const other = authority.issue(["other.test"], { subject: "other" });

const listeners: QuicListener[] = [];
const clients: NativeSession[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  for (const listener of listeners.splice(0)) listener.destroy();
});

/** What came on a stream of the server, in order. */
class Incoming implements QuicStreamTaker {
  readonly events: string[] = [];
  fields: QuicFields = {};
  octets = 0;
  onRoomGiven: () => void = () => {};
  constructor(
    readonly stream: RequestStream,
    readonly onHeadGiven: (incoming: Incoming) => void,
  ) {}
  onHead(fields: QuicFields): void {
    this.fields = fields;
    this.events.push("head");
    this.onHeadGiven(this);
  }
  onContentBegins(): void {
    this.events.push("begins");
  }
  onOctets(octets: Uint8Array): void {
    this.octets += octets.length;
    if (this.events.at(-1) !== "octets") this.events.push("octets");
  }
  onEnd(trailers: QuicFields | null): void {
    this.events.push(trailers === null ? "end" : `end ${JSON.stringify(trailers)}`);
  }
  onRoom(): void {
    this.onRoomGiven();
  }
  onClosed(): void {
    this.events.push("closed");
  }
}

class Server {
  readonly incoming: Incoming[] = [];
  readonly sessions: Session[] = [];
  readonly handshakes: QuicHandshake[] = [];
  closed = 0;
  failed = 0;
  listener!: QuicListener;
  onHead: (incoming: Incoming) => void = ({ stream }) => stream.sendHead({ ":status": "204" }, true);

  static async start(
    options: Partial<QuicOptions> = {},
    identities: Record<string, QuicIdentity> = { "*": one },
  ): Promise<Server> {
    const server = new Server();
    server.listener = await listenQuic(
      {
        host: "127.0.0.1",
        port: 0,
        identities: new Map(Object.entries(identities)),
        maxStreams: 20,
        streamWindowOctets: 65_536,
        sessionWindowOctets: 262_144,
        idleSeconds: 30,
        fieldCount: 20,
        fieldOctets: 4096,
        maxSessions: 10,
        maxSessionsPerAddress: 10,
        earlyData: false,
        ...options,
      },
      {
        onSession: (session, facts) => {
          server.sessions.push(session);
          server.handshakes.push(facts);
          return {
            onStream: (stream) => {
              const incoming = new Incoming(stream, (at) => server.onHead(at));
              server.incoming.push(incoming);
              return incoming;
            },
            onSessionClosed: () => {
              server.closed++;
            },
          };
        },
        onHandshakeFailed: () => {
          server.failed++;
        },
      },
    );
    listeners.push(server.listener);
    return server;
  }

  async client(servername = "one.test"): Promise<NativeSession> {
    const client = await connect(`127.0.0.1:${this.listener.port}`, {
      alpn: "h3",
      servername,
      verifyPeer: "manual",
      reuseEndpoint: false,
    });
    client.onerror = () => {};
    clients.push(client);
    await client.opened;
    return client;
  }
}

/** What came back. */
class Answer {
  heads: string[] = [];
  content = "";
  octets = 0;
  trailers = "";
  ended = "";
  constructor(readonly stream: NativeStream) {}

  async read(): Promise<this> {
    try {
      for await (const batch of this.stream)
        for (const octets of batch) {
          this.octets += octets.length;
          if (this.content.length < 1000) this.content += Buffer.from(octets).toString("latin1");
        }
      this.ended = "end";
    } catch {
      this.ended = "cut";
    }
    return this;
  }
}

const REQUEST = { ":method": "POST", ":scheme": "https", ":authority": "one.test", ":path": "/" };

async function request(client: NativeSession, fields: Record<string, string | string[]> = {}, end = true) {
  const stream = await client.createBidirectionalStream();
  const answer = new Answer(stream);
  stream.onerror = () => {};
  stream.onheaders = (head) => answer.heads.push(JSON.stringify(head));
  stream.oninfo = (head) => answer.heads.push(JSON.stringify(head));
  stream.ontrailers = (trailers) => {
    answer.trailers = JSON.stringify(trailers);
  };
  stream.sendHeaders({ ...REQUEST, ...fields }, { terminal: end });
  return answer;
}

describe("listening", () => {
  test("a port that is taken is refused with EADDRINUSE in the message", async () => {
    const server = await Server.start();
    expect(server.listener.port).toBeGreaterThan(0);
    await expect(Server.start({ port: server.listener.port })).rejects.toThrow("(98)");
  });

  test("an address that is not ours is refused with EADDRNOTAVAIL in the message", async () => {
    await expect(Server.start({ host: "203.0.113.1" })).rejects.toThrow("(99)");
  });

  test("a destroyed listener gives its port back", async () => {
    const server = await Server.start();
    const { port } = server.listener;
    server.listener.destroy();
    await server.listener.closed;
    await Server.start({ port });
  });

  test("one client's errors are nobody else's: the kernel keeps them, and drops what cannot be answered", async () => {
    const server = await Server.start();
    const { port } = server.listener;
    // Both have the port.
    await Server.start({ port, host: "127.0.0.2" });
    const fds = findUdpSockets(port);
    const value = new Int32Array(1);
    const get = (fd: number, level: number, name: number, length: number) => {
      const size = Uint32Array.of(length);
      libc.getsockopt(fd, level, name, value, size);
      return size[0]!;
    };
    expect(fds).toHaveLength(2);
    for (const fd of fds) {
      // IP_RECVERR; with it a client that is gone stops what is sent to all others for up to a second.
      get(fd, IPPROTO_IP, 11, 4);
      expect(value[0]).toBe(0);
      // SO_GET_FILTER says how many instructions there are.
      expect(get(fd, SOL_SOCKET, 26, 0)).toBe(4);
    }
  });

  needs(ROOT).test("a datagram from port 0 does not reach it", async () => {
    const server = await Server.start();
    const { port } = server.listener;
    const raw = libc.socket(AF_INET, 3, 255);
    const address = encodeSockaddr({ kind: "tcp", host: "127.0.0.1", port: 0 });
    libc.connect(raw, address, address.length);
    const send = (from: number) => {
      // IPv4 and UDP headers, and the first octet of a packet of QUIC; the kernel fills in the rest.
      const packet = Buffer.alloc(1228);
      packet.set([
        0x45,
        0,
        packet.length >> 8,
        packet.length & 255,
        0,
        0,
        0,
        0,
        64,
        17,
        0,
        0,
        127,
        0,
        0,
        1,
        127,
        0,
        0,
        1,
      ]);
      packet.writeUInt16BE(from, 20);
      packet.writeUInt16BE(port, 22);
      packet.writeUInt16BE(packet.length - 20, 24);
      packet[28] = 0xc0;
      return libc.send(raw, packet, packet.length, 0);
    };
    expect(send(0)).toBe(1228);
    expect(send(7)).toBe(1228);
    libc.close(raw);
    // The second of them was read, so the first would have been too.
    await until(() => server.listener.packetsReceived >= 1);
    expect(server.listener.packetsReceived).toBe(1);
  });

  test("clients of a dual-stack socket have mapped addresses", async () => {
    const server = await Server.start({ host: "::" });
    await server.client();
    expect(server.handshakes[0]!.remoteAddress).toBe("::ffff:127.0.0.1");
  });
});

describe("names", () => {
  const subject = async (server: Server, name: string): Promise<string> => {
    try {
      return String((await server.client(name)).peerCertificate?.subject);
    } catch {
      return "refused";
    }
  };

  test("choose the certificate without case; a wildcard stands for one label, and unknown names are refused", async () => {
    const server = await Server.start({}, { "one.test": one, "*.other.test": other });
    expect(await subject(server, "one.test")).toContain("one");
    expect(await subject(server, "ONE.test")).toContain("one");
    expect(server.handshakes.map(({ serverName }) => serverName)).toEqual(["one.test", "one.test"]);
    expect(await subject(server, "a.other.test")).toContain("other");
    expect(await subject(server, "a.b.other.test")).toBe("refused");
    expect(await subject(server, "other.test")).toBe("refused");
    await until(() => server.failed === 2);
  });

  test("get another certificate, come and go while sessions are there", async () => {
    const server = await Server.start({}, { "one.test": one });
    const client = await server.client();
    server.listener.use(new Map([["one.test", other]]));
    expect(await subject(server, "one.test")).toContain("other");
    server.listener.use(new Map([["*", one]]));
    expect(await subject(server, "anything.test")).toContain("one");
    server.listener.use(new Map([["other.test", other]]));
    expect(await subject(server, "one.test")).toBe("refused");
    expect(await subject(server, "other.test")).toContain("other");
    const answer = await request(client);
    await answer.read();
    await until(() => answer.heads.length === 1);
    expect(answer.heads).toEqual(['{":status":"204"}']);
  });

  test("with a certificate that cannot be used leave all as it was", async () => {
    const server = await Server.start({}, { "one.test": one });
    expect(() => server.listener.use(new Map([["one.test", { cert: one.cert, key: "nonsense" }]]))).toThrow();
    expect(await subject(server, "one.test")).toContain("one");
  });
});

describe("a request", () => {
  test("without content ends right after its head", async () => {
    const server = await Server.start();
    await (await request(await server.client())).read();
    expect(server.incoming[0]!.events.slice(0, 2)).toEqual(["head", "end"]);
  });

  test("whose content comes later begins without it", async () => {
    const server = await Server.start();
    server.onHead = () => {};
    const { stream } = await request(await server.client(), {}, false);
    await until(() => server.incoming.length === 1 && server.incoming[0]!.events.includes("begins"));
    stream.writer.writeSync("abc");
    stream.writer.endSync();
    const incoming = server.incoming[0]!;
    await until(() => incoming.events.includes("end"));
    expect([incoming.events, incoming.octets]).toEqual([["head", "begins", "octets", "end"], 3]);
  });

  // The runtime tells of the end first, and then of the trailers, once there is more than a little content.
  test.each([0, 3, 60_000, 70_000, 300_000])(
    "with %i octets of content has its trailers at the end",
    async (octets) => {
      const server = await Server.start();
      server.onHead = () => {};
      const client = await server.client();
      const stream = await client.createBidirectionalStream();
      stream.onerror = () => {};
      stream.onwanttrailers = () => stream.sendTrailers({ "x-t": "1" });
      stream.sendHeaders(REQUEST);
      stream.writer.writeSync(new Uint8Array(octets));
      stream.writer.endSync();
      await until(
        () => server.incoming.length === 1 && server.incoming[0]!.events.some((one) => one.startsWith("end")),
      );
      const { events, octets: received } = server.incoming[0]!;
      expect([events.at(-1), received]).toEqual(['end {"x-t":"1"}', octets]);
    },
  );

  test("has fields that nobody has checked", async () => {
    const server = await Server.start();
    const fields = { ":path": "", "x-a": "a\r\nb: c", "x-b": " \u00e9 ", "10": "ten", cookie: ["a=1", "b=2"] };
    await (await request(await server.client(), fields)).read();
    expect({ ...server.incoming[0]!.fields }).toEqual({ ...REQUEST, ...fields });
  });

  test("loses lines beyond the limits without a word: those we set are larger than those we keep", async () => {
    const server = await Server.start();
    const client = await server.client();
    await (await request(client, { "x-a": Array.from({ length: 40 }, () => "v") })).read();
    expect(server.incoming[0]!.fields["x-a"]).toHaveLength(16);
    await (await request(client, { "x-long": "v".repeat(5000), "x-short": "1" })).read();
    expect(Object.keys(server.incoming[1]!.fields)).toEqual([...Object.keys(REQUEST), "x-short"]);
  });

  test("is read whatever its windows say: nothing slows a client down", async () => {
    const server = await Server.start();
    // Nobody reads; what comes is in the memory of the runtime until we take it, which we do at once.
    server.onHead = () => {};
    const { stream } = await request(await server.client(), {}, false);
    const piece = new Uint8Array(65_536);
    const writer = stream.writer as typeof stream.writer & { [key: symbol]: () => Promise<unknown> | null };
    for (let sent = 0; sent < 64; ) {
      if (writer.writeSync(piece)) sent++;
      else await writer[Symbol.for("Stream.drainableProtocol")]!();
    }
    await until(() => server.incoming[0]!.octets === 64 * 65_536);
  });

  test("that is cancelled is told as closed", async () => {
    const server = await Server.start();
    server.onHead = () => {};
    const { stream } = await request(await server.client(), {}, false);
    await until(() => server.incoming.length === 1 && server.incoming[0]!.events.includes("begins"));
    stream.destroy(undefined, { code: H3Error.requestCancelled });
    await until(() => server.incoming[0]!.events.includes("closed"));
    expect(server.incoming[0]!.events).not.toContain("end");
  });
});

describe("a response", () => {
  test("has interim ones before it, its octets are copied, and its trailers come", async () => {
    const server = await Server.start();
    server.onHead = ({ stream }) => {
      stream.sendInterim({ ":status": "103", link: "</s.css>" });
      stream.sendHead({ ":status": "200", "set-cookie": ["a=1", "b=2"] }, false);
      const octets = Buffer.from("AAAA");
      stream.write(octets);
      octets.fill("B");
      stream.write(octets);
      stream.end({ "x-t": "1" });
    };
    const answer = await (await request(await server.client())).read();
    await until(() => answer.heads.length === 2 && answer.trailers !== "");
    expect(answer.heads).toEqual([
      '{":status":"103","link":"</s.css>"}',
      '{":status":"200","set-cookie":["a=1","b=2"]}',
    ]);
    expect([answer.content, answer.trailers, answer.ended]).toEqual(["AAAABBBB", '{"x-t":"1"}', "end"]);
  });

  test("without trailers ends all the same", async () => {
    const server = await Server.start();
    server.onHead = ({ stream }) => {
      stream.sendHead({ ":status": "200" }, false);
      stream.write(Buffer.from("a"));
      stream.end(null);
    };
    const answer = await (await request(await server.client())).read();
    expect([answer.content, answer.trailers, answer.ended]).toEqual(["a", "", "end"]);
  });

  test("with a name twice that may be there once is refused by an exception, and can be sent otherwise", async () => {
    const server = await Server.start();
    server.onHead = ({ stream }) => {
      expect(() => stream.sendHead({ ":status": "200", "content-type": ["a", "b"] }, true)).toThrow();
      stream.sendHead({ ":status": "200", "content-type": "a, b" }, true);
    };
    const answer = await (await request(await server.client())).read();
    await until(() => answer.heads.length === 1);
    expect(answer.heads).toEqual(['{":status":"200","content-type":"a, b"}']);
  });

  test("to a client that does not read is full after a while, and goes on when it reads", async () => {
    const server = await Server.start();
    const piece = new Uint8Array(65_536);
    const most = 512;
    let written = 0;
    server.onHead = (incoming) => {
      const { stream } = incoming;
      const fill = () => {
        while (written < most && stream.hasRoom) {
          expect(stream.write(piece)).toBe(true);
          written++;
        }
        if (written < most || !stream.hasRoom) return stream.awaitRoom();
        stream.end(null);
      };
      incoming.onRoomGiven = fill;
      stream.sendHead({ ":status": "200" }, false);
      fill();
    };
    const answer = await request(await server.client());
    await until(() => written > 0);
    await answer.read();
    expect([answer.octets, answer.ended]).toEqual([most * piece.length, "end"]);
  });

  test("that is cut ends with the code that is given", async () => {
    const server = await Server.start();
    server.onHead = ({ stream }) => {
      stream.sendHead({ ":status": "200" }, false);
      stream.write(Buffer.from("part"));
      stream.cut(H3Error.internal);
    };
    const answer = await request(await server.client());
    let code = 0;
    answer.stream.onreset = (why) => {
      code = Number(why.errorCode);
    };
    await answer.read();
    await until(() => code !== 0);
    expect([code, answer.ended]).toEqual([H3Error.internal, "cut"]);
  });

  test("that is complete before the request is heard, and the rest of the request called off", async () => {
    const server = await Server.start();
    server.onHead = ({ stream }) => {
      stream.sendHead({ ":status": "413" }, false);
      stream.write(Buffer.from("too large"));
      stream.end(null);
      stream.stopReading(H3Error.none);
    };
    const answer = await request(await server.client(), {}, false);
    await answer.read();
    // This client tells of the head last when the stream ends with it.
    await until(() => answer.heads.length === 1);
    expect([answer.content, answer.heads]).toEqual(["too large", ['{":status":"413"}']]);
    await until(() => server.incoming[0]!.events.includes("closed"));
  });

  test("to a stream that is gone is not an error", async () => {
    const server = await Server.start();
    server.onHead = () => {};
    const { stream } = await request(await server.client());
    await until(() => server.incoming.length === 1);
    stream.destroy(undefined, { code: H3Error.requestCancelled });
    await until(() => server.incoming[0]!.events.includes("closed"));
    const late = server.incoming[0]!.stream;
    late.sendHead({ ":status": "200" }, false);
    expect([late.write(new Uint8Array(1)), late.hasRoom]).toEqual([false, false]);
    late.awaitRoom();
    late.end(null);
    late.stopReading(H3Error.none);
    late.cut(H3Error.internal);
  });
});

describe("a session", () => {
  test("that is told to go away finishes what is in work, and begins nothing more", async () => {
    const server = await Server.start();
    server.onHead = ({ stream }) => stream.sendHead({ ":status": "200" }, false);
    const client = await server.client();
    const answer = await request(client);
    await until(() => server.incoming.length === 1);
    server.sessions[0]!.goAway();
    await until(() => client.closing);
    await expect(client.createBidirectionalStream()).rejects.toThrow();
    server.incoming[0]!.stream.write(Buffer.from("late"));
    server.incoming[0]!.stream.end(null);
    await answer.read();
    expect([answer.content, answer.ended]).toEqual(["late", "end"]);
    server.sessions[0]!.end(H3Error.none);
    await until(() => server.closed === 1);
  });

  test("that the client closes is told, with its streams", async () => {
    const server = await Server.start();
    server.onHead = () => {};
    const client = await server.client();
    await request(client);
    await until(() => server.incoming.length === 1);
    client.destroy(undefined, { code: H3Error.none, type: "application" });
    await until(() => server.closed === 1);
    expect(server.incoming[0]!.events).toContain("closed");
  });

  test("beyond the limit is refused", async () => {
    const server = await Server.start({ maxSessions: 1 });
    await server.client();
    await expect(server.client()).rejects.toThrow();
  });

  test("whose request has less content than it declared ends as a whole (RFC 9114 §4.1.2 asks for the stream only)", async () => {
    const server = await Server.start();
    server.onHead = () => {};
    const client = await server.client();
    await request(client, { "content-length": "5" });
    await until(() => server.closed === 1);
  });
});
