/**
 * What a client can do to make us work or keep things for nothing, each with the figures: after how
 * many frames it is ended, and what is kept until then.
 */
import { describe, expect, test } from "bun:test";
import { Failure } from "../../base/failure.ts";
import { MemoryBody } from "../../http/body.ts";
import { HttpResponse } from "../../http/message.ts";
import { queuedOctets } from "../../net/send-queue.ts";
import { pass } from "../http1/testing.ts";
import { HandSink, HandSource } from "../http1/testing-bodies.ts";
import { FloodGuard } from "./floods.ts";
import { Flag, FrameType, Setting } from "./frame.ts";
import { pairs, SETTINGS, TestClient, word } from "./testing.ts";

const CALM = 11;
const { floods } = SETTINGS;
const forever = () => new Promise<HttpResponse>(() => {});
const hello = () => new HttpResponse(200, undefined, MemoryBody.text("hello"));

/** Does something again and again until the connection ends. @returns how often */
function until(peer: TestClient, most: number, act: (turn: number) => void): number {
  for (let turn = 1; turn <= most; turn++) {
    act(turn);
    if (peer.closedCalls > 0) return turn;
  }
  return most + 1;
}

describe("streams that come to nothing", () => {
  test("rapid reset (CVE-2023-44487): after 200 of them, with nothing left in work", () => {
    const peer = new TestClient(forever);
    const turns = until(peer, 10_000, (turn) => peer.get(turn * 2 - 1).reset(turn * 2 - 1));
    expect(turns).toBe(floods.resets + 1);
    expect(peer.goneWith).toBe(CALM);
    expect(peer.finished).toHaveLength(peer.exchanges.length);
    expect(peer.refused.at(-1)).toMatchObject({
      code: "flooding",
      message: expect.stringContaining("limits.http2.resets"),
    });
  });

  test("in one read, nothing of what comes after the end is worked on", () => {
    const peer = new TestClient(forever);
    const frames: Buffer[] = [];
    for (let id = 1; id < 4000; id += 2) {
      frames.push(peer.headers(id, { ":method": "GET", ":scheme": "http", ":authority": "a", ":path": "/" }, true));
      frames.push(peer.frame(FrameType.resetStream, 0, id, word(8)));
    }
    peer.send(Buffer.concat(frames));
    expect(peer.exchanges).toHaveLength(floods.resets + 1);
  });

  test("a client whose streams mostly go to their end may cancel as many as it likes", () => {
    const peer = new TestClient(({ path }) => (path === "/slow" ? forever() : hello()));
    const turns = until(peer, 2000, (turn) => {
      peer.get(turn * 4 - 3, { ":path": "/slow" }).get(turn * 4 - 1);
      peer.reset(turn * 4 - 3);
    });
    expect(turns).toBe(2001);
    expect(peer.goneWith).toBeNull();
  });

  test("streams that we have to reset, since each breaks a rule (CVE-2025-8671)", () => {
    const peer = new TestClient(forever);
    const turns = until(peer, 10_000, (turn) => peer.get(turn * 2 - 1).window(turn * 2 - 1, 0));
    expect(turns).toBe(floods.resets + 1);
    expect(peer.goneWith).toBe(CALM);
  });

  test("malformed requests, and field names of no octets (CVE-2019-9516)", () => {
    const peer = new TestClient(hello);
    const turns = until(peer, 10_000, (turn) => peer.get(turn * 2 - 1, { "": "x" }));
    expect(turns).toBe(floods.resets + 1);
    expect([peer.goneWith, peer.exchanges.length]).toEqual([CALM, 0]);
  });

  test("streams beyond the limit are refused a while, then it is enough", () => {
    const peer = new TestClient(forever, { maxStreams: 1 });
    const turns = until(peer, 10_000, (turn) => peer.get(turn * 2 - 1));
    expect(turns).toBeGreaterThan(floods.frames - 20);
    expect(turns).toBeLessThan(floods.frames + 20);
    expect(peer.exchanges).toHaveLength(1);
  });
});

