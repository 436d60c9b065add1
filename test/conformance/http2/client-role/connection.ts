/** Prefaces, frames, streams, GOAWAY and HPACK, as a client must take them: RFC 9113 §3 to §6, RFC 7541. */
import { expect } from "bun:test";
import { type ClientCase, connectionError, eitherError, expectAlive, ignored, shows } from "../client-verdict.ts";
import { HostileServer, OK, ok } from "../hostile-server.ts";
import { indexed, literal, literals, sizeUpdate } from "../hpack.ts";
import {
  Code,
  continuation,
  data,
  Flag,
  frame,
  goaway,
  headers,
  headersBlock,
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

const wrongFrame = (name: string, code: number, wrong: Buffer): ClientCase =>
  connectionError(`9113 §6 ${name}`, code, (server) => server.send(wrong));

const badSetting = (name: string, code: number, setting: number, value: number): ClientCase =>
  connectionError(`9113 §6.5.2 ${name}`, code, (server) => server.send(settings([setting, value])));

const undecodable = (name: string, ...pieces: (Buffer | string)[]): ClientCase =>
  connectionError(`7541 ${name}`, Code.compression, (server) =>
    server.send(
      headersBlock(1, Buffer.concat([literals(OK), ...pieces.map((piece) => Buffer.from(piece as string, "latin1"))])),
    ),
  );

const first = (name: string, ...pieces: (string | Buffer)[]): ClientCase => ({
  name: `RFC 9113 §3.4 ${name} where the server's SETTINGS should be: connection error`,
  run() {
    const server = new HostileServer();
    const asked = server.ask();
    server.send(...pieces);
    expect(server.goawayCode).toBe(Code.protocol);
    expect(server.connection.fate).not.toBe("open");
    expect(asked.failed).not.toBe("");
  },
});

const interrupted = (name: string, intruder: Buffer): ClientCase =>
  connectionError(`9113 §4.3 ${name} within a field block`, Code.protocol, (server) =>
    server.send(headersBlock(1, literals(OK), Flag.endStream), intruder, continuation(1, "")),
  );

export const CONNECTION: readonly ClientCase[] = [
  {
    name: "RFC 9113 §3.4 the client's preface is the octets and SETTINGS, before the server has said anything",
    run() {
      const { frames } = new HostileServer();
      expect([frames[0]?.type, frames[0]?.stream, frames[0]!.flags]).toEqual([Type.settings, 0, 0]);
    },
  },
  {
    name: "RFC 9113 §3.4 a request may go out before the server's SETTINGS are there",
    run() {
      const server = new HostileServer();
      const asked = server.ask();
      expect(server.head(1)).toContainEqual([":path", "/"]);
      server.send(settings(), settingsAck()).answer(1, "abc");
      expect(asked).toMatchObject({ status: 200, content: "abc", ended: "end" });
    },
  },
  shows("9113 §6.5.2, §8.4 the client refuses pushes", (server) => {
    expect(server.announced(Setting.enablePush, 1)).toBe(0);
  }),
  shows("9113 §6.5.3 SETTINGS are acknowledged", (server) => {
    expect(server.of(Type.settings).filter(({ flags }) => flags === Flag.ack)).toHaveLength(1);
    server.send(settings());
    expect(server.of(Type.settings).filter(({ flags }) => flags === Flag.ack)).toHaveLength(2);
  }),
  first("HEADERS", headers(1, OK)),
  first("PING", ping()),
  first("an acknowledgement of SETTINGS", settingsAck()),
  first("an HTTP/1.1 response", "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),

  shows("9113 §5.1.1 streams are odd, and each is higher than those before", (server) => {
    expect([server.ask(), server.ask(), server.ask()].map(({ stream }) => stream.id)).toEqual([1, 3, 5]);
  }),
  shows("9113 §4.2 DATA is not longer than 16 384 octets", (server) => {
    server.send(settings([Setting.initialWindowSize, 1 << 20]), windowUpdate(0, 1 << 20)).post("x".repeat(100_000));
    const lengths = server.of(Type.data, 1).map(({ payload }) => payload.length);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(16_384);
    expect([server.content(1).length, server.ended(1)]).toEqual([100_000, true]);
  }),
  shows("9113 §4.3 a long field section is cut into CONTINUATION", (server) => {
    server.ask("/", { fields: { "x-a": "a".repeat(20_000), "x-b": "b".repeat(20_000) } });
    expect(server.of(Type.continuation, 1).length).toBeGreaterThan(0);
    expect(server.head(1)).toContainEqual(["x-b", "b".repeat(20_000)]);
    expect(server.frames.every(({ payload }) => payload.length <= 16_384)).toBe(true);
  }),

  ignored("9113 §5.5 unknown frames", (server) =>
    server.send(frame(0xfa, 0xff, 0, "abc"), frame(0xfa, 0xff, 1, "abc"), frame(0xa, 0, 1, "\0\0h2")),
  ),
  ignored("9113 §6.5.2 an unknown setting", (server) => server.send(settings([0xfa, 1]))),
  ignored("9113 §6.3 PRIORITY", (server) => server.send(priority(1), priority(3), priority(2))),
  ignored("9113 §6.7 an answer to a PING that was not sent", (server) => server.send(ping("12345678", Flag.ack))),
  ignored("9113 §5.1 WINDOW_UPDATE and RST_STREAM on a stream that is over", (server) =>
    server.answer(1).send(windowUpdate(1, 10), rstStream(1)),
  ),
  shows("9113 §6.7 PING is answered with its own octets", (server) => {
    server.send(ping("\0\xff\r\nabcd"));
    expect(server.of(Type.ping).map(({ flags, payload }) => [flags, payload.toString("latin1")])).toEqual([
      [Flag.ack, "\0\xff\r\nabcd"],
    ]);
  }),

  wrongFrame("DATA on stream 0", Code.protocol, data(0, "abc")),
  wrongFrame("HEADERS on stream 0", Code.protocol, headers(0, OK)),
  wrongFrame("RST_STREAM on stream 0", Code.protocol, rstStream(0)),
  wrongFrame("CONTINUATION without HEADERS", Code.protocol, continuation(1, literals(OK))),
  wrongFrame("SETTINGS on a stream", Code.protocol, frame(Type.settings, 0, 1)),
  wrongFrame("PING on a stream", Code.protocol, frame(Type.ping, 0, 1, "12345678")),
  wrongFrame("GOAWAY on a stream", Code.protocol, frame(Type.goaway, 0, 1, Buffer.alloc(8))),
  wrongFrame("PING of 7 octets", Code.frameSize, frame(Type.ping, 0, 0, "1234567")),
  wrongFrame("RST_STREAM of 3 octets", Code.frameSize, frame(Type.rstStream, 0, 1, "abc")),
  wrongFrame("WINDOW_UPDATE of 5 octets", Code.frameSize, frame(Type.windowUpdate, 0, 1, "\0\0\0\x01\0")),
  wrongFrame("SETTINGS of 5 octets", Code.frameSize, frame(Type.settings, 0, 0, "abcde")),
  wrongFrame(
    "an acknowledgement with a payload",
    Code.frameSize,
    frame(Type.settings, Flag.ack, 0, "\0\x03\0\0\0\x01"),
  ),
  wrongFrame("GOAWAY of 7 octets", Code.frameSize, frame(Type.goaway, 0, 0, "1234567")),
  wrongFrame(
    "HEADERS of more octets than SETTINGS_MAX_FRAME_SIZE",
    Code.frameSize,
    headersBlock(1, Buffer.alloc(16_385)),
  ),
  wrongFrame(
    "PUSH_PROMISE",
    Code.protocol,
    frame(Type.pushPromise, Flag.endHeaders, 1, Buffer.concat([u32(2), literals([[":path", "/"]])])),
  ),
  wrongFrame("DATA with more padding than payload", Code.protocol, frame(Type.data, Flag.padded, 1, "\xffabc")),
  wrongFrame(
    "HEADERS with more padding than payload",
    Code.protocol,
    frame(Type.headers, Flag.padded | Flag.endHeaders, 1, "\xffabc"),
  ),
  eitherError("9113 §4.2 DATA of more octets than SETTINGS_MAX_FRAME_SIZE", Code.frameSize, (server) =>
    server.send(headers(1, OK, Flag.endHeaders), data(1, Buffer.alloc(16_385))),
  ),
  interrupted("DATA", data(1, "abc")),
  interrupted("PING", ping()),
  interrupted("HEADERS", headers(1, OK)),
  interrupted("an unknown frame", frame(0xfa, 0, 1)),
  interrupted("CONTINUATION of another stream", continuation(3, "")),

  badSetting("SETTINGS_ENABLE_PUSH of 1 from a server", Code.protocol, Setting.enablePush, 1),
  badSetting("SETTINGS_ENABLE_PUSH of 2", Code.protocol, Setting.enablePush, 2),
  badSetting("SETTINGS_INITIAL_WINDOW_SIZE of 2^31", Code.flowControl, Setting.initialWindowSize, 0x8000_0000),
  badSetting("SETTINGS_MAX_FRAME_SIZE of 16 383", Code.protocol, Setting.maxFrameSize, 16_383),
  badSetting("SETTINGS_MAX_FRAME_SIZE of 2^24", Code.protocol, Setting.maxFrameSize, 1 << 24),
  connectionError("8441 §3 SETTINGS_ENABLE_CONNECT_PROTOCOL of 2", Code.protocol, (server) =>
    server.send(settings([Setting.enableConnectProtocol, 2])),
  ),
  connectionError("8441 §3 SETTINGS_ENABLE_CONNECT_PROTOCOL of 0 after 1", Code.protocol, (server) =>
    server.send(settings([Setting.enableConnectProtocol, 1]), settings([Setting.enableConnectProtocol, 0])),
  ),

  // Streams
  connectionError("9113 §5.1 HEADERS on an idle stream", Code.protocol, (server) => server.send(headers(3, OK))),
  connectionError("9113 §5.1 DATA on an idle stream", Code.protocol, (server) => server.send(data(3, "abc"))),
  connectionError("9113 §5.1 RST_STREAM on an idle stream", Code.protocol, (server) => server.send(rstStream(3))),
  connectionError("9113 §5.1 WINDOW_UPDATE on an idle stream", Code.protocol, (server) =>
    server.send(windowUpdate(3, 1)),
  ),
  connectionError("9113 §5.1.1 HEADERS on a stream of the server's", Code.protocol, (server) =>
    server.send(headers(2, OK)),
  ),
  connectionError("9113 §5.1.1 DATA on a stream of the server's", Code.protocol, (server) =>
    server.send(data(2, "abc")),
  ),
  eitherError("9113 §8.1 DATA before HEADERS", Code.protocol, (server) => server.send(data(1, "abc"))),
  {
    name: "RFC 9113 §5.1 DATA on a stream that both have ended: connection error",
    run() {
      const server = HostileServer.connected();
      const asked = server.ask();
      server.answer(1, "abc").send(data(1, "def"));
      expect([Code.streamClosed, Code.protocol] as (number | null)[]).toContain(server.goawayCode);
      expect(asked).toMatchObject({ content: "abc", completed: "end" });
    },
  },
  shows("9113 §5.1 what was under way on a stream that the client has reset is let pass", (server) => {
    const asked = server.ask();
    asked.stream.cancel();
    server.send(
      headersBlock(1, Buffer.concat([literals(OK), literal("x-late", "yes", "incremental")]), Flag.endHeaders),
    );
    server.send(data(1, "abc"), windowUpdate(1, 10), headers(1, [["a", "b"]]));
    expect(server.resetCode(1)).toBe(Code.cancel);
    expect(asked).toMatchObject({ response: null, failed: "", completed: "" });
    // The dynamic table has counted it.
    const next = server.ask();
    server.send(headersBlock(next.stream.id, Buffer.concat([literals(OK), indexed(62)])));
    expect(next.fields).toContainEqual(["x-late", "yes"]);
    expectAlive(server);
  }),
  shows("9113 §6.9 DATA on a reset stream is given back to the connection's window", (server) => {
    server.ask().stream.cancel();
    const window = 65_535 + server.increments(0);
    for (let sent = 0; sent < 2 * window; sent += 16_384) server.send(data(1, Buffer.alloc(16_384)));
    expect(server.increments(0)).toBeGreaterThan(window / 2);
    expectAlive(server);
  }),
  shows(
    "9113 §5.1.2 no more streams than SETTINGS_MAX_CONCURRENT_STREAMS",
    (server) => {
      expect(server.client.capacity).toBe(2);
      server.ask();
      server.ask();
      expect(server.client.capacity).toBe(0);
      const third = server.ask();
      expect([third.failed, server.of(Type.headers).length]).toEqual(["upstream-refused", 2]);
      server.answer(1);
      expect(server.client.capacity).toBe(1);
      server.send(settings([Setting.maxConcurrentStreams, 0]));
      expect(server.client.capacity).toBe(0);
    },
    [[Setting.maxConcurrentStreams, 2]],
  ),

  // RST_STREAM
  ...(
    [
      ["REFUSED_STREAM", Code.refused, "upstream-refused"],
      ["CANCEL", Code.cancel, "upstream-reset"],
      ["INTERNAL_ERROR", Code.internal, "upstream-reset"],
      ["an unknown code", 0xabcd, "upstream-reset"],
      ["NO_ERROR before a response", Code.noError, "upstream-reset"],
    ] as const
  ).map(([name, code, failure]) =>
    shows(`9113 §5.4.2, §8.7 RST_STREAM with ${name} fails the request as ${failure}`, (server) => {
      const asked = server.ask();
      server.send(rstStream(1, code));
      expect(asked.failed).toBe(failure);
      expect(server.resetCode(1)).toBeNull();
      expectAlive(server);
    }),
  ),
  shows("9113 §8.1 RST_STREAM in the middle of content cuts the response", (server) => {
    const asked = server.ask();
    server.send(headers(1, OK, Flag.endHeaders), data(1, "abc"), rstStream(1, Code.internal));
    expect(asked).toMatchObject({ content: "abc", ended: "upstream-truncated", completed: "upstream-truncated" });
    expectAlive(server);
  }),

  // GOAWAY
  shows("9113 §6.8 GOAWAY: streams above the last were not processed, those below go on", (server) => {
    const [one, three] = [server.ask(), server.ask()];
    server.send(goaway(1));
    expect([three.failed, three.failure?.retry]).toEqual(["upstream-refused", "connect"]);
    expect(one.failed).toBe("");
    expect(server.client.capacity).toBe(0);
    server.answer(1, "abc");
    expect(one).toMatchObject({ content: "abc", completed: "end" });
    expect(server.connection.fate).not.toBe("open");
    expect(server.events).toContain("gone");
  }),
  shows("9113 §6.8 GOAWAY in two steps", (server) => {
    const [one, three] = [server.ask(), server.ask()];
    server.send(goaway(0x7fff_ffff));
    expect([one.failed, three.failed, server.client.capacity]).toEqual(["", "", 0]);
    server.send(goaway(1));
    expect([one.failed, three.failed]).toEqual(["", "upstream-refused"]);
    server.answer(1, "abc");
    expect(one.completed).toBe("end");
  }),
  shows(
    "9113 §6.8 GOAWAY with an error and the end: what may have been processed is not said to be refused",
    (server) => {
      const [one, three] = [server.ask(), server.ask()];
      server.send(goaway(1, Code.internal, "bye"));
      server.connection.end();
      expect([one.failed, three.failed]).toEqual(["upstream-closed", "upstream-refused"]);
    },
  ),
  shows("9113 §6.8 GOAWAY on a connection without streams closes it", (server) => {
    server.send(goaway(0));
    expect(server.connection.fate).not.toBe("open");
    expect(server.events).toContain("gone");
  }),
  shows("9113 §6.8 a second GOAWAY does not take back the first", (server) => {
    const [one] = [server.ask(), server.ask()];
    server.send(goaway(1), goaway(0x7fff_ffff));
    expect([one.failed, server.client.capacity]).toEqual(["", 0]);
  }),

  // HPACK
  undecodable("§6.1 index 0", "\x80"),
  undecodable("§2.3.3 an index beyond both tables", indexed(62)),
  undecodable("§5.2 a string longer than the block", "\x00\x03x-a\x05abc"),
  undecodable("§5.1 an integer that does not end", "\xff\x80"),
  undecodable("§6.3 a table size update after a field", sizeUpdate(0)),
  connectionError("7541 §6.3 a table size above what the client allows", Code.compression, (server) =>
    server.send(
      headersBlock(1, Buffer.concat([sizeUpdate(server.announced(Setting.headerTableSize, 4096) + 1), literals(OK)])),
    ),
  ),
  connectionError("9113 §4.3 trailers that cannot be decoded", Code.compression, (server) =>
    server.send(headers(1, ok(), Flag.endHeaders), data(1, "abc"), headersBlock(1, "\x80")),
  ),
  shows(
    "9113 §6.5.2 requests keep to a dynamic table of no octets",
    (server) => {
      for (let n = 0; n < 3; n++) server.answer(server.ask("/", { fields: { "x-a": "b" } }).stream.id);
      expect(server.head(5)).toContainEqual(["x-a", "b"]);
    },
    [[Setting.headerTableSize, 0]],
  ),
];
