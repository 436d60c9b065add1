/** The life of streams, their identifiers and how many there may be: RFC 9113 §5.1. */
import { expect } from "bun:test";
import { GET, get, HostileClient, post } from "../hostile-client.ts";
import { indexed, literal, literals } from "../hpack.ts";
import {
  accepted,
  connectionError,
  eitherError,
  expectAlive,
  ignored,
  type ServerCase,
  shows,
  streamError,
} from "../verdict.ts";
import { Code, data, Flag, headers, headersBlock, priority, rstStream, Setting, Type, windowUpdate } from "../wire.ts";

const open = (client: HostileClient, stream = 1, path = "/echo") =>
  client.send(headers(stream, post(path), Flag.endHeaders));

/** A stream that the server reset, for a malformed head. */
const resetByServer = (client: HostileClient) => client.send(headers(1, [...GET, ["Upper", "case"]], Flag.endHeaders));

export const STREAMS: readonly ServerCase[] = [
  // idle
  connectionError("9113 §5.1 DATA on an idle stream", Code.protocol, (client) => client.send(data(1, "abc"))),
  connectionError("9113 §5.1, §6.4 RST_STREAM on an idle stream", Code.protocol, (client) => client.send(rstStream(1))),
  connectionError("9113 §5.1 WINDOW_UPDATE on an idle stream", Code.protocol, (client) =>
    client.send(windowUpdate(1, 100)),
  ),
  connectionError("9113 §5.1 DATA on an idle stream above others", Code.protocol, (client) =>
    client.request(1).send(data(3, "abc")),
  ),
  connectionError("9113 §5.1 WINDOW_UPDATE on a stream of the server's that it never opened", Code.protocol, (client) =>
    client.send(windowUpdate(2, 100)),
  ),

  // half-closed (remote)
  eitherError("9113 §5.1 DATA on a stream that the client has ended", Code.streamClosed, (client) =>
    client.request(1, "/wait").send(data(1, "abc")),
  ),
  eitherError("9113 §5.1 HEADERS on a stream that the client has ended", Code.streamClosed, (client) =>
    client.request(1, "/wait").send(headers(1, [["a", "b"]])),
  ),
  eitherError("9113 §5.1 empty DATA on a stream that the client has ended with DATA", Code.streamClosed, (client) =>
    client.upload(1, "abc", "/wait").send(data(1, "", Flag.endStream)),
  ),
  ignored("9113 §5.1 WINDOW_UPDATE on a stream that the client has ended", (client) =>
    client.request(1, "/wait").send(windowUpdate(1, 100)),
  ),
  ignored("9113 §5.1 PRIORITY on a stream that the client has ended", (client) =>
    client.request(1, "/wait").send(priority(1)),
  ),
  ignored("9113 §5.1 RST_STREAM on a stream that the client has ended", (client) =>
    client.request(1, "/wait").send(rstStream(1)),
  ),

  // closed
  eitherError("9113 §5.1 DATA on a stream that the client has reset", Code.streamClosed, (client) =>
    client.request(1, "/wait").send(rstStream(1), data(1, "abc")),
  ),
  eitherError("9113 §5.1 HEADERS on a stream that the client has reset", Code.streamClosed, (client) =>
    client.request(1, "/wait").send(rstStream(1), headers(1, GET)),
  ),
  shows("9113 §5.1 DATA on a stream that both have ended: ignored, or connection error", (client) => {
    client.request(1).send(data(1, "abc"));
    if (client.goawayCode === null) expectAlive(client);
    else expect(client.goawayCode).toBe(Code.streamClosed);
    expect(client.application.requests[0]!.content).toBe("");
  }),
  connectionError("9113 §5.1 HEADERS on a stream that both have ended", [Code.streamClosed, Code.protocol], (client) =>
    client.request(1).send(headers(1, GET)),
  ),
  ignored("9113 §5.1 WINDOW_UPDATE on a closed stream", (client) => client.request(1).send(windowUpdate(1, 100))),
  ignored("9113 §5.1 RST_STREAM on a closed stream", (client) => client.request(1).send(rstStream(1))),
  ignored("9113 §5.1 RST_STREAM twice", (client) => client.request(1, "/wait").send(rstStream(1), rstStream(1))),

  // Reset by the server: what was under way is let pass.
  shows("9113 §5.1 frames that were under way when the server reset the stream are let pass", (client) => {
    resetByServer(client).send(data(1, "abc"), windowUpdate(1, 10), priority(1), headers(1, [["a", "b"]]));
    expect(client.answer(1).reset).toBe(Code.protocol);
    expectAlive(client);
  }),
  shows("9113 §5.1 a field block under way on a reset stream counts for the dynamic table", (client) => {
    resetByServer(client).send(headersBlock(1, literal("x-late", "yes", "incremental")));
    client.send(headersBlock(3, Buffer.concat([literals(GET), indexed(62)])));
    expect(client.application.requests[0]?.fields).toContainEqual(["x-late", "yes"]);
    expectAlive(client);
  }),
  shows("9113 §5.1, §6.9 DATA on a reset stream counts for the connection's window and is given back", (client) => {
    resetByServer(client);
    const window = client.connectionWindow;
    const piece = Buffer.alloc(16_384);
    for (let sent = 0; sent < 2 * window; sent += piece.length) client.send(data(1, piece));
    expect(client.increments(0)).toBeGreaterThan(window / 2);
    expectAlive(client);
  }),

  // §5.1.1
  connectionError("9113 §5.1.1 a stream with an even identifier", Code.protocol, (client) => client.request(2)),
  connectionError("9113 §5.1.1 an identifier lower than one before", [Code.protocol, Code.streamClosed], (client) =>
    client.request(5).request(3),
  ),
  connectionError(
    "9113 §5.1.1 an identifier lower than one before, while that is open",
    [Code.protocol, Code.streamClosed],
    (client) => open(client, 5, "/wait").request(1),
  ),
  eitherError(
    "9113 §5.1.1 DATA on a stream that was passed over",
    [Code.streamClosed, Code.protocol],
    (client) => client.request(5).send(data(3, "abc")),
    3,
  ),
  ignored("9113 §5.1.1 RST_STREAM on a stream that was passed over", (client) => client.request(5).send(rstStream(3))),
  accepted(
    "9113 §5.1.1 identifiers that leave gaps",
    (client) => client.request(1).request(7).request(0x1001),
    {},
    0x1001,
  ),
  {
    name: "RFC 9113 §5.1.1 the last identifier",
    run() {
      const client = HostileClient.connected().request(0x7fff_ffff);
      expect(client.answer(0x7fff_ffff)).toMatchObject({ status: 200, ended: true });
    },
  },

  // §5.1.2
  shows(
    "9113 §5.1.2 more streams than SETTINGS_MAX_CONCURRENT_STREAMS are refused, and an end makes room",
    (client) => {
      const most = client.announced(Setting.maxConcurrentStreams, 0);
      expect(most).toBeGreaterThan(0);
      for (let n = 0; n <= most; n++) client.request(2 * n + 1, "/wait");
      expect([Code.refused, Code.protocol] as (number | null)[]).toContain(client.answer(2 * most + 1).reset);
      expect(client.application.requests).toHaveLength(most);
      client.send(rstStream(1)).request(2 * most + 3);
      expect(client.answer(2 * most + 3).status).toBe(200);
      client.send(rstStream(3));
      expectAlive(client);
    },
  ),
  shows("9113 §5.1.2, §4.3 the field block of a refused stream counts for the dynamic table", (client) => {
    const most = client.announced(Setting.maxConcurrentStreams, 0);
    for (let n = 0; n < most; n++) client.request(2 * n + 1, "/wait");
    client.send(headersBlock(2 * most + 1, Buffer.concat([literals(GET), literal("x-late", "yes", "incremental")])));
    client.send(rstStream(1), headersBlock(2 * most + 3, Buffer.concat([literals(GET), indexed(62)])));
    expect(client.application.requests.at(-1)?.fields).toContainEqual(["x-late", "yes"]);
  }),
  shows("9113 §5.1 many streams at once, each with its own content", (client) => {
    const streams = Array.from({ length: 20 }, (_, n) => 2 * n + 1);
    for (const stream of streams) open(client, stream);
    for (let turn = 0; turn < 3; turn++)
      for (const stream of streams) client.send(data(stream, `${stream}/${turn};`, turn === 2 ? Flag.endStream : 0));
    for (const stream of streams)
      expect(client.answer(stream)).toMatchObject({ content: `${stream}/0;${stream}/1;${stream}/2;`, ended: true });
  }),
  shows("9113 §8.1 a response that does not wait for the request's content", (client) => {
    open(client, 1, "/early");
    expect(client.answer(1)).toMatchObject({ status: 200, content: "early", ended: true });
    // Either the content goes on to be taken, or the client is told to stop.
    expect([null, Code.noError, Code.cancel] as (number | null)[]).toContain(client.answer(1).reset);
    client.send(data(1, "abc"), data(1, "def", Flag.endStream));
    expectAlive(client);
  }),
  streamError("9113 §8.1 HEADERS in the middle of content that do not end the stream", Code.protocol, (client) =>
    open(client).send(data(1, "abc"), headers(1, [["x-a", "b"]], Flag.endHeaders)),
  ),
  accepted(
    "9113 §5.1 interleaved field blocks one after the other",
    (client) => {
      client.send(headers(1, get("/echo"), Flag.endHeaders), headers(3, get("/echo"), Flag.endHeaders));
      client.send(data(3, "three", Flag.endStream), data(1, "one", Flag.endStream));
      expect(client.answer(3).content).toBe("three");
      expect(client.of(Type.rstStream)).toEqual([]);
    },
    { content: "one" },
  ),
];
