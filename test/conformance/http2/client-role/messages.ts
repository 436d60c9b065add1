/** What a response may look like, and what a request does: RFC 9113 §8, RFC 8441. */
import { expect } from "bun:test";
import { MemoryBody } from "../../../../src/http/body.ts";
import { FieldSection } from "../../../../src/http/field-section.ts";
import { HandSource } from "../../../../src/protocol/http1/testing-bodies.ts";
import { type ClientCase, expectAlive, shows, streamError } from "../client-verdict.ts";
import { type Asked, type HostileServer, OK, ok } from "../hostile-server.ts";
import { Code, data, type FieldLine, Flag, headers, paddedData, rstStream, Setting } from "../wire.ts";

const malformed = (name: string, fields: readonly FieldLine[]): ClientCase =>
  streamError(`9113 ${name}`, Code.protocol, (server) => server.send(headers(1, fields)));

const badField = (name: string, ...line: FieldLine): ClientCase => malformed(`§8.2 ${name}`, [...OK, line]);

const badLength = (name: string, lengths: readonly string[], ...pieces: string[]): ClientCase =>
  streamError(`9113 §8.1.1 ${name}`, [Code.protocol, Code.cancel], (server) => {
    const fields = ok(...lengths.map((value): FieldLine => ["content-length", value]));
    server.send(headers(1, fields, pieces.length === 0 ? undefined : Flag.endHeaders));
    pieces.forEach((piece, at) => {
      server.send(data(1, piece, at === pieces.length - 1 ? Flag.endStream : 0));
    });
  });

const fine = (
  name: string,
  script: (server: HostileServer, asked: Asked) => void,
  expected: Partial<Asked>,
): ClientCase =>
  shows(`9113 ${name}`, (server) => {
    const asked = server.ask();
    script(server, asked);
    expect(asked).toMatchObject({ completed: "end", ended: "end", ...expected });
    expectAlive(server);
  });

