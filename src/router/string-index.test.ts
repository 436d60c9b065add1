import { expect, test } from "bun:test";
import fc from "fast-check";
import { StringIndex } from "./string-index.ts";

test("texts are found again with the value they got first", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary-ascii", maxLength: 40 }), { maxLength: 200 }), (texts) => {
      const index = new StringIndex();
      const model = new Map<string, number>();
      for (const [value, text] of texts.entries()) {
        expect(index.add(text, value)).toBe(!model.has(text));
        if (!model.has(text)) model.set(text, value);
      }
      for (const [text, value] of model) {
        expect(index.find(text)).toBe(value);
        expect(index.find(`${text}x`)).toBe(model.get(`${text}x`) ?? -1);
      }
    }),
  );
});

test("a text that differs only above the eighth bit is another text", () => {
  const index = new StringIndex();
  index.add("a.example", 0);
  expect(index.find("\u0161.example")).toBe(-1);
});

test("thirty thousand texts are all found", () => {
  const index = new StringIndex();
  const texts = Array.from({ length: 30_000 }, (_, i) => `host-${i}.customer.example`);
  for (const [i, text] of texts.entries()) index.add(text, i);
  expect(texts.every((text, i) => index.find(text) === i)).toBe(true);
  expect(index.find("host-30000.customer.example")).toBe(-1);
});
