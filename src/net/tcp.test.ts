/** What rooms above may rely on: the contract of `Connection`, on real sockets. */

import { ptr } from "bun:ffi";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import net from "node:net";
import { encodeSockaddr } from "./address.ts";
import { Connecting } from "./connect.ts";
import { IPPROTO_TCP, libc, SO_SNDBUF, SOL_SOCKET, setOption } from "./libc.ts";
import type { TcpConnection } from "./tcp.ts";
import { jump, openSockets, type Peer, pair, pass, Recorder, until } from "./testing.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** At most this is read at once. */
const ONE_READ = 512 * KIB;

let before = 0;
beforeEach(() => {
  before = openSockets();
});
afterEach(async () => {
  await until(() => openSockets() <= before, "every socket of the test is closed");
});

/** Octets that differ at every place. */
function pattern(length: number, seed = 1): Buffer {
  const octets = Buffer.allocUnsafeSlow(length);
  const words = new Uint32Array(octets.buffer, 0, length >> 2);
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  octets.fill(7, words.length * 4);
  return octets;
}

const digest = (octets: Uint8Array): string => createHash("sha256").update(octets).digest("hex");

/** Segments with data that our end has sent so far (tcpi_data_segs_out of struct tcp_info). */
function segmentsSent(connection: TcpConnection): number {
  const info = new Uint8Array(256);
  libc.getsockopt(connection.fd, IPPROTO_TCP, 11, ptr(info), ptr(Uint32Array.of(info.length)));
  return new DataView(info.buffer).getUint32(156, true);
}

/** Writes until the kernel takes no more. @returns octets written */
function fill(connection: TcpConnection): number {
  const piece = pattern(64 * KIB);
  let octets = 0;
  while (!connection.full) {
    connection.write(piece);
    octets += piece.length;
  }
  return octets;
}

function end(connection: TcpConnection, peer: Peer): void {
  connection.destroy();
  peer.close();
}

describe("octets in", () => {
  test("arrive in order and are counted", async () => {
    const { connection, heard, peer } = await pair();
    peer.send("one ");
    await until(() => heard.text === "one ");
    peer.send("two");
    await until(() => heard.text === "one two");
    expect(connection.octetsIn).toBe(7);
    expect(heard.events).toEqual(["octets"]);
    end(connection, peer);
  });

  test("that wait already before the connection is accepted are not overlooked", async () => {
    const { connection, heard, peer } = await pair();
    peer.send(pattern(300 * KIB));
    peer.endWriting();
    await until(() => heard.events.includes("end"));
    expect(connection.octetsIn).toBeGreaterThan(0);
    expect(heard.events).toEqual(["octets", "end"]);
    end(connection, peer);
  });

  test("pause holds: at most nothing more arrives until resume, and nothing is lost", async () => {
    const { connection, heard, peer } = await pair();
    peer.send("a");
    await until(() => heard.text === "a");
    connection.pause();
    peer.send("b");
    await Bun.sleep(50);
    expect(heard.text).toBe("a");
    connection.resume();
    await until(() => heard.text === "ab");
    end(connection, peer);
  });

  test("pausing within onOctets holds back the rest of what the kernel has", async () => {
    const { connection, heard, peer } = await pair({
      handler: new (class extends Recorder {
        override onOctets(room: Buffer, length: number): void {
          super.onOctets(room, length);
          connection.pause();
        }
      })(),
    });
    peer.send(pattern(2 * ONE_READ));
    await until(() => heard.pieces.length === 1);
    await Bun.sleep(50);
    expect(heard.pieces.length).toBe(1);
    for (let reads = 1; connection.octetsIn < 2 * ONE_READ; reads++) {
      connection.resume();
      await until(() => heard.pieces.length === reads + 1);
    }
    expect(digest(Buffer.concat(heard.pieces))).toBe(digest(pattern(2 * ONE_READ)));
    end(connection, peer);
  });

  test("resuming reads in the next turn, never from within resume", async () => {
    const { connection, heard, peer } = await pair();
    connection.pause();
    peer.send("later");
    await Bun.sleep(30);
    connection.resume();
    expect(heard.text).toBe("");
    await until(() => heard.text === "later");
    end(connection, peer);
  });

  test("a pause taken back at once, many times, reads nothing twice", async () => {
    const { connection, heard, peer } = await pair();
    for (let i = 0; i < 50; i++) {
      connection.pause();
      connection.resume();
    }
    peer.send("once");
    for (let i = 0; i < 50; i++) {
      connection.pause();
      connection.resume();
    }
    await until(() => heard.text === "once");
    await Bun.sleep(20);
    expect(heard.text).toBe("once");
    end(connection, peer);
  });
});

