import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Failure } from "../../base/failure.ts";
import { collect, MemoryBody } from "../../http/body.ts";
import { HttpResponse } from "../../http/message.ts";
import { cut, everySplit, pass, RUNS } from "../http1/testing.ts";
import { CLIENT_PREFACE, Flag, FrameType } from "./frame.ts";
import { FrameDecoder, type FrameTaker } from "./frame-decoder.ts";
import { FrameOutput } from "./frame-output.ts";
import { pairs, TestClient, word } from "./testing.ts";

/** Writes down what it is told. */
class Notes implements FrameTaker {
  stopped = false;
  lines: string[] = [];
  #content = "";

  onDataBegin(id: number, octets: number): void {
    this.lines.push(`data ${id} ${octets}`);
    this.#content = "";
  }
  onData(_id: number, octets: Uint8Array): void {
    if (octets.length === 0) throw new Error("a piece of nothing");
    this.#content += Buffer.from(octets).toString("latin1");
  }
  onDataEnd(id: number, endStream: boolean): void {
    this.lines.push(`content ${id} ${this.#content} ${endStream}`);
  }
  onFieldBlock(id: number, endStream: boolean, octets: Buffer, start: number, end: number, dependsOn: number): void {
    this.lines.push(`block ${id} ${endStream} ${octets.toString("latin1", start, end)} ${dependsOn}`);
  }
  onFieldBlockBegin(): void {}
  onPriority(id: number, dependsOn: number): void {
    this.lines.push(`priority ${id} ${dependsOn}`);
  }
  onResetStream(id: number, code: number): void {
    this.lines.push(`reset ${id} ${code}`);
  }
  onSettings(octets: Buffer, start: number, end: number): void {
    this.lines.push(`settings ${octets.toString("hex", start, end)}`);
  }
  onSettingsAck(): void {
    this.lines.push("settings ack");
  }
  onPing(ack: boolean, octets: Buffer, at: number): void {
    this.lines.push(`ping ${ack} ${octets.toString("latin1", at, at + 8)}`);
  }
  onGoAway(last: number, code: number, debug: string): void {
    this.lines.push(`goaway ${last} ${code} ${debug}`);
  }
  onWindowUpdate(id: number, octets: number): void {
    this.lines.push(`window ${id} ${octets}`);
  }
  onPushPromise(): void {
    this.lines.push("push");
  }
  onPriorityUpdate(id: number, value: string): void {
    this.lines.push(`priority update ${id} ${value}`);
  }
  onUnknown(): void {
    this.lines.push("unknown");
  }
}

const LIMITS = { frameOctets: 16_384, blockOctets: 1000, continuations: 4 };

function decode(...pieces: Uint8Array[]): string[] {
  const notes = new Notes();
  const decoder = new FrameDecoder(LIMITS, notes);
  // All pieces come in the same room, one after the other, as reads do.
  const room = Buffer.alloc(64 * 1024);
  for (const piece of pieces) {
    room.fill(0xee);
    room.set(piece, 5);
    decoder.decode(room, 5, 5 + piece.length);
  }
  return notes.lines;
}

