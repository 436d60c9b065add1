/** Octets that go from one connection to another within the kernel. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { UnseenOctets } from "./connection.ts";
import { openPipes, refusePipes, takePipe } from "./pipe.ts";
import { setQueueBudget, type TcpConnection } from "./tcp.ts";
import { openSockets, type Peer, pair, Recorder, until, wait } from "./testing.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Hands on to another connection: `left` octets unseen, what follows is kept. */
class Mover extends Recorder {
  left = Infinity;
  moved = 0;
  target: TcpConnection | null = null;
  whenMoved: (() => void) | null = null;

  constructor(readonly source: () => TcpConnection) {
    super();
  }

  get unseen(): number {
    return this.left;
  }

  onUnseen(octets: UnseenOctets): void {
    this.moved += octets.length;
    this.left -= octets.length;
    this.target?.writeUnseen(octets);
    this.whenMoved?.();
    if (this.target?.full === true) this.source().pause();
  }
}

/** A source that sends, a sink that receives, and the two connections between them. */
async function relay() {
  const from: Awaited<ReturnType<typeof pair<Mover>>> = await pair({ handler: new Mover(() => from.connection) });
  const to = await pair();
  const mover = from.heard;
  mover.target = to.connection;
  to.heard.onRoom = () => from.connection.resume();
  return { mover, source: from.peer, from: from.connection, to: to.connection, sink: to.peer, said: to.heard };
}

/** Sends all, in pieces that the kernel takes. */
async function sendAll(peer: Peer, octets: Uint8Array): Promise<void> {
  for (let at = 0; at < octets.length; ) {
    const sent = peer.send(octets.subarray(at));
    at += sent;
    if (sent === 0) await wait(1);
  }
}

async function receive(peer: Peer, octets: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let received = 0;
  await until(
    () => {
      for (let piece = peer.receive(); typeof piece !== "string"; piece = peer.receive()) {
        pieces.push(piece);
        received += piece.length;
      }
      return received >= octets;
    },
    `${octets} octets`,
    10_000,
  );
  return Buffer.concat(pieces);
}

function random(length: number): Buffer {
  return Buffer.from(
    crypto
      .getRandomValues(new Uint8Array(64 * KIB))
      .toHex()
      .repeat(Math.ceil(length / (128 * KIB))),
  ).subarray(0, length);
}

const digest = (octets: Uint8Array): string => createHash("sha256").update(octets).digest("hex");

let sockets = 0;
beforeEach(() => {
  sockets = openSockets();
});
afterEach(async () => {
  setQueueBudget(16 * MIB);
  await until(() => openSockets() <= sockets, "every socket of the test is closed");
  const { open, free } = openPipes();
  expect(open).toBe(free); // None is lost, none is kept by a connection that is gone.
});

function end(...ends: { close(): void }[]): void {
  for (const each of ends) each.close();
}

describe("octets that pass unseen", () => {
  test("arrive complete, in order with what is written before and after, and are counted", async () => {
    const { mover, source, from, to, sink } = await relay();
    const content = random(3 * MIB);
    mover.left = content.length;
    to.writeText("before ");
    mover.whenMoved = () => mover.left === 0 && to.writeText(" after");
    const sending = sendAll(source, content);
    const received = await receive(sink, content.length + 13);
    await sending;
    expect(received.subarray(0, 7).toString()).toBe("before ");
    expect(digest(received.subarray(7, -6))).toBe(digest(content));
    expect(received.subarray(-6).toString()).toBe(" after");
    expect(from.octetsIn).toBe(content.length);
    expect(to.octetsOut).toBe(content.length + 13);
    expect(mover.pieces).toEqual([]);
    from.destroy();
    to.destroy();
    end(source, sink);
  });

  test("are no more than were asked for: what follows is seen", async () => {
    const { mover, source, from, to, sink } = await relay();
    mover.left = 5;
    source.send("movedseen");
    await until(() => mover.text === "seen");
    expect((await receive(sink, 5)).toString()).toBe("moved");
    from.destroy();
    to.destroy();
    end(source, sink);
  });

  test("in many small pieces, each in a slot of the pipe, all arrive", async () => {
    const { source, from, to, sink } = await relay();
    from.pause();
    for (let i = 0; i < 2000; i++) source.send(String(i % 10));
    from.resume();
    expect((await receive(sink, 2000)).toString()).toBe("0123456789".repeat(200));
    from.destroy();
    to.destroy();
    end(source, sink);
  });

  test("wait for a slow peer in a pipe, which is given back when they are sent", async () => {
    const { mover, source, from, to, sink, said } = await relay();
    const content = random(24 * MIB);
    const sending = sendAll(source, content);
    await until(() => to.full, "the peer's buffers are full");
    await wait(20);
    expect(to.unsent).toBeGreaterThan(0);
    expect(to.unsent).toBeLessThanOrEqual(MIB);
    const stopped = mover.moved;
    await wait(20);
    expect(mover.moved).toBe(stopped);
    const received = await receive(sink, content.length);
    await sending;
    expect(digest(received)).toBe(digest(content));
    expect({ full: to.full, unsent: to.unsent, events: said.events }).toEqual({ full: false, unsent: 0, events: [] });
    from.destroy();
    to.destroy();
    end(source, sink);
  });

  test("written behind queued octets keep their place", async () => {
    const { mover, source, from, to, sink } = await relay();
    const filled = random(64 * KIB);
    let octets = 0;
    for (; !to.full; octets += filled.length) to.write(filled);
    mover.left = 5;
    source.send("moved");
    await until(() => mover.moved === 5);
    to.writeText(" after");
    const received = await receive(sink, octets + 11);
    expect(received.subarray(-11).toString()).toBe("moved after");
    from.destroy();
    to.destroy();
    end(source, sink);
  });

  test("are sent after a close, before the end", async () => {
    const { mover, source, from, to, sink } = await relay();
    const content = random(16 * MIB);
    const sending = sendAll(source, content).catch(() => {});
    await until(() => to.full, "the peer's buffers are full");
    const { moved } = mover;
    to.close(false);
    from.destroy();
    source.close();
    await sending;
    const { octets, end: how } = await sink.receiveAll();
    expect({ octets: octets.length, how }).toEqual({ octets: moved, how: "end" });
    expect(digest(octets)).toBe(digest(content.subarray(0, moved)));
    sink.close();
  });
});

