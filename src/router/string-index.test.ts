import { expect, test } from "bun:test";
import fc from "fast-check";
import { StringIndex } from "./string-index.ts";

test("texts are numbered as they come, and found again", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary-ascii", maxLength: 40 }), { maxLength: 200 }), (texts) => {
      const index = new StringIndex();
      const model = new Map<string, number>();
      for (const text of texts) {
        expect(index.add(text)).toBe(model.has(text) ? -1 : model.size);
        if (!model.has(text)) model.set(text, model.size);
      }
      expect(index.size).toBe(model.size);
      for (const [text, number] of model) {
        expect(index.find(text)).toBe(number);
        expect(index.find(`${text}x`)).toBe(model.get(`${text}x`) ?? -1);
      }
    }),
  );
});

test("a text that differs only above the eighth bit is another text", () => {
  const index = new StringIndex();
  index.add("a.example");
  expect(index.find("\u0161.example")).toBe(-1);
});

test("thirty thousand texts are all found", () => {
  const index = new StringIndex();
  const texts = Array.from({ length: 30_000 }, (_, i) => `host-${i}.customer.example`);
  for (const text of texts) index.add(text);
  expect(texts.every((text, i) => index.find(text) === i)).toBe(true);
  expect(index.find("host-30000.customer.example")).toBe(-1);
});