describe("octets out", () => {
  test("small writes of one turn leave in one segment, in order", async () => {
    const { connection, peer } = await pair();
    connection.writeText("head ");
    connection.write(Buffer.from("content "));
    connection.writeText("end");
    expect(segmentsSent(connection)).toBe(0);
    await until(() => segmentsSent(connection) > 0);
    await Bun.sleep(10);
    expect(segmentsSent(connection)).toBe(1);
    expect(String(peer.receive())).toBe("head content end");
    expect(connection.octetsOut).toBe(16);
    end(connection, peer);
  });

  test("a small write and a large one after it leave in one call, in order", async () => {
    const { connection, peer } = await pair();
    const content = pattern(20 * KIB);
    connection.writeText("head ");
    connection.write(content);
    connection.writeText(" end");
    // The large one is gone; what came after it waits for the end of the turn.
    expect(Buffer.compare(peer.receive() as Buffer, Buffer.concat([Buffer.from("head "), content]))).toBe(0);
    expect(peer.receive()).toBe("");
    await until(() => peer.receive().toString() === " end");
    end(connection, peer);
  });

  test("flush sends what is gathered now", async () => {
    const { connection, peer } = await pair();
    connection.writeText("now");
    expect(peer.receive()).toBe("");
    connection.flush();
    expect(String(peer.receive())).toBe("now");
    end(connection, peer);
  });

  test("writes of several connections in one turn do not mix", async () => {
    const pairs = await Promise.all([pair(), pair(), pair()]);
    for (let round = 0; round < 100; round++) {
      for (const [i, { connection }] of pairs.entries()) {
        if (round % 7 === i) connection.write(Buffer.alloc(9000, 0x61 + i));
        else connection.writeText(String.fromCharCode(0x61 + i));
      }
    }
    for (const { connection } of pairs) connection.endWriting();
    for (const [i, { peer, connection }] of pairs.entries()) {
      const { octets } = await peer.receiveAll();
      expect(octets.length).toBe(connection.octetsOut);
      expect(octets.equals(Buffer.alloc(octets.length, 0x61 + i))).toBe(true);
      end(connection, peer);
    }
  });

  test("are only borrowed: the caller may overwrite them when write returns", async () => {
    const { connection, peer } = await pair();
    const sent = fill(connection);
    const content = Buffer.from("x".repeat(50_000));
    connection.write(content);
    content.fill("!");
    connection.endWriting();
    const { octets } = await peer.receiveAll();
    expect(octets.length).toBe(sent + 50_000);
    expect(octets.subarray(sent).toString()).toBe("x".repeat(50_000));
    end(connection, peer);
  });

  test("text is octets: characters above 127 are one octet each", async () => {
    const { connection, peer } = await pair();
    connection.writeText("caf\u00e9 \u00ff");
    connection.endWriting();
    expect((await peer.receiveAll()).octets.toString("latin1")).toBe("caf\u00e9 \u00ff");
    end(connection, peer);
  });

  test("text and octets larger than what is gathered go out whole", async () => {
    const { connection, peer } = await pair();
    const text = "t".repeat(70 * KIB);
    connection.writeText("a");
    connection.writeText(text);
    connection.writeText("b");
    for (let i = 0; i < 20; i++) connection.write(Buffer.alloc(8 * KIB, "c"));
    connection.endWriting();
    expect((await peer.receiveAll()).octets.toString()).toBe(`a${text}b${"c".repeat(160 * KIB)}`);
    end(connection, peer);
  });

  test.each([1, 2, 3])(
    "small writes that fill the kernel within a turn keep their order (%i connections take turns)",
    async (count) => {
      const pairs = await Promise.all(Array.from({ length: count }, () => pair()));
      for (const { connection } of pairs) setOption(connection.fd, SOL_SOCKET, SO_SNDBUF, 4096);
      const pieces = new Map<Peer, string[]>(pairs.map(({ peer }) => [peer, []]));
      let seed = count;
      const random = (below: number) => {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        return (seed >>> 8) % below;
      };
      for (let round = 0; round < 30; round++) {
        const written = pairs.map(() => "");
        for (let i = 0, octets = 0; octets < 400_000; i++) {
          const which = random(count);
          const { connection, peer } = pairs[which]!;
          const text = `${i}:`.repeat(1 + random(random(4) === 0 ? 1200 : 9));
          if (random(2) === 0) connection.writeText(text);
          else connection.write(Buffer.from(text));
          octets += text.length;
          written[which] += text;
          if (i % 50 === 0) pieces.get(peer)!.push(peer.receive().toString());
        }
        for (const [i, { peer }] of pairs.entries()) {
          let got = pieces.get(peer)!.splice(0).join("");
          await until(() => (got += peer.receive()).length >= written[i]!.length);
          expect(got === written[i]).toBe(true);
        }
      }
      for (const { connection, peer } of pairs) end(connection, peer);
    },
  );

  test("what the kernel does not take is queued and counted; onRoom says once when it is gone", async () => {
    const { connection, heard, peer } = await pair();
    const sent = fill(connection);
    expect(connection.full).toBe(true);
    expect(connection.unsent).toBeGreaterThan(0);
    expect(connection.unsent).toBeLessThanOrEqual(64 * KIB);
    await Bun.sleep(30);
    expect(heard.events).toEqual([]);
    connection.endWriting();
    const { octets, end: last } = await peer.receiveAll();
    expect({ length: octets.length, last }).toEqual({ length: sent, last: "end" });
    expect(heard.events).toEqual(["room"]);
    expect({ full: connection.full, unsent: connection.unsent }).toEqual({ full: false, unsent: 0 });
    end(connection, peer);
  });

  test("20,000 writes of random sizes arrive as one unbroken stream", async () => {
    const { connection, peer } = await pair();
    let seed = 42;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return seed % below;
    };
    const source = pattern(256 * KIB, 99);
    const sent = createHash("sha256");
    const received = createHash("sha256");
    let receivedOctets = 0;
    const receive = () => {
      const piece = peer.receive();
      if (typeof piece === "string") return;
      received.update(piece);
      receivedOctets += piece.length;
    };
    for (let i = 0; i < 20_000; i++) {
      const size = [random(8), random(300), random(9000), random(100) === 0 ? random(200_000) : 3][random(4)]!;
      const start = random(source.length - size);
      const octets = source.subarray(start, start + size);
      if (random(3) === 0) connection.writeText(octets.toString("latin1"));
      else connection.write(octets);
      sent.update(octets);
      if (random(50) === 0) await Promise.resolve();
      if (random(100) === 0 || connection.full) receive();
      if (connection.full || random(200) === 0) await pass();
    }
    connection.endWriting();
    while (receivedOctets < connection.octetsOut) {
      receive();
      if (connection.full) await pass();
    }
    expect(received.digest("hex")).toBe(sent.digest("hex"));
    end(connection, peer);
  });
});

