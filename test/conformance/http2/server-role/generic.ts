/** How a connection begins, and what all frames have in common: RFC 9113 §3, §4, §5.4, §5.5. */
import { expect } from "bun:test";
import { GET, get, HostileClient } from "../hostile-client.ts";
import { literals } from "../hpack.ts";
import { accepted, connectionError, eitherError, expectAlive, ignored, type ServerCase, shows } from "../verdict.ts";
import {
  Code,
  continuation,
  DEFAULT_FRAME,
  data,
  type FieldLine,
  Flag,
  frame,
  goaway,
  headers,
  headersBlock,
  PREFACE,
  ping,
  priority,
  rstStream,
  Setting,
  settings,
  settingsAck,
  Type,
  u32,
  windowUpdate,
} from "../wire.ts";

/** What begins otherwise ends; GOAWAY may be left out, as the peer does not speak HTTP/2 (RFC 9113 §3.4). */
const notHttp2 = (name: string, ...pieces: (string | Buffer)[]): ServerCase => ({
  name: `RFC 9113 §3.4 ${name}: the connection ends`,
  run() {
    const client = new HostileClient().send(...pieces);
    expect(client.connection.fate).not.toBe("open");
    expect([null, Code.protocol] as (number | null)[]).toContain(client.goawayCode);
    expect(client.application.requests).toEqual([]);
  },
});

const notSettings = (name: string, first: Buffer): ServerCase => ({
  name: `RFC 9113 §3.4 ${name} where the client's first SETTINGS should be: connection error`,
  run() {
    const client = new HostileClient().send(PREFACE, first);
    expect(client.goawayCode).toBe(Code.protocol);
    expect(client.connection.fate).not.toBe("open");
    expect(client.application.requests).toEqual([]);
  },
});

const block = literals(GET);

/** Frames that must not stand between HEADERS and its CONTINUATION. */
const interrupted = (name: string, intruder: Buffer): ServerCase =>
  connectionError(`9113 §4.3 ${name} within a field block`, Code.protocol, (client) =>
    client.send(headersBlock(1, block.subarray(0, 5), Flag.endStream), intruder, continuation(1, block.subarray(5))),
  );

/** Frames with a fixed length, and another one. */
const misSized = (name: string, wrong: Buffer): ServerCase =>
  connectionError(`9113 §4.2, §6 ${name}`, Code.frameSize, (client) => client.request(1, "/wait").send(wrong));

