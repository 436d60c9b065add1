import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Field, fieldId, fieldSet } from "./field-name.ts";
import { FieldSection, trimOws } from "./field-section.ts";

/** What a field section is, said the slow way: a list of lines. */
class Model {
  constructor(readonly lines: [name: string, value: string][] = []) {}

  #named(name: string): [string, string][] {
    return this.lines.filter(([other]) => other.toLowerCase() === name.toLowerCase());
  }

  getAll(name: string): string[] {
    return this.#named(name).map(([, value]) => value);
  }

  get(name: string): string | undefined {
    const values = this.getAll(name);
    return values.length === 0 ? undefined : values.join(", ");
  }

  append(name: string, value: string): void {
    this.lines.push([name, value.replace(/^[ \t]+|[ \t]+$/g, "")]);
  }

  delete(name: string): number {
    const gone = this.#named(name);
    for (const line of gone) this.lines.splice(this.lines.indexOf(line), 1);
    return gone.length;
  }

  set(name: string, value: string): void {
    this.delete(name);
    this.append(name, value);
  }

  serialize(except: readonly string[]): string {
    const kept = this.lines.filter(([name]) => !except.includes(name.toLowerCase()));
    return kept.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  }
}

const NAMES = ["Host", "host", "Cookie", "Set-Cookie", "set-cookie", "X-A", "x-a", "X-Ab", "Via", "x", "X~`|"] as const;
const name = fc.constantFrom(...NAMES);
const value = fc.oneof(
  fc.constantFrom("", " ", "a", "a, b", "\ta \t", "x: y", "\u00a0é\u00ff"),
  fc.string({ unit: fc.constantFrom("a", " ", ",", ":", "\t"), maxLength: 6 }),
);
const EXCEPT = ["host", "via", "set-cookie"] as const;

type Step =
  | { readonly do: "append" | "set"; readonly name: string; readonly value: string }
  | { readonly do: "delete"; readonly name: string }
  | { readonly do: "clone" };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("append" as const), name, value }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("set" as const), name, value }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("delete" as const), name }) },
  { weight: 1, arbitrary: fc.constant({ do: "clone" as const }) },
);

/** A section as a decoder makes it, with text and table; the lines stand in `lines` too. */
function decoded(lines: readonly [string, string][]): FieldSection {
  let text = "";
  const table: number[] = [];
  for (const [fieldName, fieldValue] of lines) {
    table.push(
      fieldId(fieldName.toLowerCase()),
      text.length,
      text.length + fieldName.length + 2,
      text.length + fieldName.length + 2 + fieldValue.length,
    );
    text += `${fieldName}: ${fieldValue}\r\n`;
  }
  return new FieldSection(text, table);
}

test("a field section does what a list of lines does, step for step", () => {
  const start = fc.array(fc.tuple(name, value.map(trimOws)), { maxLength: 5 });
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 20 }), (lines, steps) => {
      let section = decoded(lines);
      const model = new Model(lines.map(([n, v]) => [n, v]));
      for (const s of steps) {
        if (s.do === "clone") {
          const original = section;
          section = section.clone();
          original.append("x-only-in", "the original");
          original.delete("host");
        } else if (s.do === "delete") expect(section.delete(s.name)).toBe(model.delete(s.name));
        else {
          section[s.do](s.name, s.value);
          model[s.do](s.name, s.value);
        }
        same(section, model);
      }
    }),
    { numRuns: 1000 },
  );
});

function same(section: FieldSection, model: Model): void {
  expect(section.size).toBe(model.lines.length);
  expect([...section]).toEqual(model.lines.map(([n, v]) => [n.toLowerCase(), v]));
  expect(section.toString()).toBe(model.serialize([]));
  expect(section.serialize(fieldSet(...EXCEPT))).toBe(model.serialize(EXCEPT));
  for (const n of NAMES) {
    expect(section.get(n)).toBe(model.get(n));
    expect(section.getAll(n)).toEqual(model.getAll(n));
    expect(section.has(n)).toBe(model.getAll(n).length > 0);
  }
  expect(section.getKnown(Field.host)).toBe(model.get("host"));
  expect(section.hasKnown(Field["set-cookie"])).toBe(model.getAll("set-cookie").length > 0);
}

test("a known name is removed by its number", () => {
  const section = FieldSection.of({ Via: "1.1 a", Host: "x", via: "1.1 b" });
  expect(section.deleteKnown(Field.via)).toBe(2);
  expect(section.deleteKnown(Field.via)).toBe(0);
  expect(section.toString()).toBe("Host: x\r\n");
});

describe("what would break the framing never gets in (RFC 9110 §5.1, §5.5)", () => {
  test.each(["", " ", "a b", "a:", "a\r\n", "é", "a\u0000", "a\u212a"])("the name %j is refused", (bad) => {
    expect(() => new FieldSection().append(bad, "x")).toThrow(TypeError);
    expect(() => new FieldSection().set(bad, "x")).toThrow(TypeError);
  });

  test.each(["a\r\nb", "a\n", "\r", "\u0000", "\u007f", "\u001f", "a\u0100", "\u010a"])(
    "the value %j is refused",
    (bad) => {
      const section = FieldSection.of({ a: "1" });
      expect(() => section.append("x", bad)).toThrow(TypeError);
      expect(section.toString()).toBe("a: 1\r\n");
    },
  );

  test("a value that is refused leaves what was there", () => {
    const section = FieldSection.of({ a: "1", b: "2" });
    expect(() => section.set("a", "\n")).toThrow(TypeError);
    expect(section.toString()).toBe("a: 1\r\nb: 2\r\n");
  });
});

test("only SP and HTAB around a value are dropped, not U+00A0 (RFC 9110 §5.6.3)", () => {
  expect(trimOws(" \t a\u00a0 \t")).toBe("a\u00a0");
  expect(trimOws("\u00a0")).toBe("\u00a0");
  expect(trimOws(" \t ")).toBe("");
});

test("names that only read like others are removed: any case, any number of underscores, whole names only", () => {
  const names = ["x_real_ip", "X-Real_IP", "x_Real-ip", "x-real-ip2", "x_real_i", "sec-fetch-dest", "a_real_ip"];
  const section = FieldSection.of(Object.fromEntries(names.map((name) => [name, name])));
  section.deleteDisguised(["x-real-ip", "content-length"]);
  expect([...section].map(([, value]) => value)).toEqual(names.slice(3));
  section.append("content_LENGTH", "1");
  section.deleteDisguised(["x-real-ip", "content-length"]);
  expect(section.size).toBe(4);
});