test("a large transfer both ways through a slow reader is intact and bounded: the queue and one read", async () => {
  let mostUnsent = 0;
  const { connection, peer } = await pair({
    handler: new (class extends Recorder {
      override onOctets(room: Buffer, length: number): void {
        connection.write(room.subarray(0, length));
        mostUnsent = Math.max(mostUnsent, connection.unsent);
        if (connection.full) connection.pause();
      }
      override onRoom(): void {
        connection.resume();
      }
    })(),
  });
  const source = pattern(16 * MIB);
  const pieces: Buffer[] = [];
  let sent = 0;
  let received = 0;
  for (let round = 0; received < source.length; round++) {
    while (sent < source.length) {
      const taken = peer.send(source.subarray(sent, sent + MIB));
      sent += taken;
      if (taken === 0) break;
    }
    // Slow at first: the whole way fills up and stands still.
    await (round < 10 ? Bun.sleep(5) : pass());
    const piece = peer.receive();
    if (typeof piece === "string") continue;
    pieces.push(piece);
    received += piece.length;
  }
  expect(digest(Buffer.concat(pieces))).toBe(digest(source));
  expect(mostUnsent).toBeGreaterThan(0);
  expect(mostUnsent).toBeLessThanOrEqual(ONE_READ);
  end(connection, peer);
});