describe("frames that carry nothing: after 1000 of them", () => {
  const flood = (name: string, frame: (peer: TestClient) => Buffer, weight = 1) =>
    test(name, () => {
      const peer = new TestClient(forever).get(1).post(3);
      const octets = frame(peer);
      const turns = until(peer, 10_000, () => peer.send(octets));
      expect(turns).toBeGreaterThan(floods.frames / weight - 30);
      expect(turns).toBeLessThanOrEqual(floods.frames / weight + 1);
      expect(peer.goneWith).toBe(CALM);
      expect(peer.refused.at(-1)!.message).toContain("limits.http2.frames");
    });

  flood("PING (CVE-2019-9512)", (peer) => peer.frame(FrameType.ping, 0, 0, "12345678"));
  flood("PING with ACK", (peer) => peer.frame(FrameType.ping, Flag.ack, 0, "12345678"));
  flood("SETTINGS (CVE-2019-9515)", (peer) => peer.frame(FrameType.settings, 0, 0), 10);
  flood(
    "SETTINGS that move the windows of streams",
    (peer) =>
      peer.frame(FrameType.settings, 0, 0, pairs(Setting.initialWindowSize, 0, Setting.initialWindowSize, 65_535)),
    10,
  );
  flood("SETTINGS with ACK", (peer) => peer.frame(FrameType.settings, Flag.ack, 0), 10);
  flood("PRIORITY (CVE-2019-9513)", (peer) => peer.frame(FrameType.priority, 0, 1, Buffer.alloc(5)));
  flood("PRIORITY of streams that are not there", (peer) => peer.frame(FrameType.priority, 0, 99, Buffer.alloc(5)));
  flood("PRIORITY_UPDATE", (peer) => peer.frame(FrameType.priorityUpdate, 0, 0, Buffer.of(0, 0, 0, 1)));
  flood("WINDOW_UPDATE of a stream", (peer) => peer.frame(FrameType.windowUpdate, 0, 1, word(1)));
  flood("WINDOW_UPDATE of the connection", (peer) => peer.frame(FrameType.windowUpdate, 0, 0, word(1)));
  flood("empty DATA (CVE-2019-9518)", (peer) => peer.frame(FrameType.data, 0, 3));
  flood("DATA of padding", (peer) => peer.frame(FrameType.data, Flag.padded, 3, Buffer.of(0)));
  flood("frames of unknown types", (peer) => peer.frame(0x77, 0, 0, "x"));
  flood("RST_STREAM of a stream that is over", (peer) => {
    if (peer.exchanges.length === 2) peer.reset(1);
    return peer.frame(FrameType.resetStream, 0, 1, word(8));
  });

  test("answers that a client does not read are bounded: 17 octets for each of 1000 PINGs", () => {
    const peer = new TestClient(hello);
    peer.read().connection.stall();
    until(peer, 10_000, () => peer.ping());
    expect(peer.connection.unsent).toBeLessThan(floods.frames * 17 + 500);
  });

  test("a client that reads much may update its windows often", () => {
    const peer = new TestClient(() => new HttpResponse(200, undefined, new MemoryBody(Buffer.alloc(40_000))));
    const turns = until(peer, 1000, (turn) => {
      const id = turn * 2 - 1;
      peer.get(id);
      for (let i = 0; i < 10; i++) peer.window(0, 4000);
      peer.read();
    });
    expect(turns).toBe(1001);
  });

  test("small messages, whichever way they go, make up for the windows and the PING that each comes with", () => {
    const source = new HandSource();
    const peer = new TestClient(() => new HttpResponse(200, undefined, source));
    peer.post(1);
    peer.exchanges[0]!.request.body.sendTo(new HandSink());
    const down = until(peer, 5000, () => {
      source.write("a message of no more than 40 octets");
      peer.read().window(0, 40).window(1, 40).ping();
    });
    const up = until(peer, 5000, () => peer.data(1, "a message").window(0, 1).ping());
    expect([down, up, peer.goneWith]).toEqual([5001, 5001, null]);
  });

  test("a window that opens by one octet at a time is ended, however much there is to send (CVE-2019-9511)", () => {
    const peer = new TestClient(() => new HttpResponse(200, undefined, new MemoryBody(Buffer.alloc(100_000))));
    peer.settings(Setting.initialWindowSize, 0).get(1);
    const turns = until(peer, 10_000, () => peer.window(1, 1));
    expect(turns).toBeLessThanOrEqual(floods.frames + 10);
    expect(peer.goneWith).toBe(CALM);
  });
});

