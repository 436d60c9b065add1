/**
 * One `bun test` over some files, watched: it ends even if a test hangs, and says then which file it
 * was in; the files behind that one get another run. Passing tests are counted, not shown.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** A test has 30 s unless it says otherwise, and none says more than 2 minutes. */
const TEST_MS = 30_000;
const SILENCE_MS = 240_000;
const LEFT_OUTPUT_MS = 5000;

export interface TestCounts {
  passed: number;
  skipped: number;
  readonly failures: TestFailure[];
}

export interface TestFailure {
  /** Relative to the root; "" if no file was being run. */
  readonly file: string;
  /** Name of the test; what failed outside of a test has a name for that. */
  readonly what: string;
}

/** @param files relative to `root` */
export async function runTests(root: string, files: readonly string[]): Promise<TestCounts> {
  const counts: TestCounts = { passed: 0, skipped: 0, failures: [] };
  for (let left = files; left.length > 0; ) {
    const run = new TestRun(root, left, counts);
    const hung = await run.end;
    left = hung ? left.filter((file) => !run.begun.has(file)) : [];
  }
  return counts;
}

class TestRun {
  readonly begun = new Set<string>();
  /** Settles with true if it had to be ended. */
  readonly end: Promise<boolean>;
  readonly #counts: TestCounts;
  readonly #child: ChildProcess;
  #file = "";
  /** Of this file; shown when it is over, since two runs may be under way. */
  #shown: string[] = [];
  /** Of a test that passed: with an object in it, it has several lines. */
  #isWithinName = false;
  #isSummary = false;
  #failures = 0;
  #saidErrors = 0;
  #hung = false;
  #silence: ReturnType<typeof setTimeout> | undefined;

  constructor(root: string, files: readonly string[], counts: TestCounts) {
    this.#counts = counts;
    const paths = files.map((file) => `./${file}`);
    // A process group of its own: what a hanging test started is ended with it.
    this.#child = spawn(process.execPath, ["test", "--timeout", String(TEST_MS), ...paths], {
      cwd: root,
      detached: true,
      stdio: ["ignore", "inherit", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    running.add(this);
    // Whoever was started by it and lives on may hold its output open.
    this.#child.once("exit", () => setTimeout(() => this.#child.stderr!.destroy(), LEFT_OUTPUT_MS).unref());
    this.end = this.#follow();
  }

  /** Ends it with all that it started. */
  kill(): void {
    try {
      process.kill(-this.#child.pid!, "SIGKILL");
    } catch {
      // Gone already.
    }
  }

  async #follow(): Promise<boolean> {
    this.#listen();
    const lines = createInterface({ input: this.#child.stderr! });
    lines.on("line", (line) => {
      this.#listen();
      this.#read(line);
    });
    await once(this.#child.stderr!, "close");
    this.#show();
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "exit");
    clearTimeout(this.#silence);
    const { exitCode, signalCode } = this.#child;
    running.delete(this);
    if (this.#hung) {
      this.#fail(`hangs, or a test of it does: ended after ${SILENCE_MS / 60_000} minutes without a word`);
      return true;
    }
    for (let i = 0; i < this.#saidErrors; i++) this.#counts.failures.push({ file: "", what: "an error between tests" });
    // Ended by a signal, or nothing was found to run: no line says so.
    if (exitCode !== 0 && this.#failures + this.#saidErrors === 0)
      this.#fail(`bun test ended with ${exitCode ?? signalCode}`);
    return false;
  }

  #listen(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.#hung = true;
      this.kill();
    }, SILENCE_MS);
  }

  #read(line: string): void {
    const [, verdict, name] = /^\((pass|fail|skip|todo)\) (.*?)(?: \[[\d.]+m?s\])?$/.exec(line) ?? [];
    const [, number, what] = /^ *(\d+) (pass|fail|skip|todo|errors?|expect\(\) calls|snapshots?.*)$/.exec(line) ?? [];
    // What follows names those that failed once more.
    if (/^\d+ tests? failed:$/.test(line)) this.#isSummary = true;
    const wasWithinName = this.#isWithinName;
    this.#isWithinName = false;
    if (/^\S+\.test\.ts:$/.test(line)) {
      this.#show();
      this.#file = line.slice(0, -1);
      this.begun.add(this.#file);
    } else if (verdict === "pass" || verdict === "skip" || verdict === "todo") {
      this.#counts[verdict === "pass" ? "passed" : "skipped"]++;
      this.#isWithinName = /[{[]$/.test(line);
    } else if (number !== undefined) {
      if (what!.startsWith("error")) this.#saidErrors = Number(number);
    } else if (/^Ran \d+ tests/.test(line)) console.log(line);
    else if (wasWithinName) this.#isWithinName = !/^[}\]]/.test(line);
    else {
      if (this.#isSummary) return;
      if (verdict === "fail") this.#fail(name!);
      this.#shown.push(line);
    }
  }

  #show(): void {
    const text = this.#shown.join("\n").trim();
    this.#shown = [];
    if (text !== "") console.log(this.#file === "" ? text : `\n${this.#file}:\n${text}`);
  }

  #fail(what: string): void {
    this.#failures++;
    this.#counts.failures.push({ file: this.#file, what });
  }
}

const running = new Set<TestRun>();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    for (const run of running) run.kill();
    process.exit(130);
  });
}