describe("while slow peers have more queued than the budget of all", () => {
  test.each(["destroyed", "reset by its peer", "drained"])(
    "reads are small; once it is %s they are large again",
    async (how) => {
      const slow = await pair();
      const { connection, heard, peer } = await pair();
      const content = pattern(160 * KIB);
      const largestRead = async () => {
        const wanted = connection.octetsIn + content.length;
        const from = heard.pieces.length;
        connection.pause();
        expect(peer.send(content)).toBe(content.length);
        await pass();
        connection.resume();
        await until(() => connection.octetsIn === wanted);
        return Math.max(...heard.pieces.slice(from).map(({ length }) => length));
      };
      expect(await largestRead()).toBeGreaterThan(16 * KIB);
      slow.connection.write(Buffer.alloc(72 * MIB));
      expect(slow.connection.unsent).toBeGreaterThan(64 * MIB);
      expect(await largestRead()).toBe(16 * KIB);
      if (how === "destroyed") slow.connection.destroy();
      else if (how === "reset by its peer") slow.peer.reset();
      else for (let end = ""; end !== "end"; end = (await slow.peer.receiveAll(20)).end) slow.connection.endWriting();
      await until(() => slow.connection.unsent === 0);
      expect(await largestRead()).toBeGreaterThan(16 * KIB);
      end(connection, peer);
      end(slow.connection, slow.peer);
    },
  );
});

test("the runtime's own sockets and ours talk in one process", async () => {
  before = Number.POSITIVE_INFINITY; // Its sockets are closed when it likes.
  const { promise, resolve } = Promise.withResolvers<net.AddressInfo>();
  const theirs: net.Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => theirs.push(socket.pipe(socket)));
  server.listen(0, "127.0.0.1", () => resolve(server.address() as net.AddressInfo));
  const { port } = await promise;
  const { promise: opened, resolve: onConnected, reject } = Promise.withResolvers<TcpConnection>();
  new Connecting(encodeSockaddr({ kind: "tcp", host: "127.0.0.1", port }), 1000, {
    onConnected,
    onConnectFailed: reject,
    fault: reject,
  });
  const connection = await opened;
  const heard = new Recorder();
  connection.handler = heard;
  const content = pattern(4 * MIB);
  connection.write(content);
  connection.endWriting();
  await until(() => heard.events.includes("end"));
  expect(digest(Buffer.concat(heard.pieces))).toBe(digest(content));
  connection.close(false);
  for (const socket of theirs) socket.destroy();
  await new Promise((closed) => server.close(closed));
});

