import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { RUNS } from "../../http1/testing.ts";
import { huffmanDecode, huffmanEncode, huffmanExpansion, huffmanLength } from "./huffman.ts";

function encode(text: string): Buffer {
  const out = Buffer.alloc(text.length * 4 + 8);
  return out.subarray(0, huffmanEncode(text, out, 0));
}

function decode(octets: Uint8Array): string | null {
  const out = Buffer.alloc(huffmanExpansion(octets.length));
  const end = huffmanDecode(octets, 0, octets.length, out, 0);
  return end < 0 ? null : out.toString("latin1", 0, end);
}

// RFC 7541 appendix B: the first and last code of many lengths, as bits.
test.each([
  ["0", "00000"],
  ["t", "01001"],
  [" ", "010100"],
  ["u", "101101"],
  [":", "1011100"],
  ["z", "1111011"],
  ["&", "11111000"],
  ["Z", "11111101"],
  ["!", "1111111000"],
  ["?", "1111111100"],
  ["'", "11111111010"],
  ["|", "11111111100"],
  ["#", "111111111010"],
  [">", "111111111011"],
  ["\0", "1111111111000"],
  ["~", "1111111111101"],
  ["^", "11111111111100"],
  ["}", "11111111111101"],
  ["<", "111111111111100"],
  ["{", "111111111111110"],
  ["\\", "1111111111111110000"],
  ["\xc3", "1111111111111110001"],
  ["\x80", "11111111111111100110"],
  ["\x99", "111111111111111011100"],
  ["\x81", "1111111111111111010010"],
  ["\x01", "11111111111111111011000"],
  ["\xf4", "111111111111111111111100111"],
  ["\x09", "111111111111111111101010"],
  ["\xc7", "1111111111111111111101100"],
  ["\xc0", "11111111111111111111100000"],
  ["\xcb", "111111111111111111111011110"],
  ["\x02", "1111111111111111111111100010"],
  ["\xf9", "1111111111111111111111111110"],
  ["\x0a", "111111111111111111111111111100"],
  ["\x16", "111111111111111111111111111110"],
])("%j is %s (RFC 7541 appendix B)", (text, bits) => {
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, "1");
  const octets = Buffer.from(padded.match(/.{8}/g)!.map((octet) => Number.parseInt(octet, 2)));
  expect(encode(text)).toEqual(octets);
  expect(decode(octets)).toBe(text);
});

describe("round trips", () => {
  test("every pair of octets", () => {
    for (let a = 0; a < 256; a++) {
      for (let b = 0; b < 256; b++) {
        const text = String.fromCharCode(a, b);
        const octets = encode(text);
        if (decode(octets) !== text || octets.length !== huffmanLength(text)) throw new Error(`${a}, ${b}`);
      }
    }
  });

  test("any octets", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
        const text = Buffer.from(octets).toString("latin1");
        expect(encode(text)).toHaveLength(huffmanLength(text));
        expect(decode(encode(text))).toBe(text);
      }),
      { numRuns: RUNS },
    );
  });

  test("what decodes encodes to the same octets: there is one code for each text", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (octets) => {
        const text = decode(octets);
        if (text !== null) expect(encode(text)).toEqual(Buffer.from(octets));
      }),
      { numRuns: RUNS * 10 },
    );
  });
});