describe("large and long heads", () => {
  test("CONTINUATION without end (CVE-2024-27316): so many octets are kept, and no more", () => {
    const peer = new TestClient(hello);
    peer.send(peer.frame(FrameType.headers, 0, 1, Buffer.alloc(1000)));
    let octets = 1000;
    const turns = until(peer, 1000, () => {
      octets += 16_384;
      peer.send(peer.frame(FrameType.continuation, 0, 1, Buffer.alloc(16_384)));
    });
    expect(peer.goneWith).toBe(CALM);
    expect(turns).toBe(5);
    // requestLine and twice the fieldSection: 8 + 64 KiB.
    expect(octets - 16_384).toBeLessThanOrEqual(73_728);
  });

  test("empty CONTINUATION frames", () => {
    const peer = new TestClient(hello);
    peer.send(peer.frame(FrameType.headers, 0, 1));
    expect(until(peer, 1000, () => peer.send(peer.frame(FrameType.continuation, 0, 1)))).toBe(10);
    expect(peer.goneWith).toBe(CALM);
  });

  // What it costs, in memory and processor time, is in test/e2e/http2-floods.test.ts.
  test("a bomb: a large entry of the table, named thousands of times, makes no request, and then it is enough", () => {
    const peer = new TestClient(hello);
    const entry = peer.block([["x-bomb", "x".repeat(900)]]);
    // 62: what was inserted last.
    const block = Buffer.concat([entry, Buffer.alloc(15_000, 0x80 | 62)]);
    const turns = until(peer, 1000, (turn) => {
      const again = turn === 1 ? block : Buffer.alloc(16_000, 0x80 | 62);
      peer.send(peer.frame(FrameType.headers, Flag.endHeaders | Flag.endStream, turn * 2 - 1, again));
    });
    expect([turns, peer.goneWith, peer.exchanges.length]).toEqual([floods.resets + 1, CALM, 0]);
    expect<string[]>(peer.refused.map(({ code }) => code)).toEqual([
      ...Array.from({ length: turns }, () => "fields-too-large"),
      "flooding",
    ]);
    expect(peer.refused[0]!.message).not.toContain("xxxx");
  });

  test("more fields than allowed, within all sizes", () => {
    const peer = new TestClient(hello);
    const fields = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`x-${i}`, "1"]));
    expect(peer.get(1, fields).status(1)).toBe(431);
  });
});

describe("what is kept for a client that does not read or send on", () => {
  test("request content that nobody takes: one window for each stream, one for the connection", () => {
    const peer = new TestClient(forever);
    const before = queuedOctets();
    for (let id = 1; id < 20; id += 2) peer.post(id);
    const piece = "x".repeat(16_000);
    until(peer, 100, (turn) => peer.data(((turn * 2 - 1) % 20) as number, piece));
    expect(peer.goneWith).toBe(3);
    expect(peer.closedCalls).toBe(1);
    expect(queuedOctets() - before).toBe(0);
  });

  test("a response that is not taken: what its source had read, counted with limits.queued", () => {
    const before = queuedOctets();
    const sources: HandSource[] = [];
    const peer = new TestClient(() => {
      const source = new HandSource();
      sources.push(source);
      return new HttpResponse(200, undefined, source);
    }).settings(Setting.initialWindowSize, 10);
    for (let id = 1; id <= 20; id += 2) peer.get(id);
    for (const source of sources) source.write("x".repeat(1010));
    expect(sources.every(({ paused }) => paused)).toBe(true);
    expect(queuedOctets() - before).toBe(10_000);
    peer.reset(1);
    expect(queuedOctets() - before).toBe(9000);
    pass(60_001);
    expect(queuedOctets() - before).toBe(0);
    expect(sources.every(({ cancelled }) => cancelled !== null)).toBe(true);
    peer.connection.lose();
  });

  test("content that is cancelled is not kept, and its window is not given back", () => {
    const sink = new HandSink();
    const peer = new TestClient((exchange) => {
      exchange.request.body.sendTo(sink);
      return forever();
    }).post(1);
    const before = queuedOctets();
    sink.flow.pause();
    peer.data(1, "x".repeat(10_000));
    expect(queuedOctets() - before).toBe(10_000);
    sink.flow.cancel(new Failure("client-closed", "not wanted"));
    expect(queuedOctets() - before).toBe(0);
    const turns = until(peer, 10, () => peer.data(1, "x".repeat(16_000)));
    expect([turns, peer.stream(1).reset, peer.goneWith]).toEqual([11, 3, null]);
    peer.connection.lose();
  });
});

test("budgets are refilled by time", () => {
  const guard = new FloodGuard({ resets: 10, resetsPerSecond: 5, frames: 10, framesPerSecond: 10 });
  for (let i = 0; i < 10; i++) guard.reset();
  expect(() => guard.reset()).toThrow(expect.objectContaining({ code: CALM }));
  pass(2000);
  // 10 more, less the one that was too much.
  for (let i = 0; i < 9; i++) guard.reset();
  expect(() => guard.reset()).toThrow();
});