describe("ends", () => {
  test("a half-closed peer is told of and still gets what we write", async () => {
    const { connection, heard, peer } = await pair();
    peer.send("question");
    peer.endWriting();
    await until(() => heard.events.includes("end"));
    connection.writeText("answer");
    connection.endWriting();
    const { octets, end: last } = await peer.receiveAll();
    expect({ text: octets.toString(), last }).toEqual({ text: "answer", last: "end" });
    expect(heard.events).toEqual(["octets", "end"]);
    end(connection, peer);
  });

  test("endWriting sends FIN after what is queued; reading goes on", async () => {
    const { connection, heard, peer } = await pair();
    const sent = fill(connection);
    connection.endWriting();
    const { octets, end: last } = await peer.receiveAll();
    expect({ length: octets.length, last }).toEqual({ length: sent, last: "end" });
    peer.send("still here");
    await until(() => heard.text === "still here");
    expect(connection.open).toBe(true);
    end(connection, peer);
  });

  test("a FIN while paused is told of after resume, behind the octets before it", async () => {
    const { connection, heard, peer } = await pair();
    connection.pause();
    peer.send("last words");
    peer.endWriting();
    await Bun.sleep(30);
    expect(heard.events).toEqual([]);
    connection.resume();
    await until(() => heard.events.length === 2);
    expect({ text: heard.text, events: heard.events }).toEqual({ text: "last words", events: ["octets", "end"] });
    end(connection, peer);
  });

  test("a reset while paused is told of after resume, behind the octets before it", async () => {
    const { connection, heard, peer } = await pair();
    connection.pause();
    peer.send("last words");
    await Bun.sleep(10);
    peer.reset();
    await Bun.sleep(30);
    connection.resume();
    await until(() => heard.events.length === 2);
    expect({ text: heard.text, events: heard.events }).toEqual({
      text: "last words",
      events: ["octets", "lost ECONNRESET"],
    });
    expect(connection.open).toBe(false);
  });

  test("a reset is told of once, by its name", async () => {
    const { connection, heard, peer } = await pair();
    peer.reset();
    await until(() => heard.events.length > 0);
    await Bun.sleep(20);
    expect(heard.events).toEqual(["lost ECONNRESET"]);
    expect(connection.open).toBe(false);
  });

  test("close(false) sends everything first, then closes", async () => {
    const { connection, heard, peer } = await pair();
    const sent = fill(connection);
    connection.close(false);
    const { octets, end: last } = await peer.receiveAll();
    expect({ length: octets.length, last }).toEqual({ length: sent, last: "end" });
    expect(heard.events).toEqual([]);
    expect(connection.open).toBe(false);
    peer.close();
  });

  test("close(true) lets the last octets arrive though the peer is still sending: no reset overtakes them", async () => {
    const { connection, peer } = await pair();
    connection.pause();
    const content = pattern(MIB);
    let sent = peer.send(content);
    connection.writeText("enough");
    connection.close(true);
    // A reset would show as an error, and throw away what the peer has not read.
    for (let i = 0; i < 20; i++) {
      sent += peer.send(content);
      await Bun.sleep(1);
    }
    const { octets, end: last } = await peer.receiveAll();
    expect({ text: octets.toString(), last }).toEqual({ text: "enough", last: "end" });
    expect(sent).toBeGreaterThan(4 * MIB);
    peer.close();
    await until(() => !connection.open);
  });

  test("close(true) drains a peer that sends everything before it reads, though our last octets do not fit", async () => {
    const { connection, heard, peer } = await pair();
    connection.pause();
    const ours = fill(connection);
    connection.close(true);
    const content = pattern(16 * MIB);
    for (let sent = 0; sent < content.length; await pass()) sent += peer.send(content.subarray(sent));
    const { octets, end: last } = await peer.receiveAll();
    expect({ length: octets.length, last }).toEqual({ length: ours, last: "end" });
    expect(heard.events).toEqual([]);
    peer.close();
    await until(() => !connection.open);
  });

  test("close(true) waits no longer than its linger for a peer that neither sends nor ends", async () => {
    const { connection, peer } = await pair();
    connection.close(true);
    await pass();
    expect(connection.open).toBe(true);
    jump(2000);
    await until(() => !connection.open);
    peer.close();
  });

  test("destroy drops what is queued; destroy(true) resets", async () => {
    const first = await pair();
    fill(first.connection);
    first.connection.destroy();
    expect((await first.peer.receiveAll()).end).toBe("end");
    first.peer.close();
    const second = await pair();
    second.connection.destroy(true);
    expect((await second.peer.receiveAll()).end).toBe("ECONNRESET");
    second.peer.close();
  });

  test("after an end of any kind, whatever is called is harmless and nothing more is heard", async () => {
    for (const over of ["destroy", "close", "lost"] as const) {
      const { connection, heard, peer } = await pair();
      if (over === "lost") {
        peer.reset();
        await until(() => !connection.open);
      } else if (over === "destroy") connection.destroy();
      else connection.close(false);
      const said = heard.events.length;
      connection.write(Buffer.alloc(100_000));
      connection.writeText("x");
      connection.flush();
      connection.pause();
      connection.resume();
      connection.endWriting();
      connection.close(true);
      connection.destroy(true);
      await Bun.sleep(20);
      expect(heard.events).toHaveLength(said);
      expect(connection).toMatchObject({ open: false, full: false, unsent: 0 });
      peer.close();
    }
  });

  test("a write that fails is told of in the next turn, not from within the write", async () => {
    const { connection, heard, peer } = await pair();
    peer.reset();
    for (let i = 0; i < 3; i++) connection.write(Buffer.alloc(50_000));
    expect(heard.events).toEqual([]);
    await until(() => heard.events.length > 0);
    await Bun.sleep(20);
    expect(heard.events).toEqual(["lost ECONNRESET"]);
  });

  test("what the peer said before it reset is heard although a write failed first", async () => {
    const { connection, heard, peer } = await pair();
    peer.send("413, and no more");
    peer.reset();
    connection.write(Buffer.alloc(50_000));
    await until(() => heard.events.length === 2);
    expect({ text: heard.text, events: heard.events }).toEqual({
      text: "413, and no more",
      events: ["octets", "lost ECONNRESET"],
    });
  });

  test("the same with octets queued: the answer is heard before the loss", async () => {
    const { connection, heard, peer } = await pair();
    fill(connection);
    peer.send("413, and no more");
    peer.reset();
    await until(() => heard.events.length === 2);
    expect({ text: heard.text, events: heard.events }).toEqual({
      text: "413, and no more",
      events: ["octets", "lost ECONNRESET"],
    });
  });

  test("a reset after a failed write never looks like a clean end", async () => {
    for (let i = 0; i < 20; i++) {
      const { connection, heard, peer } = await pair();
      peer.send("half of the content");
      peer.reset();
      if (i % 2 === 0) await pass();
      connection.write(Buffer.alloc(20_000));
      await until(() => !connection.open);
      expect(heard.events).not.toContain("end");
    }
  });

  test("a peer that ended and then reset: the end, then the loss", async () => {
    const { connection, heard, peer } = await pair();
    peer.endWriting();
    await until(() => heard.events.includes("end"));
    peer.reset();
    await Bun.sleep(10);
    connection.write(Buffer.alloc(20_000));
    await until(() => !connection.open);
    expect(heard.events[0]).toBe("end");
    expect(heard.events.slice(1)).toEqual([expect.stringMatching(/^lost (EPIPE|ECONNRESET)$/)]);
  });
});