const frame = (type: number, flags: number, id: number, payload: Uint8Array | string = ""): Buffer => {
  const octets = Buffer.from(payload as string, "latin1");
  const header = Buffer.alloc(9);
  header.writeUIntBE(octets.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(id, 5);
  return Buffer.concat([header, octets]);
};

const CONVERSATION = Buffer.concat([
  frame(FrameType.settings, 0, 0, pairs(3, 100)),
  frame(FrameType.settings, Flag.ack, 0),
  frame(FrameType.headers, Flag.endHeaders, 1, "a head"),
  frame(
    FrameType.headers,
    Flag.padded | Flag.priority,
    3,
    Buffer.concat([Buffer.of(2), word(1), Buffer.of(9), Buffer.from("beg__")]),
  ),
  frame(FrameType.continuation, 0, 3, "inn"),
  frame(FrameType.continuation, Flag.endHeaders, 3, "ing"),
  frame(FrameType.data, 0, 1, "content"),
  frame(FrameType.data, Flag.padded, 1, "\x03paddedxxx"),
  frame(FrameType.data, Flag.padded, 1, "\x03xxx"),
  frame(FrameType.data, Flag.padded, 1, "\x00"),
  frame(0x77, 0xff, 5, "who knows"),
  frame(FrameType.data, Flag.endStream, 1),
  frame(FrameType.windowUpdate, 0, 1, word(2 ** 31 + 7)),
  frame(FrameType.resetStream, 0, 3, word(0xffffffff)),
  frame(FrameType.priority, 0, 7, Buffer.concat([word(2 ** 31 + 5), Buffer.of(1)])),
  frame(FrameType.priorityUpdate, 0, 0, Buffer.concat([word(7), Buffer.from("u=1")])),
  frame(FrameType.ping, Flag.ack, 0, "12345678"),
  frame(FrameType.pushPromise, Flag.endHeaders, 1, "xxxx"),
  frame(FrameType.goAway, 0, 0, Buffer.concat([word(9), word(2), Buffer.from("bye")])),
]);

const TOLD = [
  "settings 000300000064",
  "settings ack",
  "block 1 false a head -1",
  "block 3 false beginning 1",
  "data 1 7",
  "content 1 content false",
  "data 1 10",
  "content 1 padded false",
  "data 1 4",
  "content 1  false",
  "data 1 1",
  "content 1  false",
  "unknown",
  "data 1 0",
  "content 1  true",
  "window 1 7",
  "reset 3 4294967295",
  "priority 7 5",
  "priority update 7 u=1",
  "ping true 12345678",
  "push",
  "goaway 9 2 bye",
];

describe("frames are the same however the octets are cut", () => {
  test("at every place, and into single octets", () => {
    for (const pieces of everySplit(CONVERSATION)) expect(decode(...pieces)).toEqual(TOLD);
  });

  test("at any places", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40), { minLength: 1, maxLength: 10 }), (sizes) => {
        expect(decode(...cut(CONVERSATION, sizes))).toEqual(TOLD);
      }),
      { numRuns: RUNS },
    );
  });
});

describe("what a frame says by itself is refused at once: before its payload is there", () => {
  const header = (length: number, type: number, flags: number, id: number): Buffer => {
    const octets = frame(type, flags, id);
    octets.writeUIntBE(length, 0, 3);
    return octets;
  };
  test.each([
    ["a frame larger than allowed", 6, header(16_385, FrameType.data, 0, 1)],
    ["an unknown frame larger than allowed", 6, header(16_385, 0x77, 0, 1)],
    ["DATA on stream 0", 1, header(1, FrameType.data, 0, 0)],
    ["HEADERS on stream 0", 1, header(1, FrameType.headers, 0, 0)],
    ["PRIORITY on stream 0", 1, header(5, FrameType.priority, 0, 0)],
    ["RST_STREAM on stream 0", 1, header(4, FrameType.resetStream, 0, 0)],
    ["SETTINGS on a stream", 1, header(0, FrameType.settings, 0, 1)],
    ["PING on a stream", 1, header(8, FrameType.ping, 0, 1)],
    ["GOAWAY on a stream", 1, header(8, FrameType.goAway, 0, 1)],
    ["PRIORITY_UPDATE on a stream", 1, header(8, FrameType.priorityUpdate, 0, 1)],
    ["CONTINUATION alone", 1, header(1, FrameType.continuation, 0, 1)],
    ["PRIORITY of 4 octets", 6, header(4, FrameType.priority, 0, 1)],
    ["RST_STREAM of 5 octets", 6, header(5, FrameType.resetStream, 0, 1)],
    ["SETTINGS of 7 octets", 6, header(7, FrameType.settings, 0, 0)],
    ["SETTINGS with ACK and a payload", 6, header(6, FrameType.settings, Flag.ack, 0)],
    ["PING of 7 octets", 6, header(7, FrameType.ping, 0, 0)],
    ["GOAWAY of 7 octets", 6, header(7, FrameType.goAway, 0, 0)],
    ["WINDOW_UPDATE of 3 octets", 6, header(3, FrameType.windowUpdate, 0, 0)],
    ["padded DATA without room for a length", 6, header(0, FrameType.data, Flag.padded, 1)],
    ["padded HEADERS without room for a length", 6, header(0, FrameType.headers, Flag.padded, 1)],
    [
      "another frame within a head",
      1,
      Buffer.concat([frame(FrameType.headers, 0, 1, "x"), header(8, FrameType.ping, 0, 0)]),
    ],
    ["an unknown frame within a head", 1, Buffer.concat([frame(FrameType.headers, 0, 1), header(8, 0x77, 0, 0)])],
    [
      "CONTINUATION of another stream",
      1,
      Buffer.concat([frame(FrameType.headers, 0, 1), header(8, FrameType.continuation, 0, 3)]),
    ],
    ["DATA of more padding than payload", 1, frame(FrameType.data, Flag.padded, 1, "\x04abc")],
    ["HEADERS of more padding than payload", 1, frame(FrameType.headers, Flag.padded, 1, "\x04abc")],
    ["HEADERS without room for its priority", 6, frame(FrameType.headers, Flag.priority, 1, "abcd")],
    ["a field block of more octets than allowed", 11, frame(FrameType.headers, Flag.endHeaders, 1, "x".repeat(1001))],
  ])("%s", (_, code, octets) => {
    for (const pieces of everySplit(octets)) expect(() => decode(...pieces)).toThrow(expect.objectContaining({ code }));
  });
});

