import { expect, test } from "bun:test";
import fc from "fast-check";
import { putText } from "./buffer.ts";

test("any text of octets is written as the runtime would, wherever it comes from", () => {
  const text = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    maxLength: 64,
  });
  fc.assert(
    fc.property(text, fc.nat(5), fc.nat(30), (whole, from, offset) => {
      for (const piece of [whole, whole.slice(from), `${whole.slice(0, from)}-${whole.slice(from)}`]) {
        const octets = Buffer.alloc(128, "#");
        expect(putText(octets, offset, piece)).toBe(offset + piece.length);
        const expected = Buffer.alloc(128, "#");
        expected.write(piece, offset, "latin1");
        expect(octets.equals(expected)).toBe(true);
      }
    }),
  );
});
