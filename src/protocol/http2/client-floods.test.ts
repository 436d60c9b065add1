/** What an origin server can do to make us work for nothing, and after how many frames it is ended. */
import { describe, expect, test } from "bun:test";
import { HostileServer, OK, ok } from "../../../test/conformance/http2/hostile-server.ts";
import {
  Code,
  data,
  Flag,
  frame,
  goaway,
  headers,
  paddedData,
  ping,
  priority,
  rstStream,
  Setting,
  settings,
  settingsAck,
  windowUpdate,
} from "../../../test/conformance/http2/wire.ts";
import { pass } from "../http1/testing.ts";
import { HandSource } from "../http1/testing-bodies.ts";
import { DEFAULT_FLOOD_LIMITS, originLimits } from "./floods.ts";
import { FrameType } from "./frame.ts";

const FRAMES = 1000;
const limited = () => HostileServer.with({ floods: { frames: FRAMES, framesPerSecond: 0 } });

/** Sends something again and again until the connection ends. @returns how often */
function until(server: HostileServer, most: number, octets: (turn: number) => Uint8Array): number {
  for (let turn = 1; turn <= most; turn++) {
    server.send(octets(turn));
    if (server.connection.fate !== "open") return turn;
  }
  return most + 1;
}

describe("frames that carry nothing: after 1000 of them, of whatever kind", () => {
  const flood = (name: string, octets: Uint8Array, weight = 1) =>
    test(name, () => {
      const server = limited();
      // 1 is over, 3 has its head, 5 sends on.
      const over = server.ask();
      server.answer(1, "abc");
      const [cut, waiting] = [server.ask(), server.post(new HandSource())];
      server.send(headers(3, OK, Flag.endHeaders));
      const turns = until(server, 3000, () => octets);
      expect(turns).toBeGreaterThan(FRAMES / weight - 30);
      expect(turns).toBeLessThanOrEqual(FRAMES / weight + 1);
      expect(server.receive().goawayCode).toBe(Code.calm);
      expect([over.ended, cut.ended, waiting.failed]).toEqual(["end", "upstream-malformed", "upstream-malformed"]);
      expect(waiting.failure!.message).toContain("limits.http2.frames");
    });

  flood("PING", ping());
  flood("PING with ACK", ping("12345678", Flag.ack));
  flood("SETTINGS", settings([Setting.initialWindowSize, 100_000]), 10);
  flood("SETTINGS with ACK", settingsAck(), 10);
  flood("PRIORITY", priority(1));
  flood("PRIORITY_UPDATE", frame(FrameType.priorityUpdate, 0, 0, Buffer.of(0, 0, 0, 1)));
  flood("WINDOW_UPDATE of the connection", windowUpdate(0, 1));
  flood("WINDOW_UPDATE of a stream", windowUpdate(5, 1));
  flood("WINDOW_UPDATE of a stream that is over", windowUpdate(1, 1));
  flood("RST_STREAM of a stream that is over", rstStream(1));
  flood("empty DATA", data(3, ""));
  flood("DATA of padding", paddedData(3, "", 0));
  flood("frames of unknown types", frame(0x77, 0, 0, "x"));
});

test("GOAWAY, again and again", () => {
  const server = limited();
  const asked = server.ask();
  expect(until(server, 3000, () => goaway(1))).toBeLessThanOrEqual(FRAMES / 10 + 1);
  expect([server.receive().goawayCode, asked.failed]).toEqual([Code.calm, "upstream-malformed"]);
});

test("heads on a stream that we have reset", () => {
  const server = limited();
  server.ask().stream.cancel();
  server.ask();
  const turns = until(server, 3000, () => headers(1, OK, Flag.endHeaders));
  expect(turns).toBeGreaterThan(FRAMES - 30);
  expect(turns).toBeLessThanOrEqual(FRAMES + 1);
  expect(server.receive().goawayCode).toBe(Code.calm);
});

test("interim responses: 100 of them for a request, then its stream ends and the connection goes on", () => {
  const server = HostileServer.connected();
  const [asked, other] = [server.ask(), server.ask()];
  for (let n = 0; n < 100; n++) server.send(headers(1, [[":status", "103"]], Flag.endHeaders));
  expect([asked.interim.length, asked.failed]).toEqual([100, ""]);
  server.send(headers(1, [[":status", "103"]], Flag.endHeaders));
  expect([asked.interim.length, asked.failed, server.resetCode(1)]).toEqual([100, "upstream-malformed", Code.calm]);
  server.answer(3, "abc");
  expect([other.completed, server.connection.fate]).toEqual(["end", "open"]);
});

describe("an origin server that has work to do may send as many", () => {
  test("with each stream come its windows and its PING", () => {
    const server = limited();
    for (let id = 1; id < 2000; id += 2) {
      server.ask();
      server.send(ping(), windowUpdate(0, 1), windowUpdate(id, 1)).answer(id, "abc");
    }
    expect([server.connection.fate, server.receive().goawayCode]).toEqual(["open", null]);
  });

  test("content that comes makes up for what comes between", () => {
    const server = limited();
    server.ask();
    server.send(headers(1, ok(), Flag.endHeaders));
    const turns = until(server, 2000, () => Buffer.concat([data(1, Buffer.alloc(4096)), ping(), ping()]));
    expect([turns, server.receive().goawayCode]).toEqual([2001, null]);
  });

  test("and content that we send makes up for windows that open", () => {
    const server = limited();
    const body = new HandSource();
    server.post(body);
    const turns = until(server, 2000, () => {
      body.write("x".repeat(4096));
      server.receive();
      return Buffer.concat([windowUpdate(0, 4096), windowUpdate(1, 4096)]);
    });
    expect([turns, server.receive().goawayCode]).toEqual([2001, null]);
  });

  // As grpc-go measures the round trip: before each PING it opens the connection's window, so that nobody takes it for a flood.
  test("small messages make up for the windows and the PING that each comes with", () => {
    const server = limited();
    const body = new HandSource();
    server.post(body);
    server.send(headers(1, ok(), Flag.endHeaders));
    const turns = until(server, 5000, () => {
      body.write("a message of no more than 40 octets");
      server.receive();
      return Buffer.concat([windowUpdate(0, 40), windowUpdate(1, 40), ping(), data(1, Buffer.alloc(40))]);
    });
    expect([turns, server.receive().goawayCode]).toEqual([5001, null]);
  });

  test("a window that opens by one octet at a time is ended, however much there is to send", () => {
    const server = HostileServer.with({ floods: { frames: FRAMES, framesPerSecond: 0 } });
    server.send(settings([Setting.initialWindowSize, 0]));
    server.post("x".repeat(100_000));
    expect(until(server, 3000, () => windowUpdate(1, 1))).toBeLessThanOrEqual(FRAMES + 1);
    expect(server.receive().goawayCode).toBe(Code.calm);
  });

  test("time makes up for all of it", () => {
    const server = HostileServer.with({ floods: { frames: 10, framesPerSecond: 5 } });
    // Silence costs nothing: an idle connection may be asked now and then for days.
    for (let n = 0; n < 100; n++) {
      pass(1000);
      // Not all five: the clock has fractions, and the differences are rounded.
      for (let i = 0; i < 4; i++) server.send(ping());
    }
    expect(server.connection.fate).toBe("open");
    // What is left, and what the time since it was last counted gives: a full budget each.
    expect(until(server, 100, () => ping())).toBeLessThanOrEqual(21);
  });
});

test("the many clients behind a connection: ten times what one of them may send", () => {
  expect(originLimits(DEFAULT_FLOOD_LIMITS)).toEqual({ frames: 10_000, framesPerSecond: 1000 });
});
