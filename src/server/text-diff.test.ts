import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { needs, program } from "../base/testing.ts";
import { unifiedDiff } from "./text-diff.ts";

const diff = (from: string, to: string) => unifiedDiff(from, to, "version 1", "version 2");

test("shows what went and what came with three lines around it", () => {
  const lines = Array.from({ length: 12 }, (_, i) => `line ${i + 1}`);
  const changed = lines.with(5, "other").toSpliced(11, 0, "new");
  expect(diff(`${lines.join("\n")}\n`, `${changed.join("\n")}\n`)).toBe(`--- version 1
+++ version 2
@@ -3,10 +3,11 @@
 line 3
 line 4
 line 5
-line 6
+other
 line 7
 line 8
 line 9
 line 10
 line 11
+new
 line 12
`);
});

test("texts that say the same have no difference", () => {
  expect(diff("a\nb\n", "a\nb\n")).toBe("");
});

test("what comes into an empty text, and what empties one", () => {
  expect(diff("", "a\n")).toBe("--- version 1\n+++ version 2\n@@ -0,0 +1 @@\n+a\n");
  expect(diff("a\n", "")).toBe("--- version 1\n+++ version 2\n@@ -1 +0,0 @@\n-a\n");
});

needs(program("patch")).test("patch(1) makes the one text of the other", () => {
  const folder = mkdtempSync(`${tmpdir()}/lintel-diff-`);
  const text = fc
    .array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 30 })
    .map((l) => l.map((x) => `${x}\n`).join(""));
  fc.assert(
    fc.property(text, text, (from, to) => {
      const made = diff(from, to);
      if (made === "") return expect(from).toBe(to);
      writeFileSync(`${folder}/text`, from);
      const { exitCode } = Bun.spawnSync(["patch", "-s", `${folder}/text`], {
        stdin: Buffer.from(made),
        stderr: "ignore",
      });
      expect(exitCode).toBe(0);
      // patch removes a file that is empty afterwards.
      expect(to === "" ? "" : readFileSync(`${folder}/text`, "utf8")).toBe(to);
    }),
    { numRuns: 60 },
  );
  rmSync(folder, { recursive: true });
});

/** Applies a diff without any context needed. */
function apply(from: string, made: string): string {
  const source = from.split("\n").slice(0, -1);
  const result: string[] = [];
  let at = 0;
  for (const line of made.split("\n").slice(2, -1)) {
    const header = /^@@ -(\d+)(?:,(\d+))? /.exec(line);
    if (header !== null) {
      const start = Number(header[1]) - (header[2] === "0" ? 0 : 1);
      while (at < start) result.push(source[at++]!);
    } else if (line[0] === "+") result.push(line.slice(1));
    else {
      expect(source[at]).toBe(line.slice(1));
      if (line[0] === " ") result.push(source[at]!);
      at++;
    }
  }
  return [...result, ...source.slice(at)].map((line) => `${line}\n`).join("");
}

test("a diff applied to the one text gives the other", () => {
  const text = fc
    .array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 40 })
    .map((l) => l.map((x) => `${x}\n`).join(""));
  fc.assert(
    fc.property(text, text, (from, to) => {
      if (from !== to) expect(apply(from, diff(from, to))).toBe(to);
    }),
    { numRuns: 1000 },
  );
});

test("texts of which nothing is alike are told as one change, soon", () => {
  const of = (name: string) => Array.from({ length: 20_000 }, (_, i) => `${name} ${i}\n`).join("");
  const made = diff(of("a"), of("b"));
  expect(made.split("\n")[2]).toBe("@@ -1,20000 +1,20000 @@");
});
