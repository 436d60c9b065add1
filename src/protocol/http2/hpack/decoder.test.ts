import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { RUNS } from "../../http1/testing.ts";
import { HpackDecoder } from "./decoder.ts";
import type { HeaderField } from "./header-field.ts";

const octetsOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(" ", ""), "hex");

function decodeFields(decoder: HpackDecoder, block: Uint8Array): HeaderField[] {
  // Borrowed until the call returns, and not at the start of its buffer.
  const room = Buffer.concat([Buffer.alloc(3, 0xff), block, Buffer.alloc(3, 0xff)]);
  const fields: HeaderField[] = [];
  decoder.decode(room, 3, 3 + block.length, { onField: (field) => fields.push(field) });
  room.fill(0xee);
  return fields;
}

const decode = (decoder: HpackDecoder, hex: string): string[] =>
  decodeFields(decoder, octetsOf(hex)).map(({ name, value }) => `${name}: ${value}`);

const one = (hex: string, tableOctets = 4096): HeaderField =>
  decodeFields(new HpackDecoder(tableOctets), octetsOf(hex))[0]!;

const REQUESTS = [
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
  [":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"],
];

const RESPONSES = [
  [
    ":status: 302",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:21 GMT",
    "location: https://www.example.com",
  ],
  [
    ":status: 307",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:21 GMT",
    "location: https://www.example.com",
  ],
  [
    ":status: 200",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:22 GMT",
    "location: https://www.example.com",
    "content-encoding: gzip",
    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
  ],
];

describe("the examples of RFC 7541 appendix C", () => {
  test.each([
    ["C.2.1", "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header", 55],
    ["C.2.2", "040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", 0],
    ["C.2.3", "1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret", 0],
    ["C.2.4", "82", ":method: GET", 0],
  ])("%s: one field", (_, hex, field, octets) => {
    const decoder = new HpackDecoder();
    expect(decode(decoder, hex)).toEqual([field]);
    expect(decoder.octets).toBe(octets);
  });

  test.each([
    [
      "C.3 requests",
      4096,
      REQUESTS,
      [57, 110, 164],
      [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
      ],
    ],
    [
      "C.4 requests in Huffman code",
      4096,
      REQUESTS,
      [57, 110, 164],
      [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
      ],
    ],
    [
      "C.5 responses, with eviction",
      256,
      RESPONSES,
      [222, 222, 215],
      [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
      ],
    ],
    [
      "C.6 responses in Huffman code, with eviction",
      256,
      RESPONSES,
      [222, 222, 215],
      [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
      ],
    ],
  ])("%s", (_, tableOctets, fields, sizes, blocks) => {
    const decoder = new HpackDecoder(tableOctets);
    blocks.forEach((hex, i) => {
      expect(decode(decoder, hex)).toEqual(fields[i]!);
      expect(decoder.octets).toBe(sizes[i]!);
    });
  });
});

describe("what ends the connection with COMPRESSION_ERROR (RFC 9113 §4.3)", () => {
  test.each([
    ["index 0 (RFC 7541 §6.1)", "80"],
    ["an index beyond the tables (§2.3.3)", "be"],
    ["a name index beyond the tables", "7f00 01 61"],
    ["a field that ends within its index", "ff"],
    ["a field that ends within its name", "4003 6162"],
    ["a field without a value", "4001 61"],
    ["a string longer than the block", "4001 61 05 61"],
    ["an integer of too many octets (§5.1)", "ffff ffff ffff 0f"],
    ["an integer of too many octets that adds up to little", "ff80 8080 8080 00"],
    ["EOS in a Huffman code (§5.2)", "4001 61 84 ffff ffff"],
    ["padding of eight ones", "4001 61 82 1fff"],
    ["padding that is not of ones", "4001 61 81 18"],
    ["an incomplete long code", "4001 61 81 fe"],
    ["a table size update after a field (§4.2)", "82 20"],
    ["a table size beyond what was allowed (§6.3)", "3fe2 1f"],
  ])("%s", (_, hex) => {
    expect(() => decode(new HpackDecoder(), hex)).toThrow(expect.objectContaining({ code: 9 }));
  });
});