export const MESSAGES: readonly ClientCase[] = [
  malformed("§8.3.2 no :status", [["x-a", "b"]]),
  malformed("§8.3.2 :status twice", [...OK, ...OK]),
  malformed("§8.3 :status after other fields", [["x-a", "b"], ...OK]),
  malformed("§8.3 a pseudo-field of requests", [...OK, [":path", "/"]]),
  malformed("§8.3 an unknown pseudo-field", [...OK, [":foo", "bar"]]),
  ...["", "20", "2000", "abc", "20x", "+20", "099", " 200", "1000"].map((status) =>
    malformed(`§8.3.2 :status of ${JSON.stringify(status)}`, [[":status", status]]),
  ),
  malformed("§8.6 101 Switching Protocols", [[":status", "101"]]),
  malformed("§8.1 an interim response that ends the stream", [[":status", "103"]]),
  badField("a name in upper case", "X-A", "b"),
  badField("an empty name", "", "b"),
  badField("SP in a name", "x a", "b"),
  badField("a colon in a name", "x:a", "b"),
  badField("CR LF in a name", "x-a\r\nx-b", "b"),
  badField("NUL in a value", "x-a", "b\0"),
  badField("CR in a value", "x-a", "b\rc"),
  badField("LF in a value", "x-a", "b\nc"),
  badField("CR LF CR LF and a response in a value", "x-a", "b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
  badField("SP around a value", "x-a", " b "),
  badField("Connection", "connection", "close"),
  badField("Keep-Alive", "keep-alive", "timeout=5"),
  badField("Proxy-Connection", "proxy-connection", "close"),
  badField("Transfer-Encoding", "transfer-encoding", "chunked"),
  badField("Upgrade", "upgrade", "websocket"),
  badLength("less content than declared", ["4"], "abc"),
  badLength("more content than declared", ["2"], "abc"),
  badLength("more content than declared, in the second frame", ["3"], "abc", "d"),
  badLength("no content where some was declared", ["1"]),
  badLength("empty content where some was declared", ["1"], ""),
  badLength("content where none was declared", ["0"], "abc"),
  badLength("a Content-Length that is no number", ["abc"], "abc"),
  badLength("two Content-Lengths that differ", ["3", "4"], "abc"),
  badLength("a Content-Length beyond what can be counted", ["18446744073709551619"], "abc"),
  streamError("9113 §8.1.1 trailers before all of the declared content", [Code.protocol, Code.cancel], (server) =>
    server.send(headers(1, ok(["content-length", "4"]), Flag.endHeaders), data(1, "abc"), headers(1, [["x-a", "b"]])),
  ),
  streamError("9113 §8.1 a second final response", Code.protocol, (server) =>
    server.send(headers(1, OK, Flag.endHeaders), headers(1, OK)),
  ),
  streamError("9113 §8.1 an interim response after the final one", Code.protocol, (server) =>
    server.send(headers(1, OK, Flag.endHeaders), headers(1, [[":status", "103"]], Flag.endHeaders)),
  ),
  streamError("9113 §8.1 trailers that do not end the stream", Code.protocol, (server) =>
    server.send(headers(1, OK, Flag.endHeaders), data(1, "abc"), headers(1, [["x-a", "b"]], Flag.endHeaders)),
  ),
  streamError("9113 §8.1 a pseudo-field in trailers", Code.protocol, (server) =>
    server.send(headers(1, OK, Flag.endHeaders), data(1, "abc"), headers(1, [[":status", "200"]])),
  ),
  streamError("9113 §8.2.1 CR LF in a value in trailers", Code.protocol, (server) =>
    server.send(headers(1, OK, Flag.endHeaders), data(1, "abc"), headers(1, [["x-a", "b\r\nc: d"]])),
  ),
  streamError("9113 §8.2.2 Transfer-Encoding in trailers", Code.protocol, (server) =>
    server.send(headers(1, OK, Flag.endHeaders), data(1, "abc"), headers(1, [["transfer-encoding", "chunked"]])),
  ),
  streamError("9113 §8.1 content after an interim response", Code.protocol, (server) =>
    server.send(headers(1, [[":status", "103"]], Flag.endHeaders), data(1, "abc", Flag.endStream)),
  ),

  fine(
    "§8.1 content with padding, and with a Content-Length",
    (server) =>
      server.send(headers(1, ok(["content-length", "3"]), Flag.endHeaders), paddedData(1, "abc", 20, Flag.endStream)),
    { content: "abc" },
  ),
  fine(
    "§8.1 empty DATA that ends the stream",
    (server) => server.send(headers(1, OK, Flag.endHeaders), data(1, "abc"), data(1, "", Flag.endStream)),
    { content: "abc" },
  ),
  fine("§8.1 a head that ends the stream", (server) => server.send(headers(1, ok(["content-length", "0"]))), {
    content: "",
  }),
  fine(
    "§8.1 trailers",
    (server) => server.send(headers(1, OK, Flag.endHeaders), data(1, "abc"), headers(1, [["x-sum", "3"]])),
    { content: "abc", trailers: [["x-sum", "3"]] },
  ),
  fine(
    "§8.1 trailers without content",
    (server) => server.send(headers(1, OK, Flag.endHeaders), headers(1, [["grpc-status", "0"]])),
    { content: "", trailers: [["grpc-status", "0"]] },
  ),
  fine(
    "§8.1 interim responses",
    (server) =>
      server
        .send(
          headers(1, [[":status", "100"]], Flag.endHeaders),
          headers(
            1,
            [
              [":status", "103"],
              ["link", "</a>"],
            ],
            Flag.endHeaders,
          ),
        )
        .answer(1, "abc"),
    {
      content: "abc",
      interim: [
        { status: 100, fields: [] },
        { status: 103, fields: [["link", "</a>"]] },
      ],
    },
  ),
  fine(
    "§8.2.1 an empty value and octets above 0x7f",
    (server) => server.answer(1, "a", ["x-a", ""], ["x-b", "caf\xe9"]),
    {
      fields: [
        ["x-a", ""],
        ["x-b", "caf\xe9"],
      ],
    },
  ),
  fine(
    "§8.2 several Set-Cookie stay several",
    (server) => server.answer(1, "a", ["set-cookie", "a=1"], ["set-cookie", "b=2"]),
    {
      fields: [
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
      ],
    },
  ),

  shows("9113 §8.1 HEAD: a length, and no content", (server) => {
    const asked = server.ask("/", { method: "HEAD" });
    server.send(headers(1, ok(["content-length", "5"])));
    expect([asked.response?.body.length, asked.content, asked.completed]).toEqual([5, "", "end"]);
    expectAlive(server);
  }),
  shows("9113 §8.1 HEAD whose stream is ended by empty DATA", (server) => {
    const asked = server.ask("/", { method: "HEAD" });
    server.send(headers(1, ok(["content-length", "5"]), Flag.endHeaders), data(1, "", Flag.endStream));
    expect([asked.response?.body.length, asked.content, asked.completed]).toEqual([5, "", "end"]);
    expectAlive(server);
  }),
  shows("9113 §8.1 HEAD with content: stream error", (server) => {
    const asked = server.ask("/", { method: "HEAD" });
    server.send(headers(1, ok(["content-length", "5"]), Flag.endHeaders), data(1, "abcde", Flag.endStream));
    expect([server.resetCode(1), asked.content]).toEqual([Code.protocol, ""]);
    expectAlive(server);
  }),
  ...["204", "304"].map((status) =>
    shows(`9113 §8.1 ${status} with content: stream error`, (server) => {
      const asked = server.ask();
      server.send(headers(1, [[":status", status]], Flag.endHeaders), data(1, "abc", Flag.endStream));
      expect([server.resetCode(1), asked.content]).toEqual([Code.protocol, ""]);
      expectAlive(server);
    }),
  ),
  shows("9113 §8.1 304 with the length that 200 would have", (server) => {
    const asked = server.ask();
    server.send(
      headers(1, [
        [":status", "304"],
        ["content-length", "5"],
      ]),
    );
    expect([asked.status, asked.response?.body.length, asked.completed]).toEqual([304, 5, "end"]);
    expectAlive(server);
  }),

  // Early responses
  shows("9113 §8.1 a complete response with RST_STREAM NO_ERROR ends the upload, and is complete", (server) => {
    const body = new HandSource();
    const asked = server.ask("/", { method: "POST", body });
    body.write("abc");
    server.receive().answer(1, "enough").send(rstStream(1, Code.noError));
    expect(asked).toMatchObject({ content: "enough", ended: "end", completed: "end", failed: "" });
    expect(body.cancelled).not.toBeNull();
    expectAlive(server);
  }),
  shows("9113 §8.1 after a complete response the upload may go on", (server) => {
    const body = new HandSource();
    const asked = server.ask("/", { method: "POST", body });
    server.answer(1, "early");
    expect(asked).toMatchObject({ content: "early", ended: "end" });
    if (body.cancelled === null) {
      body.write("abc").end();
      server.receive();
      expect([server.content(1), server.ended(1)]).toEqual(["abc", true]);
    } else expect([Code.noError, Code.cancel] as (number | null)[]).toContain(server.receive().resetCode(1));
    expectAlive(server);
  }),

  // Requests
  shows("9113 §8.3.1 pseudo-fields come first, and Host is :authority", (server) => {
    server.ask("/a?b", { fields: { Host: "other.test", "X-Mixed": "Yes" } });
    expect(server.head(1)).toEqual([
      [":method", "GET"],
      [":scheme", "http"],
      [":authority", "a.test"],
      [":path", "/a?b"],
      ["x-mixed", "Yes"],
    ]);
  }),
  shows("9113 §8.2.2 nothing connection-specific is sent", (server) => {
    server.ask("/", {
      fields: {
        Connection: "close, x-a",
        "Keep-Alive": "timeout=5",
        "Proxy-Connection": "close",
        "Transfer-Encoding": "chunked",
        Upgrade: "websocket",
        TE: "gzip",
        "HTTP2-Settings": "AAMAAABk",
      },
    });
    expect(server.head(1).filter(([name]) => !name.startsWith(":"))).toEqual([]);
  }),
  shows("9113 §8.1.1 Content-Length is that of the content, whatever the fields say", (server) => {
    server.ask("/", { method: "POST", body: MemoryBody.text("abc"), fields: { "content-length": "7" } });
    expect(server.head(1).filter(([name]) => name === "content-length")).toEqual([["content-length", "3"]]);
    expect([server.content(1), server.ended(1)]).toEqual(["abc", true]);
  }),
  shows("9113 §8.1 request trailers", (server) => {
    const body = new HandSource();
    server.ask("/", { method: "POST", body });
    body.write("abc").end(FieldSection.of({ "X-Sum": "3", Connection: "close", "Content-Length": "3" }));
    server.receive();
    expect([server.content(1), server.requestTrailers(1), server.ended(1)]).toEqual(["abc", [["x-sum", "3"]], true]);
  }),
  shows("9113 §8.1 a request whose content is cut is reset, not ended", (server) => {
    const body = new HandSource();
    const asked = server.ask("/", { method: "POST", body });
    body.write("abc");
    body.abort(server.failure("client-closed"));
    server.receive();
    expect([server.ended(1), server.resetCode(1), asked.failed]).toEqual([false, Code.cancel, "client-closed"]);
    expectAlive(server);
  }),
  ...[
    ["longer", "abcd"],
    ["shorter", "ab"],
  ].map(([how, text]) =>
    shows(`9113 §8.1.1 a request whose content is ${how} than declared is reset`, (server) => {
      const body = new HandSource(3);
      const asked = server.ask("/", { method: "POST", body });
      body.write(text!);
      if (body.cancelled === null) body.end();
      server.receive();
      expect([server.ended(1), server.content(1).length <= 3, asked.failed]).toEqual([false, true, "internal"]);
      expect(server.resetCode(1)).not.toBeNull();
      expectAlive(server);
    }),
  ),
  shows("9113 §8.5 CONNECT has :method and :authority, and opens a tunnel", (server) => {
    const asked = server.ask("a.test:443", { method: "CONNECT" });
    expect(server.head(1)).toEqual([
      [":method", "CONNECT"],
      [":authority", "a.test:443"],
    ]);
    expect(server.ended(1)).toBe(false);
    server.send(headers(1, OK, Flag.endHeaders), data(1, "from"));
    const client = new HandSource();
    asked.response!.tunnel!.accept(client);
    client.write("to").end();
    server.receive().send(data(1, " there", Flag.endStream));
    expect([server.content(1), server.ended(1), asked.content, asked.ended]).toEqual(["to", true, "from there", "end"]);
    expectAlive(server);
  }),
  shows(
    "8441 §5 a WebSocket goes by extended CONNECT, and its answer looks like HTTP/1.1",
    (server) => {
      const asked = server.ask("/chat", {
        upgrade: "websocket",
        fields: { "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13" },
      });
      expect(server.head(1)).toEqual([
        [":method", "CONNECT"],
        [":protocol", "websocket"],
        [":scheme", "http"],
        [":authority", "a.test"],
        [":path", "/chat"],
        ["sec-websocket-version", "13"],
      ]);
      server.send(headers(1, ok(["sec-websocket-protocol", "chat"]), Flag.endHeaders), data(1, "\x81\x00"));
      expect(asked.status).toBe(101);
      expect(asked.fields).toContainEqual(["sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
      expect(asked.content).toBe("\x81\x00");
      const client = new HandSource();
      asked.response!.tunnel!.accept(client);
      client.write("\x81\x80");
      expect(server.receive().content(1)).toBe("\x81\x80");
      server.send(rstStream(1, Code.cancel));
      expect([asked.ended, client.cancelled === null]).toEqual(["upstream-truncated", false]);
      expectAlive(server);
    },
    [[Setting.enableConnectProtocol, 1]],
  ),
  shows(
    "8441 §5 a WebSocket that is refused is an ordinary response",
    (server) => {
      const asked = server.ask("/chat", { upgrade: "websocket", fields: { "Sec-WebSocket-Key": "a" } });
      server.send(headers(1, [[":status", "403"]], Flag.endHeaders), data(1, "no", Flag.endStream));
      expect(asked).toMatchObject({ status: 403, content: "no", ended: "end", completed: "end" });
      expect(asked.response!.tunnel).toBeNull();
      expectAlive(server);
    },
    [[Setting.enableConnectProtocol, 1]],
  ),
  shows("8441 §3 without SETTINGS_ENABLE_CONNECT_PROTOCOL there is no extended CONNECT", (server) => {
    expect(server.client.offersTunnels).toBe(false);
    server.ask("/chat", { upgrade: "websocket" });
    expect(server.head(1).map(([name]) => name)).not.toContain(":protocol");
  }),
];
