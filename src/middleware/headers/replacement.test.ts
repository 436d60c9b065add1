import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Exchange } from "../../http/exchange.ts";
import { get } from "../testing.ts";
import { compileReplacement } from "./replacement.ts";

const exchange = (query = ""): Exchange => get(`/?${query}`);

const replaced = (value: string, pattern: RegExp, text: string, of = exchange()) =>
  value.replace(pattern, (...found: unknown[]) => compileReplacement(text)(found, of));

test("without variables, it is what String.replace makes of the text", () => {
  const piece = fc.constantFrom("$", "$$", "$&", "$`", "$'", "<", ">", "$<", "$<a>", "$<b>", "$<no>", "x", ..."0123");
  const patterns = [/b/g, /(b)/g, /(a)?(b)/g, /(?<a>a)|(?<b>b)(c)?/g, /()()()()()()()()()(b)(c)?/g, /x*/g];
  fc.assert(
    fc.property(
      fc.array(piece),
      fc.constantFrom(...patterns),
      fc.constantFrom("abc", "aabbc", ""),
      (pieces, p, value) => {
        const text = pieces.join("");
        expect(replaced(value, p, text)).toBe(value.replace(p, text));
      },
    ),
    { numRuns: 3000 },
  );
});

describe("what a variable brings in is text", () => {
  test.each([
    ["${request.query.v}", "1", "$1"],
    ["$1{request.query.v}", "0", "b0"],
    ["$$1{request.query.v}", "0", "$10"],
    ["$<{request.query.v}>", "n", "$<n>"],
    ["{request.query.v}1", "$", "$1"],
    ["$2{request.query.v}", "", "$2"],
    ["{{$1}}{{{request.query.v}}}", "$&", "{b}{$&}"],
    ["{request.query.$1}", "x", ""],
  ])("%j with %j gives %j", (text, v, expected) => {
    const of = exchange(`v=${encodeURIComponent(v)}`);
    expect(replaced("b", /(b)/g, text, of)).toBe(expected);
  });
});

test("variables are read where something matches, and only there", () => {
  let reads = 0;
  class Counted extends Exchange {
    override get query(): string {
      reads++;
      return super.query;
    }
  }
  const { client, protocol, request, startedAt } = exchange("v=1");
  const of = new Counted(client, protocol, request, startedAt);
  expect(replaced("abc", /x/g, "{request.query.v}", of)).toBe("abc");
  expect(reads).toBe(0);
  expect(replaced("axc", /x/g, "{request.query.v}", of)).toBe("a1c");
  expect(reads).toBeGreaterThan(0);
});

test("names of groups and texts beyond ASCII", () => {
  expect(replaced("b", /(?<ä>b)/g, "$<ä>")).toBe("b");
  expect(replaced("b", /b/g, "ä")).toBe("\u00c3\u00a4");
});

test.each(["{request.quer.v}", "{$1}", "a\nb", "$1}"])("%j is refused", (text) => {
  expect(() => compileReplacement(text)).toThrow(TypeError);
});
