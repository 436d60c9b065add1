import { expect, test } from "bun:test";
import fc from "fast-check";
import { nameOfCode, readReply, updateMessage, wireName, zoneQuestion } from "./update-message.ts";

const ID = 0x1234;
const name = (text: string) => [...wireName(text)];
const SOA = [...name("example.test"), 0, 6, 0, 1, 0, 0, 0, 60, 0, 2, 7, 7];
const TXT = [0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, 2, 1, 65];
const tsig = (error: number, mac: number[] = []) => {
  const data = [...name("hmac-sha256"), 0, 0, 1, 2, 3, 4, 1, 44, 0, mac.length, ...mac, 0x12, 0x34, 0, error, 0, 0];
  return [...name("lintel"), 0, 250, 0, 255, 0, 0, 0, 0, 0, data.length, ...data];
};

interface Sections {
  readonly questions?: number[][];
  readonly answers?: number[][];
  readonly authorities?: number[][];
  readonly more?: number[][];
}

function reply(code: number, { questions = [], answers = [], authorities = [], more = [] }: Sections = {}): Buffer {
  const sections = [questions, answers, authorities, more];
  const head = [ID >> 8, ID & 0xff, 0x80, code, ...sections.flatMap(({ length }) => [0, length])];
  return Buffer.from([...head, ...sections.flat(2)]);
}

const question = [...name("example.test"), 0, 6, 0, 1];

test.each([
  ["nothing", reply(0), { code: 0, isZone: false, keyError: 0 }],
  ["a zone", reply(0, { questions: [question], answers: [SOA] }), { code: 0, isZone: true, keyError: 0 }],
  ["another record", reply(0, { questions: [question], answers: [TXT, SOA] }), { code: 0, isZone: false, keyError: 0 }],
  ["a zone above", reply(3, { questions: [question], authorities: [SOA] }), { code: 3, isZone: false, keyError: 0 }],
  ["BADSIG", reply(9, { questions: [question], more: [tsig(16)] }), { code: 9, isZone: false, keyError: 16 }],
  ["BADTIME, signed", reply(9, { more: [TXT, tsig(18, [1, 2, 3])] }), { code: 9, isZone: false, keyError: 18 }],
])("a reply with %s (RFC 1035 §4.1, RFC 8945 §4.2)", (_what, octets, expected) => {
  expect(readReply(octets, ID)).toEqual(expected);
});

test.each([
  ["another id", reply(0), ID + 1],
  ["a question", Buffer.from(reply(0).fill(0, 2, 3)), ID],
  ["less than a head", reply(0).subarray(0, 11), ID],
])("%s is no reply", (_what, octets, id) => {
  expect(readReply(octets, id)).toBeNull();
});

test("whatever octets come, and wherever they end, reading them comes to an end", () => {
  const whole = reply(9, { questions: [question], answers: [SOA], more: [TXT, tsig(17, [1, 2, 3])] });
  for (let length = 12; length <= whole.length; length++)
    expect(readReply(whole.subarray(0, length), ID)).toMatchObject({ code: 9 });
  const head = fc.array(fc.nat(255), { minLength: 8, maxLength: 8 });
  fc.assert(
    fc.property(head, fc.uint8Array({ maxLength: 200 }), (counts, rest) => {
      expect(readReply(Buffer.from([ID >> 8, ID & 0xff, 0x80, 0, ...counts, ...rest]), ID)).not.toBeNull();
    }),
  );
});

test.each(["a..b", `${"x".repeat(64)}.test`, `${"abcdefg.".repeat(32)}test`])(
  "%j is no name for DNS (RFC 1035 §2.3.4)",
  (text) => {
    expect(() => wireName(text)).toThrow(RangeError);
    expect(() => zoneQuestion(1, text)).toThrow("for DNS");
  },
);

test("names end in an empty label, with or without their dot", () => {
  expect(wireName("a.bc").toString("latin1")).toBe("\x01a\x02bc\0");
  expect(wireName("a.bc.")).toEqual(wireName("a.bc"));
  expect(wireName("")).toEqual(Buffer.from([0]));
});

test("an update adds one record, or takes exactly that one away (RFC 2136 §2.5.1, §2.5.4)", () => {
  const change = { zone: "a", name: "b.a", value: "x", ttlSeconds: 60 };
  const adds = updateMessage(ID, change, null, 0);
  expect(adds.toString("latin1")).toBe(
    "\x12\x34\x28\0\0\x01\0\0\0\x01\0\0\x01a\0\0\x06\0\x01\x01b\x01a\0\0\x10\0\x01\0\0\0\x3c\0\x02\x01x",
  );
  const removes = updateMessage(ID, { ...change, ttlSeconds: 0 }, null, 0);
  expect(removes.toString("latin1")).toEndWith("\0\x10\0\xfe\0\0\0\0\0\x02\x01x");
});

test("codes are said as people know them", () => {
  expect([0, 5, 9, 16, 17, 18, 99].map(nameOfCode)).toEqual([
    "NOERROR",
    "REFUSED",
    "NOTAUTH",
    "BADSIG",
    "BADKEY",
    "BADTIME",
    "RCODE99",
  ]);
});
