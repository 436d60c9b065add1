import { expect, test } from "bun:test";
import { diagnose, oneLine, render, renderAll, sortDiagnostics } from "./diagnostic.ts";
import { Source, Span } from "./source.ts";

const at = (text: string, part: string, message = "m", severity: "error" | "warning" = "error") => {
  const start = text.indexOf(part);
  return diagnose(new Span(new Source("x.yaml", text), start, start + part.length, ["a", "b"]), {
    code: "c",
    message,
    severity,
    hint: "h",
  });
};

test("the line and a caret under the place", () => {
  expect(render(at("a:\n  b: here\n", "here"))).toBe(
    ["x.yaml:2:6: error[c]: m", "    2 |   b: here", "      |      ^^^^", "      = h", ""].join("\n"),
  );
});

test("tabs stay tabs, so that the caret stands under its place", () => {
  expect(render(at("\tb: here", "here"))).toContain("      | \t   ^^^^\n");
});

test("what goes over several lines is underlined to the end of its first", () => {
  expect(render(at("a: [1,\n  2]", "[1,\n  2]"))).toContain("    1 | a: [1,\n      |    ^^^\n");
});

test("of a very long line only the part around the place is shown", () => {
  const shown = render(at(`${"x".repeat(1000)}here${"y".repeat(1000)}`, "here"));
  expect(Math.max(...shown.split("\n").map((line) => line.length))).toBeLessThan(180);
  const [, line, caret] = shown.split("\n") as [string, string, string];
  expect(line.slice(caret.indexOf("^"), caret.lastIndexOf("^") + 1)).toBe("here");
});

test("without text the path is the place", () => {
  const one = diagnose(new Span(new Source("x.ts", null), 0, 0, ["sites", 0, "to"]), { code: "c", message: "m" });
  expect(render(one)).toBe("x.ts: sites[0].to: error[c]: m\n");
  expect(oneLine(at("here", "here"))).toBe("x.yaml:1:1: error[c]: m (h)");
});

test("sorted by place, the same said once, and counted", () => {
  const text = "a b c";
  const sorted = sortDiagnostics(
    [at(text, "c"), at(text, "a"), at(text, "a"), at(text, "b", "w", "warning")],
    ["x.yaml"],
  );
  expect(sorted.map((one) => one.column)).toEqual([1, 3, 5]);
  expect(renderAll(sorted)).toEndWith("\n2 errors, 1 warning\n");
  expect(renderAll([])).toBe("");
});
