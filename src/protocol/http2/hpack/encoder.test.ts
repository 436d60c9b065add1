import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { fieldId } from "../../../http/field-name.ts";
import { FieldSection } from "../../../http/field-section.ts";
import { RUNS } from "../../http1/testing.ts";
import { FrameOutput } from "../frame-output.ts";
import { HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";

const out = new FrameOutput();

function encode(encoder: HpackEncoder, fields: readonly (readonly [string, string])[]): Buffer {
  out.length = 0;
  encoder.begin(out);
  for (const [name, value] of fields) encoder.onLine(fieldId(name), name, value);
  const block = Buffer.from(out.buffer.subarray(0, out.length));
  out.length = 0;
  return block;
}

function decode(decoder: HpackDecoder, block: Buffer): [string, string][] {
  const fields: [string, string][] = [];
  decoder.decode(block, 0, block.length, { onField: ({ name, value }) => fields.push([name, value]) });
  return fields;
}

describe("what goes into the table", () => {
  test("the first value of a name: the second time it is one octet", () => {
    const encoder = new HpackEncoder();
    expect(encode(encoder, [["server", "nginx"]]).length).toBeGreaterThan(5);
    expect(encode(encoder, [["server", "nginx"]])).toEqual(Buffer.of(0x80 | 62));
  });

  test("a value that is new with each message is not, and pushes nothing out", () => {
    const encoder = new HpackEncoder();
    encode(encoder, [["server", "nginx"]]);
    for (let i = 0; i < 1000; i++) encode(encoder, [["x-trace", `${i}`.padStart(30, "0")]]);
    expect(encode(encoder, [["server", "nginx"]])).toHaveLength(1);
  });

  test("another value is once it comes a second time in a row", () => {
    const encoder = new HpackEncoder();
    encode(encoder, [["date", "a"]]);
    encode(encoder, [["date", "b"]]);
    expect(encode(encoder, [["date", "b"]]).length).toBeGreaterThan(1);
    expect(encode(encoder, [["date", "b"]])).toHaveLength(1);
    // Both are there now.
    expect(encode(encoder, [["date", "a"]])).toHaveLength(1);
  });

  test.each([
    ["authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="],
    ["proxy-authorization", "x"],
    ["set-cookie", "session=0123456789abcdef0123456789abcdef"],
    ["cookie", "pin=1234"],
  ])("%s is never indexed, and nobody may (RFC 7541 §7.1.3)", (name, value) => {
    const encoder = new HpackEncoder();
    for (let i = 0; i < 3; i++) expect(encode(encoder, [[name, value]])[0]! & 0xf0).toBe(0x10);
  });

  test("a value of more than a quarter of the table is not", () => {
    const encoder = new HpackEncoder();
    const value = "x".repeat(1100);
    for (let i = 0; i < 3; i++) expect(encode(encoder, [["x-large", value]]).length).toBeGreaterThan(1100);
  });
});

test("statuses of the static table are one octet, others are written out", () => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  for (const status of [200, 204, 206, 304, 400, 404, 500, 100, 103, 201, 431, 599]) {
    out.length = 0;
    encoder.begin(out);
    encoder.status(status);
    expect(decode(decoder, Buffer.from(out.buffer.subarray(0, out.length)))).toEqual([[":status", `${status}`]]);
  }
  out.length = 0;
});

test("a changed table size is told at the beginning of the next block, the smallest first (RFC 7541 §4.2)", () => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  decode(decoder, encode(encoder, [["server", "nginx"]]));
  encoder.limit(0);
  encoder.limit(100);
  const block = encode(encoder, [["server", "nginx"]]);
  expect([...block.subarray(0, 3)]).toEqual([0x20, 0x3f, 69]);
  expect(decode(decoder, block)).toEqual([["server", "nginx"]]);
  expect(decoder.entries).toBe(1);
  encoder.limit(0);
  expect(decode(decoder, encode(encoder, [["server", "nginx"]]))).toEqual([["server", "nginx"]]);
  expect(decoder.entries).toBe(0);
  // More than ours at most is not used.
  encoder.limit(1_000_000);
  expect(decode(decoder, encode(encoder, [["server", "nginx"]]))).toEqual([["server", "nginx"]]);
});

const name = fc.oneof(
  fc.constantFrom("server", "date", "content-type", "x-a", "x-b", "set-cookie", "cookie", "etag", "accept"),
  fc.stringMatching(/^[a-z0-9-]{1,12}$/),
);
const value = fc.oneof(
  fc.constantFrom("", "1", "nginx", "text/html", "a longer value that compresses"),
  fc.stringMatching(/^[!-~\xa1-\xff]{0,60}$/),
  fc.constant("x".repeat(1500)),
);
const sections = fc.array(
  fc.record({
    fields: fc.array(fc.tuple(name, value), { maxLength: 12 }),
    limit: fc.option(fc.constantFrom(0, 64, 200, 1000, 4096, 65_536), { freq: 6 }),
  }),
  { maxLength: 12 },
);

test("what is encoded decodes to the same, over many blocks and table sizes", () => {
  fc.assert(
    fc.property(sections, (blocks) => {
      const encoder = new HpackEncoder();
      const decoder = new HpackDecoder(65_536);
      for (const { fields, limit } of blocks) {
        if (limit !== null) encoder.limit(limit);
        expect(decode(decoder, encode(encoder, fields))).toEqual(fields);
      }
    }),
    { numRuns: RUNS * 3 },
  );
});

test("more names than are remembered stay right", () => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 700; i++) {
      const fields: [string, string][] = [[`x-${i}`, `value ${i % 7}`]];
      expect(decode(decoder, encode(encoder, fields))).toEqual(fields);
    }
  }
});

test("a field section is encoded line by line, in lower case, without the names of a set", () => {
  const encoder = new HpackEncoder();
  const section = FieldSection.of({ "Content-Type": "text/plain", "X-Thing": "Value", Connection: "close" });
  section.append("x-empty", "");
  section.delete("connection");
  out.length = 0;
  encoder.begin(out);
  section.eachLine(encoder, null);
  const block = Buffer.from(out.buffer.subarray(0, out.length));
  out.length = 0;
  expect(decode(new HpackDecoder(), block)).toEqual([
    ["content-type", "text/plain"],
    ["x-thing", "Value"],
    ["x-empty", ""],
  ]);
});
