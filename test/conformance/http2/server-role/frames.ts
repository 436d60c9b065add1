/** The rules of each type of frame: RFC 9113 §6, but for flow control. */
import { expect } from "bun:test";
import { GET, get, type HostileClient, post } from "../hostile-client.ts";
import { literals } from "../hpack.ts";
import { accepted, connectionError, expectAlive, ignored, type ServerCase, shows, streamError } from "../verdict.ts";
import {
  Code,
  continuation,
  data,
  Flag,
  frame,
  goaway,
  headers,
  headersBlock,
  paddedData,
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

const open = (client: HostileClient, stream = 1, path = "/echo") =>
  client.send(headers(stream, post(path), Flag.endHeaders));

/** Frames that belong to a stream, on stream 0. */
const onConnection = (name: string, wrong: Buffer): ServerCase =>
  connectionError(`9113 §6 ${name} on stream 0`, Code.protocol, (client) => client.send(wrong));

/** Frames that belong to the connection, on a stream. */
const onStream = (name: string, wrong: Buffer): ServerCase =>
  connectionError(`9113 §6 ${name} on a stream`, Code.protocol, (client) => client.request(1, "/wait").send(wrong));

const badSetting = (name: string, code: number, setting: number, value: number): ServerCase =>
  connectionError(`9113 §6.5.2 ${name}`, code, (client) => client.send(settings([setting, value])));

const goodSetting = (name: string, setting: number, value: number): ServerCase =>
  ignored(`9113 §6.5.2 ${name}`, (client) => client.send(settings([setting, value])));

const paddedHeaders = (
  stream: number,
  padding: Uint8Array,
  told: number,
  priority: Uint8Array = Buffer.alloc(0),
): Buffer =>
  frame(
    Type.headers,
    Flag.endHeaders | Flag.endStream | Flag.padded | (priority.length > 0 ? Flag.priority : 0),
    stream,
    Buffer.concat([Buffer.of(told), priority, literals(GET), padding]),
  );

export const FRAMES: readonly ServerCase[] = [
  onConnection("DATA", data(0, "abc")),
  onConnection("HEADERS", headers(0, GET)),
  onConnection("PRIORITY", priority(0)),
  onConnection("RST_STREAM", rstStream(0)),
  onConnection("CONTINUATION", continuation(0, literals(GET))),
  onConnection("PUSH_PROMISE", frame(Type.pushPromise, Flag.endHeaders, 0, Buffer.concat([u32(2), literals(GET)]))),
  onStream("SETTINGS", frame(Type.settings, 0, 1)),
  onStream("PING", frame(Type.ping, 0, 1, "12345678")),
  onStream("GOAWAY", frame(Type.goaway, 0, 1, Buffer.alloc(8))),

  // §6.1
  connectionError("9113 §6.1 DATA with as much padding as payload", Code.protocol, (client) =>
    open(client).send(frame(Type.data, Flag.padded | Flag.endStream, 1, "\x04abc")),
  ),
  connectionError("9113 §6.1 DATA with more padding than payload", Code.protocol, (client) =>
    open(client).send(frame(Type.data, Flag.padded | Flag.endStream, 1, "\xffabc")),
  ),
  accepted(
    "9113 §6.1 DATA that is padding but for its length",
    (client) => open(client).send(paddedData(1, "", 17), data(1, "abc", Flag.endStream)),
    { content: "abc" },
  ),
  accepted(
    "9113 §6.1 DATA with padding of no octets",
    (client) => open(client).send(paddedData(1, "abc", 0, Flag.endStream)),
    {
      content: "abc",
    },
  ),
  accepted(
    "9113 §6.1 DATA with 255 octets of padding",
    (client) => open(client).send(paddedData(1, "abc", 255, Flag.endStream)),
    {
      content: "abc",
    },
  ),
  accepted(
    "9113 §6.1 DATA with padding, octet by octet",
    (client) => open(client).send(...[...paddedData(1, "abc", 9, Flag.endStream)].map((octet) => Buffer.of(octet))),
    {
      content: "abc",
    },
  ),
  accepted(
    "9113 §6.1 empty DATA between others",
    (client) => open(client).send(data(1, "a"), data(1, ""), data(1, "b"), data(1, "", Flag.endStream)),
    { content: "ab" },
  ),

  // §6.2
  connectionError("9113 §6.2 HEADERS with more padding than payload", Code.protocol, (client) =>
    client.send(paddedHeaders(1, Buffer.alloc(0), 255)),
  ),
  connectionError("9113 §6.2 HEADERS with PRIORITY whose padding reaches into that", Code.protocol, (client) =>
    client.send(
      frame(
        Type.headers,
        Flag.endHeaders | Flag.endStream | Flag.padded | Flag.priority,
        1,
        Buffer.concat([Buffer.of(3), u32(0), Buffer.of(15), Buffer.alloc(2)]),
      ),
    ),
  ),
  accepted("9113 §6.2 HEADERS with padding", (client) => client.send(paddedHeaders(1, Buffer.alloc(100), 100))),
  accepted("9113 §6.2 HEADERS with padding and priority", (client) =>
    client.send(paddedHeaders(1, Buffer.alloc(7), 7, Buffer.concat([u32(0x8000_0000), Buffer.of(255)]))),
  ),
  accepted("9113 §6.2 HEADERS with padding, continued", (client) => {
    const block = literals(GET);
    client.send(
      frame(
        Type.headers,
        Flag.endStream | Flag.padded,
        1,
        Buffer.concat([Buffer.of(4), block.subarray(0, 9), Buffer.alloc(4)]),
      ),
      continuation(1, block.subarray(9)),
    );
  }),

  // §6.3: priorities are deprecated, and say nothing in any state.
  ignored("9113 §6.3 PRIORITY on an idle stream", (client) => client.send(priority(7, 1))),
  accepted("9113 §6.3 PRIORITY on an open stream", (client) =>
    open(client).send(priority(1, 3), data(1, "", Flag.endStream)),
  ),
  ignored("9113 §6.3 PRIORITY on a closed stream", (client) => client.request(1).send(priority(1, 3))),
  ignored("9113 §6.3 PRIORITY on an even stream", (client) => client.send(priority(2, 1))),

  // §6.4
  shows("9113 §6.4 RST_STREAM calls the exchange off", (client) => {
    client.request(1, "/wait").send(rstStream(1));
    expect(client.application.requests[0]!.aborted).toBe(true);
    expect(client.answer(1)).toMatchObject({ status: 0, reset: null });
    expectAlive(client);
  }),
  shows("9113 §6.4 RST_STREAM cuts request content", (client) => {
    open(client).send(data(1, "abc"), rstStream(1));
    expect(client.application.complete).toEqual([]);
    expect(client.application.requests[0]!.ended).not.toBe("");
    expectAlive(client);
  }),
  ignored("9113 §7 RST_STREAM with an unknown code", (client) =>
    client.request(1, "/wait").send(rstStream(1, 0xdead_beef)),
  ),
  shows("9113 §5.1 nothing is sent on a stream after its RST_STREAM", (client) => {
    client
      .send(settings([Setting.initialWindowSize, 10]))
      .request(1, "/octets/100")
      .send(rstStream(1));
    const before = client.frames.length;
    client.send(settings([Setting.initialWindowSize, 1000]));
    expect(client.frames.slice(before).filter(({ stream }) => stream === 1)).toEqual([]);
    expectAlive(client);
  }),

  // §6.5
  shows("9113 §6.5.3 each SETTINGS is acknowledged, in order with what follows it", (client) => {
    const before = client.frames.length;
    client.sendTogether(settings(), ping("a1234567"), settings([Setting.initialWindowSize, 5]), ping("b1234567"));
    const kinds = client.frames.slice(before).map(({ type, flags }) => `${type}/${flags}`);
    expect(kinds).toEqual(["4/1", "6/1", "4/1", "6/1"]);
    expectAlive(client);
  }),
  ignored("9113 §6.5.3 an acknowledgement nobody waits for", (client) => client.send(settingsAck())),
  badSetting("SETTINGS_ENABLE_PUSH of 2", Code.protocol, Setting.enablePush, 2),
  badSetting("SETTINGS_INITIAL_WINDOW_SIZE of 2^31", Code.flowControl, Setting.initialWindowSize, 0x8000_0000),
  badSetting("SETTINGS_INITIAL_WINDOW_SIZE of 2^32-1", Code.flowControl, Setting.initialWindowSize, 0xffff_ffff),
  badSetting("SETTINGS_MAX_FRAME_SIZE of 16 383", Code.protocol, Setting.maxFrameSize, 16_383),
  badSetting("SETTINGS_MAX_FRAME_SIZE of 0", Code.protocol, Setting.maxFrameSize, 0),
  badSetting("SETTINGS_MAX_FRAME_SIZE of 2^24", Code.protocol, Setting.maxFrameSize, 1 << 24),
  goodSetting("SETTINGS_ENABLE_PUSH of 0", Setting.enablePush, 0),
  goodSetting("SETTINGS_ENABLE_PUSH of 1", Setting.enablePush, 1),
  goodSetting("SETTINGS_INITIAL_WINDOW_SIZE of 2^31-1", Setting.initialWindowSize, 0x7fff_ffff),
  goodSetting("SETTINGS_MAX_FRAME_SIZE of 16 384", Setting.maxFrameSize, 16_384),
  goodSetting("SETTINGS_MAX_FRAME_SIZE of 2^24-1", Setting.maxFrameSize, (1 << 24) - 1),
  goodSetting("SETTINGS_MAX_CONCURRENT_STREAMS of 0", Setting.maxConcurrentStreams, 0),
  goodSetting("SETTINGS_HEADER_TABLE_SIZE of 2^32-1", Setting.headerTableSize, 0xffff_ffff),
  goodSetting("SETTINGS_MAX_HEADER_LIST_SIZE of 0", Setting.maxHeaderListSize, 0),
  goodSetting("an unknown setting", 0xfa, 0xffff_ffff),
  shows("9113 §6.5.3 of a setting that comes twice the last value holds", (client) => {
    client.send(settings([Setting.initialWindowSize, 1], [0x99, 7], [Setting.initialWindowSize, 3]));
    expect(client.request(1, "/octets/10").answer(1).content).toBe("xxx");
  }),
  shows("9113 §6.5.3 values in between count too", (client) => {
    client.send(settings([Setting.initialWindowSize, 0x8000_0000], [Setting.initialWindowSize, 3]));
    expect(client.goawayCode).toBe(Code.flowControl);
  }),
  shows("9113 §6.5.2 responses keep to a dynamic table of no octets", (client) => {
    client.send(settings([Setting.headerTableSize, 0]));
    client.decoder.allow(0);
    for (const stream of [1, 3, 5]) expect(client.request(stream).answer(stream).status).toBe(200);
  }),
  shows("9113 §6.5.2 responses keep to a dynamic table that shrinks and grows", (client) => {
    client.request(1);
    client.send(settings([Setting.headerTableSize, 60]));
    client.decoder.allow(60);
    client.request(3);
    client.send(settings([Setting.headerTableSize, 40], [Setting.headerTableSize, 8192]));
    client.decoder.allow(40);
    client.decoder.allow(8192);
    for (const stream of [5, 7]) expect(client.request(stream).answer(stream).status).toBe(200);
  }),
  shows("9113 §6.5.2 no DATA is longer than the peer's SETTINGS_MAX_FRAME_SIZE", (client) => {
    client.send(settings([Setting.initialWindowSize, 1 << 20]), windowUpdate(0, 1 << 20)).request(1, "/octets/100000");
    const lengths = client.of(Type.data, 1).map(({ payload }) => payload.length);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(16_384);
    expect(client.answer(1).content).toHaveLength(100_000);
    expect(client.answer(1).ended).toBe(true);
  }),
  shows("9113 §8.4 nothing is pushed", (client) => {
    client.send(settings([Setting.enablePush, 1])).request(1);
    expect(client.of(Type.pushPromise)).toEqual([]);
  }),

  // §6.6
  connectionError("9113 §8.4 PUSH_PROMISE from a client", Code.protocol, (client) =>
    client
      .request(1, "/wait")
      .send(frame(Type.pushPromise, Flag.endHeaders, 1, Buffer.concat([u32(2), literals(GET)]))),
  ),

  // §6.7
  shows("9113 §6.7 PING is answered with its own octets", (client) => {
    client.send(ping("\0\xff\r\nabcd"));
    const [answer] = client.of(Type.ping);
    expect([answer?.flags, answer?.payload.toString("latin1")]).toEqual([Flag.ack, "\0\xff\r\nabcd"]);
    expectAlive(client);
  }),
  shows("9113 §6.7 an answer to PING is not answered", (client) => {
    client.send(ping("12345678", Flag.ack));
    expect(client.of(Type.ping)).toEqual([]);
    expectAlive(client);
  }),
  shows("9113 §6.7 PING is answered although windows are empty", (client) => {
    client
      .send(settings([Setting.initialWindowSize, 0]))
      .request(1)
      .send(ping());
    expect(client.of(Type.ping)).toHaveLength(1);
    expect(client.answer(1)).toMatchObject({ status: 200, content: "", ended: false });
  }),

  // §6.8
  shows("9113 §6.8 GOAWAY: streams in work are answered", (client) => {
    open(client).send(goaway(0), data(1, "abc", Flag.endStream));
    expect(client.answer(1)).toMatchObject({ status: 200, content: "abc", ended: true, reset: null });
    expect([null, Code.noError] as (number | null)[]).toContain(client.goawayCode);
  }),
  shows("9113 §6.8 GOAWAY with an unknown code and debug data is not answered with an error", (client) => {
    client.request(1).send(goaway(0, 0xabcd, "good bye"));
    expect([null, Code.noError] as (number | null)[]).toContain(client.goawayCode);
  }),
  shows("9113 §6.8 a server that stops says so, answers what is in work, and closes", (client) => {
    open(client);
    client.server.drain();
    client.send(data(1, "abc", Flag.endStream));
    expect(client.answer(1)).toMatchObject({ status: 200, content: "abc", ended: true });
    const last = client.of(Type.goaway).at(-1)!.payload;
    expect([last.readUInt32BE(4), last.readUInt32BE(0) >= 1]).toEqual([Code.noError, true]);
  }),

  // §6.10
  connectionError("9113 §6.10 CONTINUATION without HEADERS", Code.protocol, (client) =>
    client.send(continuation(1, literals(GET))),
  ),
  connectionError("9113 §6.10 CONTINUATION after a whole field block", Code.protocol, (client) =>
    client.send(headers(1, get("/echo"), Flag.endHeaders), continuation(1, literals([["a", "b"]]))),
  ),
  connectionError("9113 §6.10 CONTINUATION after a CONTINUATION that ended the block", Code.protocol, (client) =>
    client.send(headersBlock(1, literals(GET), 0), continuation(1, ""), continuation(1, "")),
  ),
  connectionError("9113 §6.10 CONTINUATION after DATA", Code.protocol, (client) =>
    open(client).send(data(1, "abc"), continuation(1, literals([["a", "b"]]))),
  ),
  streamError("9113 §8.1 an empty field block", Code.protocol, (client) => client.send(headersBlock(1, ""))),
];