describe("a callback that throws costs its own connection only", () => {
  const faulty = (where: "onOctets" | "onPeerEnd" | "onRoom" | "onLost") => {
    const handler = new Recorder();
    handler[where] = () => {
      throw new Error(where);
    };
    return handler;
  };

  test.each(["onOctets", "onPeerEnd", "onRoom"] as const)("%s", async (where) => {
    const other = await pair();
    const { connection, heard, peer } = await pair({ handler: faulty(where) });
    if (where === "onOctets") peer.send("x");
    else if (where === "onPeerEnd") peer.endWriting();
    else {
      fill(connection);
      await peer.receiveAll(200);
    }
    await until(() => heard.events.length > 0);
    expect(heard.events).toEqual([`fault ${where}`]);
    expect(connection.open).toBe(false);
    other.peer.send("unharmed");
    await until(() => other.heard.text === "unharmed");
    end(other.connection, other.peer);
    peer.close();
  });

  test("onLost", async () => {
    const { connection, heard, peer } = await pair({ handler: faulty("onLost") });
    peer.reset();
    await until(() => heard.events.length > 0);
    expect(heard.events).toEqual(["fault onLost"]);
    expect(connection.open).toBe(false);
  });
});

describe("isQuiet", () => {
  test("tells a kept connection that can carry a request from one whose end has not been noticed yet", async () => {
    const alive = await pair();
    expect(alive.connection.isQuiet()).toBe(true);
    // No turn of the loop passes between these and the question.
    alive.peer.send("unasked");
    expect(alive.connection.isQuiet()).toBe(false);
    end(alive.connection, alive.peer);
    const ended = await pair();
    ended.peer.close();
    expect(ended.connection.isQuiet()).toBe(false);
    ended.connection.destroy();
    expect(ended.connection.isQuiet()).toBe(false);
    const reset = await pair();
    reset.peer.reset();
    expect(reset.connection.isQuiet()).toBe(false);
    await until(() => !reset.connection.open);
    expect(reset.heard.events).toEqual(["lost ECONNRESET"]);
  });
});

test("unix sockets keep the same contract", async () => {
  const address = { kind: "unix", path: `@lintel-test-${process.pid}-${Math.random()}` } as const;
  const { connection, heard, peer } = await pair({ address });
  peer.send("question");
  await until(() => heard.text === "question");
  const sent = fill(connection);
  connection.endWriting();
  const { octets, end: last } = await peer.receiveAll();
  expect({ length: octets.length, last }).toEqual({ length: sent, last: "end" });
  peer.close();
  await until(() => heard.events.includes("end") || !connection.open);
  connection.destroy();
});

test("300 connections come and go without leaving a descriptor", async () => {
  const sockets = openSockets();
  for (let round = 0; round < 10; round++) {
    const pairs = await Promise.all(Array.from({ length: 30 }, () => pair()));
    for (const [i, { connection, peer }] of pairs.entries()) {
      connection.writeText("x");
      if (i % 3 === 0) peer.reset();
      if (i % 3 === 1) connection.destroy(i % 2 === 0);
      if (i % 3 === 2) connection.close(false);
      peer.close();
    }
    await until(() => pairs.every(({ connection }) => !connection.open));
  }
  await until(() => openSockets() <= sockets);
});
