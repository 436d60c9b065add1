/** CONNECT (RFC 9113 §8.5) and extended CONNECT (RFC 8441). */
import { expect } from "bun:test";
import type { HostileClient } from "../hostile-client.ts";
import { accepted, expectAlive, refused, type ServerCase, shows, streamError } from "../verdict.ts";
import { Code, data, type FieldLine, Flag, headers, rstStream, Setting, windowUpdate } from "../wire.ts";

const CONNECT: readonly FieldLine[] = [
  [":method", "CONNECT"],
  [":authority", "a.test:443"],
];
const EXTENDED: readonly FieldLine[] = [
  [":method", "CONNECT"],
  [":protocol", "websocket"],
  [":scheme", "http"],
  [":path", "/chat"],
  [":authority", "a.test"],
];

const connect = (client: HostileClient, fields: readonly FieldLine[] = CONNECT) =>
  client.send(headers(1, fields, Flag.endHeaders));

const malformed = (name: string, fields: readonly FieldLine[]): ServerCase =>
  streamError(name, Code.protocol, (client) => connect(client, fields));

const without = (name: string): FieldLine[] => EXTENDED.filter(([one]) => one !== name);

export const TUNNELS: readonly ServerCase[] = [
  malformed("9113 §8.5 CONNECT with :scheme", [...CONNECT, [":scheme", "http"]]),
  malformed("9113 §8.5 CONNECT with :path", [...CONNECT, [":path", "/"]]),
  malformed("9113 §8.5 CONNECT with :scheme and :path", [...CONNECT, [":scheme", "http"], [":path", "/"]]),
  malformed("9113 §8.5 CONNECT without :authority", [[":method", "CONNECT"]]),
  malformed("9113 §8.5 CONNECT with Host in place of :authority", [
    [":method", "CONNECT"],
    ["host", "a.test:443"],
  ]),
  refused("9113 §8.5 CONNECT without a port", (client) =>
    connect(client, [
      [":method", "CONNECT"],
      [":authority", "a.test"],
    ]),
  ),
  shows("9113 §8.5 octets pass both ways, until both ends", (client) => {
    connect(client).send(data(1, "abc"));
    expect(client.application.requests[0]).toMatchObject({ method: "CONNECT", authority: "a.test:443" });
    expect(client.answer(1)).toMatchObject({ status: 200, content: "abc", ended: false });
    client.send(data(1, "def"), data(1, "", Flag.endStream));
    expect(client.answer(1)).toMatchObject({ content: "abcdef", ended: true, reset: null });
    expectAlive(client);
  }),
  shows("9113 §8.5 a 2xx to CONNECT has no Content-Length", (client) => {
    const names = connect(client)
      .answer(1)
      .head!.map(([name]) => name);
    expect(names).not.toContain("content-length");
    client.send(rstStream(1));
    expectAlive(client);
  }),
  shows("9113 §8.5 RST_STREAM ends the tunnel", (client) => {
    connect(client).send(data(1, "abc"), rstStream(1, Code.connect));
    expectAlive(client);
  }),
  shows("9113 §8.5 HEADERS on a connected stream: stream error", (client) => {
    connect(client).send(headers(1, [["x-a", "b"]], Flag.endHeaders));
    expect(client.answer(1).reset).toBe(Code.protocol);
    expectAlive(client);
  }),
  shows("9113 §5.2 a tunnel keeps to the window", (client) => {
    connect(client);
    for (let n = 0; n < 8; n++) client.send(data(1, Buffer.alloc(16_384, "t")));
    expect(client.answer(1).content.length).toBe(65_535);
    client.send(rstStream(1), windowUpdate(0, 1000));
    expectAlive(client);
  }),

  shows("8441 §3 SETTINGS_ENABLE_CONNECT_PROTOCOL is announced", (client) => {
    expect(client.announced(Setting.enableConnectProtocol, 0)).toBe(1);
  }),
  shows("8441 §5 a WebSocket's octets pass both ways", (client) => {
    connect(client, EXTENDED).send(data(1, "abc"));
    const [request] = client.application.requests;
    expect([request!.exchange.request.upgrade, request!.target, request!.authority]).toEqual([
      "websocket",
      "/chat",
      "a.test",
    ]);
    expect(client.answer(1)).toMatchObject({ status: 200, content: "abc", ended: false });
    client.send(data(1, "", Flag.endStream));
    expect(client.answer(1)).toMatchObject({ ended: true, reset: null });
    expectAlive(client);
  }),
  malformed("8441 §4 :protocol without :scheme", without(":scheme")),
  malformed("8441 §4 :protocol without :path", without(":path")),
  malformed("8441 §4 :protocol without :authority", without(":authority")),
  malformed("8441 §4 :protocol twice", [...EXTENDED, [":protocol", "websocket"]]),
  malformed("8441 §4 an empty :protocol", EXTENDED.with(1, [":protocol", ""])),
  malformed("8441 §4 a :protocol that is no token", EXTENDED.with(1, [":protocol", "web socket"])),
  malformed("8441 §4 CR LF in :protocol", EXTENDED.with(1, [":protocol", "websocket\r\nx-a: b"])),
  malformed("8441 §4 :protocol with GET", EXTENDED.with(0, [":method", "GET"])),
  malformed("8441 §4 :protocol after other fields", [
    ...without(":protocol"),
    ["x-a", "b"],
    [":protocol", "websocket"],
  ]),
  accepted("8441 §4 SETTINGS_ENABLE_CONNECT_PROTOCOL from a client", (client) =>
    client.send(Buffer.from("000006040000000000000800000001", "hex")).request(1),
  ),
];