describe("octets in a pipe never reach another connection", () => {
  test.each(["before they are written", "while they wait"])("when theirs is destroyed %s", async (when) => {
    const { mover, source, from, to, sink } = await relay();
    if (when === "while they wait") {
      const sending = sendAll(source, random(16 * MIB)).catch(() => {});
      await until(() => to.full, "the peer's buffers are full");
      to.destroy();
      from.destroy();
      source.close();
      await sending;
    } else {
      to.destroy();
      source.send("nobody takes these");
      await until(() => mover.moved === 18);
      from.destroy();
      source.close();
    }
    sink.close();
    const next = await relay();
    next.source.send("clean");
    expect((await receive(next.sink, 5)).toString()).toBe("clean");
    next.from.destroy();
    next.to.destroy();
    end(next.source, next.sink);
  });

  test("when the one that moves them throws", async () => {
    const { mover, source, from, to, sink } = await relay();
    mover.target = null;
    mover.whenMoved = () => {
      throw new Error("of ours");
    };
    source.send("lost");
    await until(() => mover.events.includes("fault of ours"));
    expect(from.open).toBe(false);
    to.destroy();
    end(source, sink);
  });

  test("when the peer resets while they wait", async () => {
    const { source, from, to, sink, said } = await relay();
    const sending = sendAll(source, random(16 * MIB)).catch(() => {});
    await until(() => to.full, "the peer's buffers are full");
    sink.reset();
    await until(() => said.events.length > 0);
    expect(said.events).toEqual(["lost ECONNRESET"]);
    expect(to.unsent).toBe(0);
    from.destroy();
    source.close();
    await sending;
  });
});

describe("the source's end", () => {
  test("comes after the last octet moved", async () => {
    const { mover, source, from, to, sink } = await relay();
    source.send(random(100 * KIB));
    source.endWriting();
    await until(() => mover.events.includes("end"));
    expect({ moved: mover.moved, events: mover.events }).toEqual({ moved: 100 * KIB, events: ["end"] });
    from.destroy();
    to.destroy();
    end(source, sink);
  });

  test("by a reset is a loss", async () => {
    const { mover, source, from, to, sink } = await relay();
    source.send("a");
    await until(() => mover.moved === 1);
    source.reset();
    await until(() => mover.events.length > 0);
    expect(mover.events).toEqual(["lost ECONNRESET"]);
    expect(from.open).toBe(false);
    to.destroy();
    sink.close();
  });
});

describe("without a pipe octets are read", () => {
  async function isRead(): Promise<void> {
    const { mover, source, from, to, sink } = await relay();
    source.send("read");
    await until(() => mover.text === "read");
    expect(mover.moved).toBe(0);
    from.destroy();
    to.destroy();
    end(source, sink);
  }

  test("after the kernel refused one, for a second", async () => {
    refusePipes();
    expect(openPipes()).toEqual({ open: 0, free: 0 });
    await isRead();
    await wait(1050);
    const pipe = takePipe();
    expect(pipe).not.toBeNull();
    pipe?.release();
  });

  test("when all are in use", async () => {
    const taken = Array.from({ length: 100 }, () => takePipe()).filter((pipe) => pipe !== null);
    expect(taken.length).toBeGreaterThan(0);
    expect(taken.length).toBeLessThan(100);
    await isRead();
    for (const pipe of taken) pipe.release();
  });

  test("when slow peers have as many queued as they may", async () => {
    setQueueBudget(0);
    await isRead();
  });
});
