/** What a request may look like: RFC 9113 §8.1 to §8.3. All else is malformed, which is a stream error (§8.1.1). */
import { expect } from "bun:test";
import { GET, get, type HostileClient, post } from "../hostile-client.ts";
import { literals } from "../hpack.ts";
import { accepted, eitherError, expectAlive, refused, type ServerCase, shows, streamError } from "../verdict.ts";
import { Code, continuation, data, type FieldLine, Flag, headers, headersBlock, paddedData, Type } from "../wire.ts";

const malformed = (name: string, fields: readonly FieldLine[]): ServerCase =>
  streamError(`9113 ${name}`, Code.protocol, (client) => client.send(headers(1, fields)));

const fine = (name: string, fields: readonly FieldLine[]): ServerCase =>
  accepted(`9113 ${name}`, (client) => client.send(headers(1, fields)));

const badField = (name: string, ...line: FieldLine): ServerCase => malformed(`§8.2 ${name}`, [...GET, line]);

const without = (name: string): FieldLine[] => GET.filter(([one]) => one !== name);
const withPseudo = (name: string, value: string): FieldLine[] =>
  GET.map((line) => (line[0] === name ? [name, value] : line));

/** Content whose declared length is another. */
const badLength = (name: string, declared: readonly string[], ...pieces: string[]): ServerCase =>
  streamError(`9113 §8.1.1 ${name}`, Code.protocol, (client) => {
    const lengths = declared.map((value): FieldLine => ["content-length", value]);
    client.send(headers(1, post("/echo", ...lengths), pieces.length > 0 ? Flag.endHeaders : undefined));
    pieces.forEach((piece, at) => {
      client.send(data(1, piece, at === pieces.length - 1 ? Flag.endStream : 0));
    });
  });

const trailers = (client: HostileClient, fields: readonly FieldLine[], ...more: FieldLine[]) =>
  client.send(headers(1, post("/echo", ...more), Flag.endHeaders), data(1, "abc"), headers(1, fields));

const badTrailers = (name: string, fields: readonly FieldLine[]): ServerCase =>
  streamError(`9113 ${name}`, Code.protocol, (client) => trailers(client, fields));

/** A request with so many fields of 7000 octets each. */
function sendLong(client: HostileClient, count: number): void {
  client.send(headersBlock(1, literals(GET), Flag.endStream));
  for (let n = 0; n < count; n++)
    client.send(continuation(1, literals([[`x-${n}`, "v".repeat(7000)]]), n === count - 1 ? Flag.endHeaders : 0));
}

const seen = (client: HostileClient) => client.application.requests[0]!;