export const GENERIC: readonly ServerCase[] = [
  notHttp2("a preface that is not the preface", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"),
  notHttp2("an HTTP/1.1 request", "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n"),
  notHttp2("a preface whose last octet is wrong", `${PREFACE.slice(0, -1)}x`),
  notHttp2("octets of a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaa"),
  notSettings("HEADERS", headers(1, GET)),
  notSettings("PING", ping()),
  notSettings("an unknown frame", frame(0xfa, 0, 0, "abc")),
  notSettings("an acknowledgement of SETTINGS", settingsAck()),
  {
    name: "RFC 9113 §3.4 the server's preface is SETTINGS without ACK on stream 0",
    run() {
      const [first] = HostileClient.connected().frames;
      expect([first?.type, first?.stream, first!.flags & Flag.ack]).toEqual([Type.settings, 0, 0]);
    },
  },
  {
    name: "RFC 9113 §3.4 preface, SETTINGS and a request, octet by octet",
    run() {
      const client = new HostileClient();
      const all = Buffer.concat([Buffer.from(PREFACE), settings(), settingsAck(), headers(1, GET)]);
      client.send(...[...all].map((octet) => Buffer.of(octet)));
      expect(client.answer(1)).toMatchObject({ status: 200, content: "ok" });
    },
  },
  {
    name: "RFC 9113 §3.4 a request before the server's SETTINGS are acknowledged",
    run() {
      const client = new HostileClient().sendTogether(PREFACE, settings(), headers(1, GET));
      expect(client.answer(1)).toMatchObject({ status: 200, content: "ok" });
      expectAlive(client);
    },
  },

  ignored("9113 §4.1, §5.5 an unknown frame type on stream 0", (client) => client.send(frame(0xfa, 0xff, 0, "abc"))),
  ignored("9113 §5.5 an unknown frame type on an idle stream", (client) => client.send(frame(0x20, 0, 5, "abc"))),
  accepted("9113 §4.1, §5.5 an unknown frame type on an open stream", (client) =>
    client.send(headers(1, get("/echo"), Flag.endHeaders), frame(0xfa, 0xff, 1, "abc"), data(1, "", Flag.endStream)),
  ),
  ignored("9113 §5.5 an unknown frame without payload", (client) => client.send(frame(0xff, 0, 0))),
  ignored("9113 §5.5 frames of other specifications (ALTSVC, ORIGIN, PRIORITY_UPDATE)", (client) =>
    client.send(
      frame(0xa, 0, 0, "\0\0h2"),
      frame(0xc, 0, 0, ""),
      frame(0x10, 0, 0, Buffer.concat([u32(1), Buffer.from("u=1")])),
    ),
  ),
  accepted("9113 §4.1 undefined flags of HEADERS", (client) =>
    client.send(headers(1, GET, Flag.endHeaders | Flag.endStream | 0x82)),
  ),
  accepted(
    "9113 §4.1 undefined flags of DATA",
    (client) => client.send(headers(1, get("/echo"), Flag.endHeaders), data(1, "abc", Flag.endStream | 0xf6)),
    { content: "abc" },
  ),
  shows("9113 §4.1 undefined flags of PING are no ACK", (client) => {
    client.send(ping("abcdefgh", 0xfe));
    expect(client.of(Type.ping)).toHaveLength(1);
    expectAlive(client);
  }),
  ignored("9113 §4.1 undefined flags of SETTINGS", (client) => client.send(frame(Type.settings, 0xfe, 0))),
  accepted("9113 §4.1 the reserved bit of a stream identifier", (client) => client.send(headers(0x8000_0001, GET))),
  ignored("9113 §4.1 the reserved bit of PING", (client) => client.send(frame(Type.ping, 0, 0x8000_0000, "12345678"))),
  shows("9113 §6.8 the reserved bit of GOAWAY's last stream is ignored", (client) => {
    client.send(goaway(0x8000_0000));
    expect([null, Code.noError] as (number | null)[]).toContain(client.goawayCode);
  }),
  shows("9113 §6.9 the reserved bit of a window's increment", (client) => {
    client.send(settings([Setting.initialWindowSize, 0])).request(1, "/octets/10");
    client.send(windowUpdate(1, 0x8000_0004));
    expect(client.answer(1).content).toBe("xxxx");
  }),

  accepted(
    "9113 §4.2 DATA of 16 384 octets",
    (client) =>
      client.send(headers(1, get("/echo"), Flag.endHeaders), data(1, Buffer.alloc(DEFAULT_FRAME, "y"), Flag.endStream)),
    { content: "y".repeat(DEFAULT_FRAME) },
  ),
  accepted("9113 §4.2 a field block of 16 384 octets", (client) => {
    const lines: FieldLine[] = [...GET, ["x-a", "v".repeat(7000)], ["x-b", "v".repeat(7000)]];
    // Lengths of 127 and more take two octets more.
    const left = DEFAULT_FRAME - literals([...lines, ["x-c", ""]]).length - 2;
    client.send(headersBlock(1, literals([...lines, ["x-c", "v".repeat(left)]])));
    expect(left).toBeGreaterThan(127);
  }),
  eitherError("9113 §4.2 DATA longer than SETTINGS_MAX_FRAME_SIZE", Code.frameSize, (client) =>
    client.send(
      headers(1, get("/echo"), Flag.endHeaders),
      data(1, Buffer.alloc(client.announced(Setting.maxFrameSize, DEFAULT_FRAME) + 1), Flag.endStream),
    ),
  ),
  connectionError("9113 §4.2 HEADERS longer than SETTINGS_MAX_FRAME_SIZE", Code.frameSize, (client) =>
    client.send(headersBlock(1, Buffer.alloc(client.announced(Setting.maxFrameSize, DEFAULT_FRAME) + 1))),
  ),
  connectionError("9113 §4.2 CONTINUATION longer than SETTINGS_MAX_FRAME_SIZE", Code.frameSize, (client) =>
    client.send(
      headersBlock(1, block, Flag.endStream),
      continuation(1, Buffer.alloc(client.announced(Setting.maxFrameSize, DEFAULT_FRAME) + 1)),
    ),
  ),
  connectionError("9113 §4.2 SETTINGS longer than SETTINGS_MAX_FRAME_SIZE", Code.frameSize, (client) => {
    const most = client.announced(Setting.maxFrameSize, DEFAULT_FRAME);
    client.send(frame(Type.settings, 0, 0, Buffer.alloc(6 * (Math.floor(most / 6) + 1))));
  }),
  eitherError("9113 §4.2 a frame of 2^24-1 octets, of which only the head comes", Code.frameSize, (client) =>
    client.send(headers(1, get("/echo"), Flag.endHeaders), Buffer.from("ffffff000000000001", "hex")),
  ),
  misSized("PING of 7 octets", frame(Type.ping, 0, 0, "1234567")),
  misSized("PING of 9 octets", frame(Type.ping, 0, 0, "123456789")),
  misSized("PING without octets", frame(Type.ping, 0, 0)),
  misSized("RST_STREAM of 3 octets", frame(Type.rstStream, 0, 1, "\0\0\0")),
  misSized("RST_STREAM of 5 octets", frame(Type.rstStream, 0, 1, "\0\0\0\0\x08")),
  misSized("WINDOW_UPDATE of 3 octets", frame(Type.windowUpdate, 0, 0, "\0\0\x01")),
  misSized("WINDOW_UPDATE of 5 octets on a stream", frame(Type.windowUpdate, 0, 1, "\0\0\0\x01\0")),
  misSized("SETTINGS of 5 octets", frame(Type.settings, 0, 0, "\0\x03\0\0\0")),
  misSized("SETTINGS of 7 octets", frame(Type.settings, 0, 0, "\0\x03\0\0\0\x01\0")),
  misSized("an acknowledgement of SETTINGS with a payload", frame(Type.settings, Flag.ack, 0, "\0\x03\0\0\0\x01")),
  misSized("GOAWAY of 7 octets", frame(Type.goaway, 0, 0, "\0\0\0\0\0\0\0")),
  eitherError("9113 §6.3 PRIORITY of 4 octets", Code.frameSize, (client) =>
    client.request(1, "/wait").send(frame(Type.priority, 0, 1, "\0\0\0\0")),
  ),
  eitherError("9113 §6.3 PRIORITY of 6 octets", Code.frameSize, (client) =>
    client.request(1, "/wait").send(frame(Type.priority, 0, 1, "\0\0\0\0\x0f\0")),
  ),
  connectionError(
    "9113 §6.2 HEADERS with PRIORITY and fewer octets than that takes",
    [Code.frameSize, Code.protocol],
    (client) => client.send(frame(Type.headers, Flag.endHeaders | Flag.endStream | Flag.priority, 1, "\0\0\0\0")),
  ),
  connectionError("9113 §6.2 HEADERS with PADDED and no octet", [Code.frameSize, Code.protocol], (client) =>
    client.send(frame(Type.headers, Flag.endHeaders | Flag.endStream | Flag.padded, 1)),
  ),
  connectionError("9113 §6.1 DATA with PADDED and no octet", [Code.frameSize, Code.protocol], (client) =>
    client.send(headers(1, get("/echo"), Flag.endHeaders), frame(Type.data, Flag.padded, 1)),
  ),

  interrupted("DATA", data(1, "abc")),
  interrupted("HEADERS of the same stream", headersBlock(1, block.subarray(5))),
  interrupted("HEADERS of another stream", headers(3, GET)),
  interrupted("PRIORITY", priority(1)),
  interrupted("RST_STREAM", rstStream(1)),
  interrupted("SETTINGS", settings()),
  interrupted("PING", ping()),
  interrupted("GOAWAY", goaway(0)),
  interrupted("WINDOW_UPDATE", windowUpdate(0, 1)),
  interrupted("an unknown frame", frame(0xfa, 0, 1, "abc")),
  interrupted("an unknown frame on stream 0", frame(0xfa, 0, 0, "abc")),
  interrupted("CONTINUATION of another stream", continuation(3, block.subarray(5))),

  shows("9113 §4.3 a field block that is cut anywhere", (client) => {
    for (let at = 0; at <= block.length; at++) {
      const stream = 2 * at + 1;
      client.send(
        headersBlock(stream, block.subarray(0, at), Flag.endStream),
        continuation(stream, block.subarray(at)),
      );
      expect(client.answer(stream)).toMatchObject({ status: 200, ended: true });
    }
    expectAlive(client);
  }),
  accepted("9113 §4.3 a field block in four pieces, one of them empty", (client) =>
    client.send(
      headersBlock(1, "", Flag.endStream),
      continuation(1, block.subarray(0, 7), 0),
      continuation(1, "", 0),
      continuation(1, block.subarray(7)),
    ),
  ),
  accepted("9113 §4.3 a field block whose last CONTINUATION is empty", (client) =>
    client.send(headersBlock(1, block, Flag.endStream), continuation(1, "")),
  ),
  connectionError("9113 §4.3 a field block that cannot be decoded", Code.compression, (client) =>
    client.send(headersBlock(1, "\xff\xff\xff\xff\xff\xff\xff\xff")),
  ),
  connectionError(
    "9113 §4.3 a field block of another connection's reset stream that cannot be decoded",
    Code.compression,
    (client) => client.send(headers(1, get("/wait"), Flag.endHeaders), rstStream(1), headersBlock(3, "\xbe")),
  ),
  shows("9113 §5.4.1 GOAWAY names the last stream that was worked on", (client) => {
    client.request(1).request(5, "/wait").send(data(0, "x"));
    expect(client.of(Type.goaway).at(-1)?.payload.readUInt32BE(0)).toBe(5);
  }),
  shows("9113 §5.4.1 a connection error ends the exchanges in work", (client) => {
    client.send(headers(1, get("/wait"), Flag.endHeaders), data(1, "abc"), data(0, "x"));
    const [request] = client.application.requests;
    expect(request!.aborted || request!.ended !== "").toBe(true);
    expect(client.application.requests).toHaveLength(1);
  }),
  shows("9113 §5.4.1 nothing is worked on after a connection error", (client) => {
    client.sendTogether(data(0, "x"), headers(1, GET));
    expect(client.application.requests).toEqual([]);
    expect(client.of(Type.headers)).toEqual([]);
  }),
];
