/**
 * Conversations with octets changed, dropped, doubled and cut anywhere: no engine may throw, hang an
 * exchange or write anything that is not frames, and what was cut must not look whole.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { RUNS } from "../../../src/protocol/http1/testing.ts";
import { Application } from "./application.ts";
import { GET, get, HostileClient, post } from "./hostile-client.ts";
import { type Asked, HostileServer, OK, ok } from "./hostile-server.ts";
import { indexed, literal, literals } from "./hpack.ts";
import {
  continuation,
  data,
  Flag,
  goaway,
  headers,
  headersBlock,
  PREFACE,
  paddedData,
  ping,
  priority,
  rstStream,
  Setting,
  settings,
  settingsAck,
  Type,
  windowUpdate,
} from "./wire.ts";

/** What a client may say after its preface, in an order that may be right. */
const CLIENT_FRAMES: readonly Buffer[] = [
  settingsAck(),
  headers(1, GET),
  headers(3, post("/echo", ["content-length", "6"]), Flag.endHeaders),
  data(3, "abc"),
  paddedData(3, "def", 5, Flag.endStream),
  headersBlock(5, Buffer.concat([literals(GET), literal("x-a", "b", "incremental", true)])),
  headersBlock(7, Buffer.concat([literals(GET), indexed(62)]), Flag.endStream),
  continuation(7, literals([["x-b", "c"]])),
  headers(9, get("/octets/100000")),
  windowUpdate(0, 100_000),
  windowUpdate(9, 100_000),
  settings([Setting.initialWindowSize, 100], [Setting.headerTableSize, 0]),
  ping(),
  priority(11, 3),
  headers(13, get("/wait")),
  rstStream(13),
  headers(15, post("/echo"), Flag.endHeaders),
  data(15, "abc"),
  headers(15, [["x-sum", "3"]]),
  goaway(0),
];

const SERVER_FRAMES: readonly Buffer[] = [
  settings([Setting.maxConcurrentStreams, 50]),
  settingsAck(),
  headers(1, ok(["content-length", "6"]), Flag.endHeaders),
  data(1, "abc"),
  paddedData(1, "def", 5, Flag.endStream),
  headers(3, [[":status", "103"]], Flag.endHeaders),
  headersBlock(3, Buffer.concat([literals(OK), literal("x-a", "b", "incremental", true)]), 0),
  continuation(3, literals([["x-b", "c"]])),
  headersBlock(5, Buffer.concat([literals(OK), indexed(62)]), Flag.endHeaders),
  data(5, Buffer.alloc(10_000, "x")),
  headers(5, [["x-sum", "3"]]),
  ping(),
  windowUpdate(7, 1000),
  rstStream(7),
  headers(9, OK),
  settings([Setting.initialWindowSize, 100_000]),
  goaway(9),
];

interface Change {
  readonly kind: "flip" | "drop" | "double" | "insert" | "swap";
  readonly at: number;
  readonly value: number;
}

const changes = fc.array(
  fc.record({
    kind: fc.constantFrom("flip", "drop", "double", "insert", "swap"),
    at: fc.nat(10_000),
    value: fc.nat(255),
  }),
  { maxLength: 4 },
);

function changed(frames: readonly Buffer[], changes: readonly Change[]): Buffer {
  const pieces = frames.map((piece) => Buffer.from(piece));
  for (const { kind, at, value } of changes) {
    const index = at % pieces.length;
    const piece = pieces[index]!;
    if (kind === "drop") pieces.splice(index, pieces.length > 1 ? 1 : 0);
    else if (kind === "double") pieces.splice(index, 0, piece);
    else if (kind === "insert") pieces.splice(index, 0, Buffer.of(value));
    else if (kind === "swap") pieces.push(...pieces.splice(index, 1));
    else piece[value % piece.length]! ^= 1 << (at % 8);
  }
  return Buffer.concat(pieces);
}

/** Octets in pieces of these sizes, in turn. */
function cut(octets: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, turn = 0; at < octets.length; turn++)
    pieces.push(octets.subarray(at, (at += sizes[turn % sizes.length]!)));
  return pieces;
}

const sizes = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 5 });

test("a server bears every change to what a client says", () => {
  fc.assert(
    fc.property(changes, sizes, (changes, sizes) => {
      const application = new Application();
      const client = new HostileClient(application).send(PREFACE, settings());
      client.send(...cut(changed(CLIENT_FRAMES, changes), sizes));
      client.connection.end();
      client.receive();
      if (client.connection.fate === "open") client.connection.lose();
      // Every exchange came to its end, and what was written are frames.
      expect(application.finished).toBe(application.requests.length);
      for (const request of application.requests) expect(request.ended === "" && !request.aborted).toBe(false);
    }),
    { numRuns: RUNS * 5 },
  );
});

test("a client bears every change to what a server says", () => {
  fc.assert(
    fc.property(changes, sizes, (changes, sizes) => {
      const server = new HostileServer();
      const asked: Asked[] = [server.ask(), server.ask(), server.ask(), server.post("x".repeat(100_000)), server.ask()];
      server.send(...cut(changed(SERVER_FRAMES, changes), sizes));
      if (server.connection.fate === "open") server.connection.end();
      server.receive();
      expect(server.events.filter((event) => event.startsWith("fault"))).toEqual([]);
      expect(server.events.at(-1)).toBe("gone");
      for (const { failed, completed, response, ended } of asked) {
        // One or the other, and content that is complete exactly if the exchange is.
        expect(failed === "").toBe(response !== null);
        if (response !== null) expect(completed === "end").toBe(ended === "end");
      }
      expect(server.of(Type.goaway).length).toBeLessThanOrEqual(1);
    }),
    { numRuns: RUNS * 5 },
  );
});
