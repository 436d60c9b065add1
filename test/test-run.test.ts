/** What the test run itself (scripts/) makes of tests that fail, hang, break off, are skipped or wander. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lookAgain } from "../scripts/second-look.ts";
import { runTests, type TestCounts, type TestFailure } from "../scripts/test-run.ts";

let folder = "";
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "lintel-test-run-")));
});
afterAll(() => rmSync(folder, { recursive: true }));

const HEAD = `
  import { describe, expect, test } from "bun:test";
  import { needs, program } from "${join(import.meta.dir, "../src/base/testing.ts")}";
  const nothing = needs(program("no-such-program"), program("sh"), program("none-such"));
`;

/** Runs files with these tests, in this order. */
async function run(files: Readonly<Record<string, string>>, silenceMs = 60_000): Promise<TestCounts> {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), HEAD + text);
  return runTests(folder, Object.keys(files), { silenceMs, say() {} });
}

describe("a test run", () => {
  test("names what failed, with what it said first", async () => {
    const counts = await run({
      "a.test.ts": `
        test("one is two", () => expect(1).toBe(2));
        test("goes on", () => {});
        describe("group", () => test("throws", () => { throw new TypeError("twice\\nas bad"); }));
        test("waits", () => Bun.sleep(5000), 50);
        test("again", () => { throw new Error("later"); });`,
      "b.test.ts": `test("well", () => {});`,
    });
    const failure = (what: string, message: string) => ({ file: "a.test.ts", what, isTest: true, message });
    expect(counts).toEqual({
      passed: 2,
      skips: [],
      failures: [
        failure("one is two", "error: expect(received).toBe(expected); Expected: 2; Received: 1"),
        failure("group > throws", "TypeError: twice; as bad"),
        failure("waits", "this test timed out after 50ms."),
        failure("again", "error: later"),
      ],
    });
  });

  test("names what was skipped, and what it needs", async () => {
    const skip = (what: string) => ({ file: "a.test.ts", what, needs: "no-such-program, none-such" });
    expect(
      await run({
        "a.test.ts": `
          nothing.test("one", () => { throw new Error("ran"); });
          nothing.test.each([{ a: { b: [] } }, 2])("each %p", () => { throw new Error("ran"); });
          nothing.describe("group", () => test("inner", () => { throw new Error("ran"); }));
          nothing.describe.each(["x"])("table %s", () => test("inner", () => { throw new Error("ran"); }));
          needs(program("sh")).test("that is there", () => {});`,
      }),
    ).toMatchObject({
      passed: 1,
      skips: [
        skip("one"),
        { needs: "no-such-program, none-such" },
        skip("each 2"),
        skip("group > inner"),
        skip("table x > inner"),
      ],
      failures: [],
    });
  });

  test("fails for what is skipped without a reason", async () => {
    const { skips, failures } = await run({ "a.test.ts": `test.skip("one", () => {}); test.todo("two");` });
    expect([skips, failures.map(({ what, isTest }) => [what, isTest])]).toEqual([
      [],
      [
        ["one: skipped, and does not say why", false],
        ["two: skipped, and does not say why", false],
      ],
    ]);
  });

  test("that breaks off has failed, and goes on with the files behind", async () => {
    const { passed, failures } = await run({
      "a.test.ts": `test("passes", () => {});`,
      "b.test.ts": `test("begins", () => {}); test("kills", () => process.kill(process.pid, "SIGKILL"));`,
      "c.test.ts": `test("comes to its turn", () => {});`,
    });
    expect([passed, failures]).toEqual([
      3,
      [{ file: "b.test.ts", what: "bun test ended with SIGKILL", isTest: false, message: "" }],
    ]);
  });

  test("that ends as if all were well has failed, if it ends too early", async () => {
    const { failures } = await run({
      "a.test.ts": `test("begins", () => {}); test("leaves", () => process.exit(0));`,
      "b.test.ts": `test("comes to its turn", () => {});`,
    });
    expect(failures).toMatchObject([{ what: "bun test ended with 0", isTest: false }]);
  });

  test("that hangs is ended and has failed, and goes on with the files behind", async () => {
    const { passed, failures } = await run(
      {
        "a.test.ts": `test("begins", () => {}); test("hangs", () => new Promise(() => {}), 100_000);`,
        "b.test.ts": `test("comes to its turn", () => {});`,
      },
      10_000,
    );
    expect([passed, failures]).toMatchObject([2, [{ file: "a.test.ts", isTest: false }]]);
    expect(failures[0]!.what).toStartWith("hangs, or a test of it does");
  }, 60_000);

  test("fails for a file that has no test, or cannot be loaded", async () => {
    expect((await run({ "a.test.ts": "" })).failures).toEqual([
      { file: "a.test.ts", what: "nothing was heard of its tests", isTest: false, message: "" },
    ]);
    const { failures } = await run({ "a.test.ts": `import "./missing.ts";`, "b.test.ts": `test("well", () => {});` });
    expect(failures.length).toBeGreaterThan(0);
    expect(failures.every(({ isTest }) => !isTest)).toBe(true);
  });
});

describe("a second look at what failed", () => {
  const failure = (file: string, what = "a test", isTest = true): TestFailure => ({
    file,
    what,
    isTest,
    message: "no",
  });
  const WELL: TestCounts = { passed: 5, skips: [], failures: [] };

  /** Each run of a file gives the next of these, then passes. */
  async function look(failures: readonly TestFailure[], outcomes: Readonly<Record<string, TestCounts[]>> = {}) {
    const runs: string[] = [];
    const seen = await lookAgain(failures, async (file) => {
      runs.push(file);
      return outcomes[file]?.shift() ?? WELL;
    });
    return { ...seen, runs };
  }

  test("finds unsteady what then passes three times in a row", async () => {
    const failures = [failure("a"), failure("a", "another"), failure("b")];
    expect(await look(failures)).toEqual({
      failed: [],
      unsteady: failures,
      runs: ["a", "a", "a", "b", "b", "b"],
    });
  });

  test("leaves failed what fails once more, at any time", async () => {
    const again: TestCounts = { passed: 4, skips: [], failures: [failure("a", "another")] };
    expect(await look([failure("a"), failure("b")], { a: [WELL, WELL, again] })).toEqual({
      failed: [failure("a")],
      unsteady: [failure("b")],
      runs: ["a", "a", "a", "b", "b", "b"],
    });
    const first = await look([failure("a")], { a: [again] });
    expect(first).toMatchObject({ failed: [failure("a")], unsteady: [], runs: ["a"] });
  });

  test("takes a run without tests for none that passed", async () => {
    const empty: TestCounts = { passed: 0, skips: [], failures: [] };
    expect((await look([failure("a")], { a: [empty] })).unsteady).toEqual([]);
  });

  test("is not for tests of more than three files", async () => {
    const failures = ["a", "b", "c", "d"].map((file) => failure(file));
    expect(await look(failures)).toEqual({ failed: failures, unsteady: [], runs: [] });
    expect((await look(failures.slice(1))).unsteady).toEqual(failures.slice(1));
  });

  test("is not for what is no test that failed", async () => {
    const failures = [failure("a"), failure("b", "bun test ended with SIGSEGV", false)];
    expect(await look(failures)).toEqual({ failed: failures, unsteady: [], runs: [] });
  });
});
