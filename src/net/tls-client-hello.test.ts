import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { alertRecord, NotAClientHello, readClientHello } from "./tls-client-hello.ts";

const u8 = (value: number) => Uint8Array.of(value);
const u16 = (value: number) => Uint8Array.of(value >> 8, value & 255);
const vector = (size: 1 | 2, ...parts: Uint8Array[]) => {
  const octets = Buffer.concat(parts);
  return Buffer.concat([size === 1 ? u8(octets.length) : u16(octets.length), octets]);
};
const latin1 = (text: string) => Buffer.from(text, "latin1");

const extension = (type: number, ...parts: Uint8Array[]) => Buffer.concat([u16(type), vector(2, ...parts)]);
const serverName = (...names: string[]) =>
  extension(0, vector(2, ...names.map((name) => Buffer.concat([u8(0), vector(2, latin1(name))]))));
const alpn = (...names: string[]) => extension(16, vector(2, ...names.map((name) => vector(1, latin1(name)))));
const versions = (...list: number[]) => extension(43, vector(1, ...list.map(u16)));

function message(extensions: Uint8Array[] | null, after: Uint8Array = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([
    u16(0x0303),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(32, 8)),
    vector(2, u16(0x1301), u16(0xc02b)),
    vector(1, u8(0)),
    ...(extensions === null ? [] : [vector(2, ...extensions)]),
    after,
  ]);
  return Buffer.concat([Uint8Array.of(1, 0, body.length >> 8, body.length & 255), body]);
}

/** In records of at most so many octets. */
function records(octets: Uint8Array, size = 16_384): Buffer {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < octets.length; at += size)
    pieces.push(Uint8Array.of(22, 3, 1), vector(2, octets.subarray(at, at + size)));
  return Buffer.concat(pieces);
}

const hello = (...extensions: Uint8Array[]) => records(message(extensions));

describe("a ClientHello (RFC 8446 §4.1.2)", () => {
  test("tells name, protocols and version", () => {
    const octets = hello(serverName("app.test"), alpn("h2", "http/1.1"), versions(0x7a7a, 0x0304, 0x0303));
    expect(readClientHello(octets)).toEqual({ serverName: "app.test", alpn: ["h2", "http/1.1"], version: 0x0304 });
  });

  test("without extensions is one of TLS 1.2", () => {
    expect(readClientHello(records(message(null)))).toEqual({ serverName: null, alpn: [], version: 0x0303 });
  });

  test("may go on beyond", () => {
    const octets = Buffer.concat([hello(serverName("app.test")), Buffer.from([20, 3, 3, 0, 1, 1])]);
    expect(readClientHello(octets)?.serverName).toBe("app.test");
  });

  test("is complete only with its last octet, in records of any size (RFC 8446 §5.1)", () => {
    for (const size of [1, 3, 5, 100, 16_384]) {
      const whole = message([serverName("app.test"), alpn("h2")]);
      if (whole.length / size > 60) continue;
      const octets = records(whole, size);
      for (let length = 0; length < octets.length; length++)
        expect(readClientHello(octets.subarray(0, length))).toBeNull();
      expect(readClientHello(octets)).toMatchObject({ serverName: "app.test", alpn: ["h2"] });
    }
  });

  test.each([
    ["APP.Test", "app.test"],
    ["app.test.", "app.test"],
    ["xn--bcher-kva.test", "xn--bcher-kva.test"],
    ["127.0.0.1", "127.0.0.1"],
    ["under_score.test", "under_score.test"],
  ])("names %j as %j", (sent, read) => {
    expect(readClientHello(hello(serverName(sent)))?.serverName).toBe(read);
  });
});

describe("is refused", () => {
  test.each<[string, Uint8Array, RegExp, number]>([
    ["a name with a NUL", hello(serverName("a\0b")), /not a host name/, 47],
    ["a name with a line break", hello(serverName("a\r\nb: c")), /not a host name/, 47],
    ["an empty name", hello(serverName("")), /not a host name/, 47],
    ["a name of 300 octets", hello(serverName("a".repeat(300))), /not a host name/, 47],
    ["two names", hello(serverName("a.test", "b.test")), /comes twice/, 47],
    ["an extension twice", hello(alpn("h2"), alpn("h2")), /comes twice/, 47],
    ["an extension beyond the end", records(message([Buffer.from([0, 16, 0xff, 0xff])])), /cut off/, 50],
    ["a vector beyond its extension", hello(extension(16, u16(99))), /cut off/, 50],
    ["octets after the extensions", records(message([alpn("h2")], u8(1))), /follows the extensions/, 50],
    ["a length of 16 MiB", Buffer.from([22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]), /longer than/, 47],
    ["an empty record", Buffer.from([22, 3, 1, 0, 0]), /empty record/, 10],
    ["another kind of record within", Buffer.from([22, 3, 1, 0, 1, 1, 23, 3, 3]), /something else/, 10],
    [
      "one octet per record for ever",
      records(Buffer.concat([Uint8Array.of(1, 0, 1, 0), Buffer.alloc(256)]), 1),
      /too many/,
      50,
    ],
    ["HTTP", latin1("GET / HTTP/1.1\r\n"), /plain HTTP/, 0],
    ["anything else", latin1("\x80\x2e\x01"), /does not speak TLS/, 0],
  ])("%s", (_what, octets, reason, alert) => {
    expect(() => readClientHello(octets)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(reason), alert }),
    );
  });
});

test("whatever comes, the answer is a ClientHello, more, or a reason", () => {
  const good = hello(serverName("app.test"), alpn("h2", "http/1.1"), versions(0x0304));
  const changed = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 8 }).map((changes) => {
    const octets = Buffer.from(good);
    for (const [at, value] of changes) octets[at] = value;
    return octets;
  });
  fc.assert(
    fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 400 })), (octets) => {
      try {
        readClientHello(octets);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(NotAClientHello);
      }
    }),
    { numRuns: 2000 },
  );
});

test("an alert is a record of its own (RFC 8446 §6)", () => {
  expect([...alertRecord(112)]).toEqual([21, 3, 3, 0, 2, 2, 112]);
});
