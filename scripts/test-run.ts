/**
 * One `bun test` over some files, watched: it ends even if a test hangs, and says then which file it
 * was in; the files behind that one get another run, as they do if it breaks off. A file of which nothing
 * is heard has failed. Passing tests are counted, not shown; what is skipped is named with its reason
 * (`needs` of src/base/testing.ts), and has failed without one.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** A test has 30 s unless it says otherwise, and none says more than 2 minutes. */
const TEST_MS = 30_000;
const SILENCE_MS = 240_000;
const LEFT_OUTPUT_MS = 5000;
const MESSAGE_LINES = 5;

export interface TestCounts {
  passed: number;
  readonly skips: TestSkip[];
  readonly failures: TestFailure[];
}

export interface TestFailure {
  /** Relative to the root; "" if no file was being run. */
  readonly file: string;
  /** Name of the test; what failed outside of a test has a name for that. */
  readonly what: string;
  /** A test that ran and failed; all else (a crash, a file that cannot be loaded) is no matter of chance. */
  readonly isTest: boolean;
  /** What it said first, without the places in the code. */
  message: string;
}

export interface TestSkip {
  readonly file: string;
  readonly what: string;
  /** What it would need. */
  readonly needs: string;
}

export interface RunOptions {
  /** Without a word for so long, it hangs. */
  readonly silenceMs?: number;
  /** Where lines go that are to be read. */
  readonly say?: (text: string) => void;
}

/** @param files relative to `root` */
export async function runTests(
  root: string,
  files: readonly string[],
  { silenceMs = SILENCE_MS, say = console.log }: RunOptions = {},
): Promise<TestCounts> {
  const counts: TestCounts = { passed: 0, skips: [], failures: [] };
  const heard = new Set<string>();
  for (let left = files; left.length > 0; ) {
    const run = new TestRun(root, left, counts, silenceMs, say);
    const brokeOff = await run.end;
    for (const file of run.heard) heard.add(file);
    left = brokeOff && run.begun.size > 0 ? left.filter((file) => !run.begun.has(file)) : [];
  }
  for (const { file } of counts.failures) heard.add(file);
  for (const file of files.filter((file) => !heard.has(file)))
    counts.failures.push({ file, what: "nothing was heard of its tests", isTest: false, message: "" });
  return counts;
}

class TestRun {
  readonly begun = new Set<string>();
  /** Those of which a test has ended. */
  readonly heard = new Set<string>();
  /** Settles with true if it had to be ended, or ended before its time: files are left. */
  readonly end: Promise<boolean>;
  readonly #counts: TestCounts;
  readonly #silenceMs: number;
  readonly #say: (text: string) => void;
  readonly #child: ChildProcess;
  #file = "";
  /** Of this file; shown when it is over, since two runs may be under way. */
  #shown: string[] = [];
  /** Of a test that passed: with an object in it, it has several lines. */
  #isWithinName = false;
  #isSummary = false;
  /** The first error of the test that is under way. */
  #message: string[] = [];
  #isMessage = false;
  #lastFailure: TestFailure | null = null;
  #isComplete = false;
  #failures = 0;
  #saidErrors = 0;
  #hung = false;
  #silence: ReturnType<typeof setTimeout> | undefined;

  constructor(
    root: string,
    files: readonly string[],
    counts: TestCounts,
    silenceMs: number,
    say: (text: string) => void,
  ) {
    this.#counts = counts;
    this.#silenceMs = silenceMs;
    this.#say = say;
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
      this.#fail(`hangs, or a test of it does: ended after ${this.#silenceMs / 1000} s without a word`);
      return true;
    }
    for (let i = 0; i < this.#saidErrors; i++)
      this.#counts.failures.push({ file: "", what: "an error between tests", isTest: false, message: "" });
    // Ended by a signal, or nothing was found to run: no line says so.
    const isUnexplained = exitCode !== 0 && this.#failures + this.#saidErrors === 0;
    if (isUnexplained || !this.#isComplete) this.#fail(`bun test ended with ${exitCode ?? signalCode}`);
    return !this.#isComplete;
  }

  #listen(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.#hung = true;
      this.kill();
    }, this.#silenceMs);
  }

  #read(line: string): void {
    const [, verdict, name] = /^\((pass|fail|skip|todo)\) (.*?)(?: \[[\d.]+m?s\])?$/.exec(line) ?? [];
    const [, number, what] = /^ *(\d+) (pass|fail|skip|todo|errors?|expect\(\) calls|snapshots?.*)$/.exec(line) ?? [];
    // What follows names those that failed once more.
    if (/^\d+ tests? failed:$/.test(line)) this.#isSummary = true;
    const wasWithinName = this.#isWithinName;
    this.#isWithinName = false;
    if (verdict !== undefined && !this.#isSummary) this.heard.add(this.#file);
    if (/^\S+\.test\.ts:$/.test(line)) {
      this.#show();
      this.#file = line.slice(0, -1);
      this.begun.add(this.#file);
    } else if (verdict === "pass" || verdict === "skip" || verdict === "todo") {
      if (verdict === "pass") this.#counts.passed++;
      else this.#skip(name!);
      this.#message = [];
      this.#isWithinName = /[{[]$/.test(line);
    } else if (number !== undefined) {
      if (what!.startsWith("error")) this.#saidErrors = Number(number);
    } else if (/^Ran \d+ tests? /.test(line)) {
      this.#isComplete = true;
      this.#say(line);
    } else if (wasWithinName) this.#isWithinName = !/^[}\]]/.test(line);
    else {
      if (this.#isSummary) return;
      if (verdict === "fail") this.#fail(name!, true);
      else this.#listenToError(line);
      this.#shown.push(line);
    }
  }

  /** Errors stand before the verdict, but "^ this test timed out …" behind it. */
  #listenToError(line: string): void {
    const [, late] = /^ {2}\^ (this test .*)$/.exec(line) ?? [];
    if (late !== undefined && this.#lastFailure?.message === "") this.#lastFailure.message = late;
    else if (/^ +at /.test(line)) this.#isMessage = false;
    else if (this.#message.length === 0 && /^\w*error: /i.test(line)) {
      this.#isMessage = true;
      this.#message.push(line);
    } else if (this.#isMessage && line.trim() !== "") this.#message.push(line.trim());
  }

  #skip(name: string): void {
    const [reason, needs] = /\[needs ([^\]]+)\] /.exec(name) ?? [];
    if (reason === undefined) this.#fail(`${name}: skipped, and does not say why`);
    else this.#counts.skips.push({ file: this.#file, what: name.replace(reason, ""), needs: needs! });
  }

  #show(): void {
    const text = this.#shown.join("\n").trim();
    this.#shown = [];
    if (text !== "") this.#say(this.#file === "" ? text : `\n${this.#file}:\n${text}`);
  }

  #fail(what: string, isTest = false): void {
    this.#failures++;
    const message = isTest ? this.#message.slice(0, MESSAGE_LINES).join("; ") : "";
    this.#lastFailure = { file: this.#file, what, isTest, message };
    this.#counts.failures.push(this.#lastFailure);
    this.#message = [];
    this.#isMessage = false;
  }
}

const running = new Set<TestRun>();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    for (const run of running) run.kill();
    process.exit(130);
  });
}