test("a head that is longer than a frame may be is cut into CONTINUATION, and put together again", () => {
  const out = new FrameOutput();
  const at = out.beginHeaders(5);
  out.text("x".repeat(950));
  out.endHeaders(at, 5, true, 300);
  const octets = Buffer.from(out.buffer.subarray(0, out.length));
  out.length = 0;
  expect(decode(octets)).toEqual([`block 5 true ${"x".repeat(950)} -1`]);
  expect(octets.length).toBe(950 + 4 * 9);
});

describe("whatever comes, nothing of ours breaks and nothing is left", () => {
  const someFrame = fc
    .record({
      type: fc.oneof({ weight: 9, arbitrary: fc.nat(9) }, { weight: 1, arbitrary: fc.nat(255) }),
      flags: fc.oneof(fc.constantFrom(0, 1, 4, 5, 8, 0x20, 0x2d), fc.nat(255)),
      id: fc.constantFrom(0, 1, 1, 3, 5, 7, 2, 2 ** 31 - 1),
      payload: fc.oneof(
        fc.uint8Array({ maxLength: 30 }),
        fc.constantFrom(
          word(1),
          word(0),
          word(2 ** 31 - 1),
          pairs(4, 0),
          pairs(4, 2 ** 31 - 1),
          pairs(1, 0, 1, 4096),
          Buffer.from("12345678"),
          // GET http a /, GET with a dynamic entry, and that entry.
          Buffer.from("828684410161", "hex"),
          Buffer.from("838684410161", "hex"),
          Buffer.from("828684be", "hex"),
        ),
      ),
    })
    .map(({ type, flags, id, payload }) => frame(type, flags, id, payload));

  test("frames that make little sense, cut anywhere", () => {
    fc.assert(
      fc.property(fc.array(someFrame, { maxLength: 40 }), fc.array(fc.nat(60), { minLength: 1 }), (frames, sizes) => {
        const peer = new TestClient(async ({ request }) => {
          const content = await collect(request.body, 1e5, () => new Failure("content-too-large", "large"));
          return new HttpResponse(200, undefined, new MemoryBody(content.length > 0 ? content : Buffer.alloc(70_000)));
        });
        for (const piece of cut(Buffer.concat(frames), sizes)) {
          if (peer.closedCalls === 0) peer.send(piece);
        }
        peer.read();
        if (peer.closedCalls === 0) {
          // It still works, or waits for the rest of something; then time ends it.
          pass(31_000);
          pass(61_000);
          pass(76_000);
          pass(76_000);
        }
        if (peer.closedCalls === 0) peer.connection.lose();
        expect(peer.faults).toEqual([]);
        expect(peer.finished).toHaveLength(peer.exchanges.length);
        expect(peer.server.idle).toBe(true);
      }),
      { numRuns: RUNS * 2 },
    );
  });

  test("octets that are no HTTP/2 at all", () => {
    for (const octets of ["GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\x00", "\x16\x03\x01\x02\x00"]) {
      const peer = new TestClient(() => new HttpResponse(200), {}, false);
      peer.send(Buffer.from(octets, "latin1"));
      expect([peer.goneWith, peer.closedCalls, peer.refused.length]).toEqual([1, 1, 1]);
    }
  });

  test("anything but SETTINGS after the preface (RFC 9113 §3.4)", () => {
    const peer = new TestClient(() => new HttpResponse(200), {}, false);
    peer.send(Buffer.from(CLIENT_PREFACE), frame(FrameType.ping, 0, 0, "12345678"));
    expect(peer.goneWith).toBe(1);
  });
});