export const MESSAGES: readonly ServerCase[] = [
  // §8.2.1
  badField("a name in upper case", "X-A", "b"),
  badField("one letter of a name in upper case", "x-aBc", "b"),
  badField("an empty name", "", "b"),
  badField("SP in a name", "x a", "b"),
  badField("SP at the end of a name", "x-a ", "b"),
  badField("HTAB in a name", "x\ta", "b"),
  badField("CR LF in a name", "x-a\r\nx-b", "b"),
  badField("NUL in a name", "x\0a", "b"),
  badField("a colon within a name", "x:a", "b"),
  badField("DEL in a name", "x\x7fa", "b"),
  badField("an octet above 0x7f in a name", "x\xe9", "b"),
  badField("a name that is no token", "x(a)", "b"),
  badField("NUL in a value", "x-a", "b\0c"),
  badField("CR in a value", "x-a", "b\rc"),
  badField("LF in a value", "x-a", "b\nc"),
  badField("CR LF and a field line in a value", "x-a", "b\r\ntransfer-encoding: chunked"),
  badField("CR LF CR LF and a request in a value", "x-a", "b\r\n\r\nGET /admin HTTP/1.1\r\nhost: a"),
  badField("SP at the start of a value", "x-a", " b"),
  badField("SP at the end of a value", "x-a", "b "),
  badField("HTAB at the start of a value", "x-a", "\tb"),
  badField("HTAB at the end of a value", "x-a", "b\t"),
  fine("§8.2.1 an empty value", [...GET, ["x-a", ""]]),
  fine("§8.2.1 SP and HTAB within a value", [...GET, ["x-a", "b \t c"]]),
  fine("§8.2.1 octets above 0x7f in a value", [...GET, ["x-a", "caf\xe9"]]),
  fine("§8.2.1 every character of a token in a name", [...GET, ["!#$%&'*+-.^_`|~09az", "b"]]),

  // §8.2.2
  badField("Connection", "connection", "keep-alive"),
  badField("Connection: close", "connection", "close"),
  badField("Proxy-Connection", "proxy-connection", "keep-alive"),
  badField("Keep-Alive", "keep-alive", "timeout=5"),
  badField("Transfer-Encoding", "transfer-encoding", "chunked"),
  badField("Transfer-Encoding: identity", "transfer-encoding", "identity"),
  badField("Upgrade", "upgrade", "websocket"),
  badField("TE other than trailers", "te", "gzip"),
  badField("TE with more than trailers", "te", "trailers, deflate"),
  fine("§8.2.2 TE: trailers", [...GET, ["te", "trailers"]]),

  // §8.2.3
  shows('9113 §8.2.3 cookie crumbs are one line again, joined by "; "', (client) => {
    client.request(1, "/", ["cookie", "a=1"], ["x-a", "b"], ["cookie", "c=2"], ["cookie", "d=3; e=4"]);
    expect(seen(client).fields.filter(([name]) => name === "cookie")).toEqual([["cookie", "a=1; c=2; d=3; e=4"]]);
    expectAlive(client);
  }),

  // §8.3
  malformed("§8.3 an unknown pseudo-field", [...GET, [":foo", "bar"]]),
  malformed("§8.3 a pseudo-field of responses", [...GET, [":status", "200"]]),
  malformed("§8.3 a pseudo-field without name", [...GET, [":", "bar"]]),
  malformed("§8.3 a pseudo-field in upper case", [...GET, [":Path", "/"]]),
  malformed("§8.3 a pseudo-field after other fields", [...without(":path"), ["x-a", "b"], [":path", "/"]]),
  malformed("§8.3 :authority after other fields", [...without(":authority"), ["x-a", "b"], [":authority", "a.test"]]),
  ...[":method", ":scheme", ":path", ":authority"].map((name) =>
    malformed(`§8.3 ${name} twice`, [...GET, GET.find(([one]) => one === name)!]),
  ),
  ...[":method", ":scheme", ":path"].map((name) => malformed(`§8.3.1 no ${name}`, without(name))),
  malformed("§8.3.1 an empty :path", withPseudo(":path", "")),
  malformed("§8.3.1 a :path that does not begin with a slash", withPseudo(":path", "a")),
  malformed("§8.3.1 an absolute URI as :path", withPseudo(":path", "http://b.test/")),
  malformed("§8.3.1 :path of * for GET", withPseudo(":path", "*")),
  malformed("§8.3.1 SP in :path", withPseudo(":path", "/ HTTP/1.1")),
  malformed("§10.3 CR LF in :path", withPseudo(":path", "/ HTTP/1.1\r\nx-a: b")),
  malformed("§10.3 NUL in :path", withPseudo(":path", "/\0")),
  malformed("§10.3 HTAB in :path", withPseudo(":path", "/a\tb")),
  malformed("§8.3.1 a fragment in :path", withPseudo(":path", "/#a")),
  malformed("§8.3.1 an octet above 0x7f in :path", withPseudo(":path", "/\xe9")),
  malformed("§10.3 an empty :method", withPseudo(":method", "")),
  malformed("§10.3 SP in :method", withPseudo(":method", "GET /admin")),
  malformed("§10.3 CR LF in :method", withPseudo(":method", "GET\r\n")),
  malformed("§10.3 an empty :scheme", withPseudo(":scheme", "")),
  malformed("§10.3 CR LF in :scheme", withPseudo(":scheme", "http\r\nx: y")),
  malformed("§10.3 a :scheme that is none", withPseudo(":scheme", "http://a/?")),
  malformed("§8.3.1 userinfo in :authority", withPseudo(":authority", "user@a.test")),
  malformed("§10.3 CR LF in :authority", withPseudo(":authority", "a.test\r\nx-a: b")),
  malformed("§10.3 SP in :authority", withPseudo(":authority", "a.test b")),
  malformed("§10.3 a slash in :authority", withPseudo(":authority", "a.test/admin")),
  malformed("§8.3.1 an empty :authority", withPseudo(":authority", "")),
  malformed("§8.3.1 Host other than :authority", [...GET, ["host", "b.test"]]),
  malformed("§8.3.1 Host twice", [...without(":authority"), ["host", "a.test"], ["host", "b.test"]]),
  malformed("§8.3.1 an invalid Host without :authority", [...without(":authority"), ["host", "a.test/b"]]),
  refused("9113 §8.3.1 neither :authority nor Host", (client) => client.send(headers(1, without(":authority")))),
  fine("§8.3.1 Host like :authority", [...GET, ["host", "a.test"]]),
  shows("9113 §8.3.1 Host in place of :authority", (client) => {
    client.send(headers(1, [...without(":authority"), ["host", "b.test:81"]]));
    expect(seen(client).authority).toBe("b.test:81");
    expectAlive(client);
  }),
  shows("9113 §8.3.1 pseudo-fields in any order", (client) => {
    client.send(headers(1, [...GET].reverse()));
    expect([seen(client).method, seen(client).target, seen(client).authority]).toEqual(["GET", "/", "a.test"]);
    expectAlive(client);
  }),
  shows("9113 §8.3.1 methods keep their case", (client) => {
    client.send(headers(1, withPseudo(":method", "Get")));
    expect(seen(client).method).toBe("Get");
    expectAlive(client);
  }),
  shows("9113 §8.3.1 OPTIONS with :path of *", (client) => {
    client.send(
      headers(1, [
        [":method", "OPTIONS"],
        [":scheme", "http"],
        [":path", "*"],
        [":authority", "a.test"],
      ]),
    );
    expect([seen(client).method, seen(client).target]).toEqual(["OPTIONS", "*"]);
    expectAlive(client);
  }),
  shows("9113 §8.3 pseudo-fields are no fields of the request", (client) => {
    client.request(1, "/", ["x-a", "b"]);
    expect(seen(client).fields.filter(([name]) => name.startsWith(":"))).toEqual([]);
    expect(seen(client).fields).toContainEqual(["x-a", "b"]);
    expectAlive(client);
  }),

  // §8.1.1
  badLength("less content than declared", ["4"], "abc"),
  badLength("more content than declared", ["2"], "abc"),
  badLength("more content than declared, in the second frame", ["4"], "abc", "de"),
  badLength("no content where some was declared", ["1"]),
  badLength("empty content where some was declared", ["1"], ""),
  badLength("content where none was declared", ["0"], "abc"),
  badLength("a Content-Length that is no number", ["three"], "abc"),
  badLength("a Content-Length with a sign", ["+3"], "abc"),
  badLength("a negative Content-Length", ["-1"], ""),
  badLength("an empty Content-Length", [""], ""),
  badLength("a Content-Length in hexadecimal", ["0x3"], "abc"),
  badLength("a Content-Length beyond what can be counted", ["18446744073709551619"], "abc"),
  badLength("a Content-Length of 2^64 more than there is", ["18446744073709551619"], "abc"),
  badLength("two Content-Lengths that differ", ["3", "4"], "abc"),
  badLength("a Content-Length list whose members differ", ["3, 4"], "abc"),
  streamError("9113 §8.1.1 less content than declared before trailers", Code.protocol, (client) =>
    trailers(client, [["x-a", "b"]], ["content-length", "4"]),
  ),
  accepted(
    "9113 §8.1.1 as much content as declared",
    (client) => client.upload(1, "abc", "/echo", ["content-length", "3"]),
    {
      content: "abc",
    },
  ),
  accepted(
    "9113 §8.1.1 padding does not count for Content-Length",
    (client) =>
      client.send(
        headers(1, post("/echo", ["content-length", "3"]), Flag.endHeaders),
        paddedData(1, "abc", 3, Flag.endStream),
      ),
    { content: "abc" },
  ),
  accepted(
    "9113 §8.1.1 a Content-Length of 0 without content",
    (client) => client.send(headers(1, post("/echo", ["content-length", "0"]))),
    { content: "" },
  ),

  // §8.1: trailers
  badTrailers("§8.1 a pseudo-field in trailers", [[":path", "/"]]),
  badTrailers("§8.1 :status in trailers", [[":status", "200"]]),
  badTrailers("§8.2.1 a name in upper case in trailers", [["X-A", "b"]]),
  badTrailers("§8.2.1 CR LF in a value in trailers", [["x-a", "b\r\nc: d"]]),
  badTrailers("§8.2.2 Connection in trailers", [["connection", "close"]]),
  badTrailers("§8.2.2 Transfer-Encoding in trailers", [["transfer-encoding", "chunked"]]),
  shows("9113 §8.1 trailers are handed on", (client) => {
    trailers(client, [["x-sum", "3"]]);
    expect(seen(client)).toMatchObject({ content: "abc", ended: "end", trailers: [["x-sum", "3"]] });
    expectAlive(client);
  }),
  shows("9113 §8.1 trailers without content before them", (client) => {
    client.send(headers(1, post("/echo"), Flag.endHeaders), headers(1, [["x-sum", "3"]]));
    expect(seen(client)).toMatchObject({ content: "", ended: "end" });
    expectAlive(client);
  }),

  // Responses
  shows("9113 §8.3.2 :status comes first, names are in lower case, nothing is connection-specific", (client) => {
    client.request(1, "/http1-fields");
    const { head } = client.answer(1);
    expect(head![0]).toEqual([":status", "200"]);
    expect(head!.map(([name]) => name).filter((name) => /[A-Z]/.test(name))).toEqual([]);
    expect(
      head!.filter(([name]) => /^(connection|keep-alive|proxy-connection|transfer-encoding|upgrade)$/.test(name)),
    ).toEqual([]);
    expect(head).toContainEqual(["x-mixed", "yes"]);
    expectAlive(client);
  }),
  shows("9113 §8.1 interim responses come before, without END_STREAM", (client) => {
    client.request(1, "/hints");
    expect(client.answer(1).interim).toEqual([
      [
        [":status", "103"],
        ["link", "</a>"],
      ],
    ]);
    expect(client.answer(1)).toMatchObject({ status: 200, content: "hinted", ended: true });
    expectAlive(client);
  }),
  shows("9113 §8.1 HEAD is answered without content", (client) => {
    client.send(headers(1, get("/octets/9").with(0, [":method", "HEAD"])));
    const { head, content, ended } = client.answer(1);
    expect([content, ended]).toEqual(["", true]);
    expect(head).toContainEqual(["content-length", "9"]);
    expect(client.of(Type.data, 1).every(({ payload }) => payload.length === 0)).toBe(true);
    expectAlive(client);
  }),
  ...[204, 304].map((status) =>
    shows(`9113 §8.1 ${status} has no content`, (client) => {
      client.request(1, `/status/${status}`);
      expect(client.answer(1)).toMatchObject({ status, content: "", ended: true });
      expectAlive(client);
    }),
  ),
  shows("9113 §8.1 trailers of a response end its stream", (client) => {
    client.request(1, "/trailers", ["te", "trailers"]);
    expect(client.answer(1)).toMatchObject({ content: "content", trailers: [["x-sum", "7"]], ended: true });
    expect(client.frames.at(-1)!.type).toBe(Type.headers);
    expectAlive(client);
  }),
  shows("9113 §8.1.1 Content-Length of a response is the length of its content", (client) => {
    client.request(1, "/octets/12345");
    const { head, content } = client.answer(1);
    expect(head).toContainEqual(["content-length", String(content.length)]);
    expectAlive(client);
  }),
  shows("9113 §10.5.1 a field section that is too large is refused, and costs its stream only", (client) => {
    sendLong(client, 6);
    const { status, reset } = client.answer(1);
    expect(status === 431 || reset !== null).toBe(true);
    expect(client.application.requests).toEqual([]);
    expectAlive(client);
  }),
  eitherError("9113 §10.5.1 a field section many times too large", [Code.calm, Code.protocol], (client) =>
    sendLong(client, 100),
  ),
];