test("table size updates at the beginning of a block are obeyed (RFC 7541 §4.2, §4.3)", () => {
  const decoder = new HpackDecoder();
  decode(decoder, "4001 61 01 31 4001 62 01 32");
  expect(decoder.entries).toBe(2);
  // Room for one entry of 34 octets: the older one leaves.
  expect(decode(decoder, "3f 03 be")).toEqual(["b: 2"]);
  expect(decoder.entries).toBe(1);
  expect(decode(decoder, "20 3f e11f 82")).toEqual([":method: GET"]);
  expect(decoder.entries).toBe(0);
});

test("an entry that is larger than the table leaves it empty (RFC 7541 §4.4)", () => {
  const decoder = new HpackDecoder(64);
  decode(decoder, "4001 61 01 31");
  expect(decoder.entries).toBe(1);
  expect(decode(decoder, `4001 62 28 ${"31".repeat(40)}`)).toEqual([`b: ${"1".repeat(40)}`]);
  expect(decoder).toMatchObject({ entries: 0, octets: 0 });
});

test("an entry may be named after one that it pushes out (RFC 7541 §4.4)", () => {
  const decoder = new HpackDecoder(40);
  decode(decoder, "4001 61 01 31");
  expect(decode(decoder, "7e 05 32 32 32 32 32")).toEqual(["a: 22222"]);
});

test("without a dynamic table everything but reference to it works", () => {
  const decoder = new HpackDecoder(0);
  expect(decode(decoder, "4001 61 01 31 82")).toEqual(["a: 1", ":method: GET"]);
  expect(decoder.entries).toBe(0);
});

describe("a field that no message may hold says why (RFC 9113 §8.2)", () => {
  const literal = (name: string, value: string): string => {
    const string = (text: string) =>
      Buffer.concat([Buffer.of(text.length), Buffer.from(text, "latin1")]).toString("hex");
    return `00${string(name)}${string(value)}`;
  };

  test.each([
    ["", "x"],
    ["Accept", "x"],
    ["a b", "x"],
    ["a:b", "x"],
    [":unknown", "x"],
    [":", "x"],
    ["a\r\nb", "x"],
    ["a\0", "x"],
    ["a\x7f", "x"],
    ["\xe9", "x"],
    ["a", "x\r\ny: z"],
    ["a", "x\ny"],
    ["a", "x\0y"],
    ["a", " x"],
    ["a", "x\t"],
    ["a", " "],
    ["connection", "close"],
    ["keep-alive", "timeout=5"],
    ["proxy-connection", "keep-alive"],
    ["transfer-encoding", "chunked"],
    ["upgrade", "websocket"],
    ["te", "gzip"],
    ["te", "trailers, deflate"],
  ])("%j: %j", (name, value) => {
    expect(one(literal(name, value)).problem).toBeString();
  });

  test.each([
    ["accept", ""],
    ["accept", "a b\tc"],
    ["x-latin", "\xe9"],
    ["te", "trailers"],
    [":path", "/"],
    ["!#$%&'*+-.^_`|~09az", "x"],
  ])("%j: %j is none", (name, value) => {
    expect(one(literal(name, value)).problem).toBeNull();
  });

  test("also when the name comes from the table, and the value from there the next time", () => {
    const decoder = new HpackDecoder();
    // transfer-encoding is in the static table; accept gets a bad value.
    const fields = decodeFields(decoder, octetsOf("7900 5302 0a0a be bf"));
    expect(fields.map(({ name, problem }) => [name, problem !== null])).toEqual([
      ["transfer-encoding", true],
      ["accept", true],
      ["accept", true],
      ["transfer-encoding", true],
    ]);
  });
});

test("any octets either decode or end the connection, within bounds", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 5 }), (blocks) => {
      const decoder = new HpackDecoder(200);
      try {
        for (const block of blocks) decodeFields(decoder, block);
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: 9 });
      }
      expect(decoder.octets).toBeLessThanOrEqual(200);
      expect(decoder.entries).toBeLessThanOrEqual(6);
    }),
    { numRuns: RUNS },
  );
});
