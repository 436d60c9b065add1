/**
 * `lintel.config.ts`: evaluated in a process of its own with a time limit, to the same plain tree the
 * other languages give. Places are found in its text by the way the values went (tracer.ts); an error thrown
 * while it runs has the line it was thrown from.
 */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Adapter, Reading } from "../../adapter.ts";
import { type Diagnostic, diagnose } from "../../diagnostic.ts";
import { parsePath } from "../../path.ts";
import { Source, Span } from "../../source.ts";
import type { Evaluation, Message } from "./evaluate.ts";
import { lostKeys } from "./lost-keys.ts";
import { shownAs } from "./module.ts";
import { SoughtNodes } from "./sought-nodes.ts";
import type { Thrown } from "./thrown.ts";

export const typescript: Adapter = {
  name: "typescript",
  extensions: [".ts", ".mts", ".js", ".mjs"],
  variables: false,
  read: readTypescript,
};

const TIME_LIMIT_MS = 10_000;

export async function readTypescript(text: string, file: string, timeLimitMs = TIME_LIMIT_MS): Promise<Reading> {
  const whole = new Span(new Source(file, null), 0, 0, []);
  const evaluation = await run(resolve(file), timeLimitMs);
  if (evaluation.kind !== "data") {
    const failures = await Promise.all(evaluation.failures.map((thrown) => place(thrown, file)));
    if (evaluation.kind === "ended")
      failures.unshift(diagnose(whole, { code: "config-failed", message: evaluation.how }));
    return { node: null, diagnostics: failures };
  }
  const nodes = new SoughtNodes(file, text, evaluation);
  const diagnostics = evaluation.problems.map(({ path, code, message }) =>
    diagnose(nodes.span(parsePath(path)), { code, message }),
  );
  return { ...nodes.root(), diagnostics: [...diagnostics, ...lostKeys(file, text)] };
}

/** Nothing came; what went wrong beside the evaluation may be why. */
interface Ended {
  readonly kind: "ended";
  readonly how: string;
  readonly failures: readonly Thrown[];
}

/** What the file exports, or why nothing came. */
async function run(path: string, timeLimitMs: number): Promise<Evaluation | Ended> {
  let last: Message | null = null as Message | null;
  const program = new URL("evaluate.ts", import.meta.url).pathname;
  // Without that word, the runtime fetches a package that is imported and not installed, and runs it.
  const child = Bun.spawn([process.execPath, "--no-install", program, path], {
    // What the file prints is for people, and must not mix with our own output.
    stdio: ["ignore", 2, 2],
    env: process.env,
    serialization: "json",
    ipc(message) {
      // After the evaluation nothing more is of interest.
      if (last === null || last.kind === "beside") last = JSON.parse(String(message)) as Message;
    },
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeLimitMs);
  const status = await child.exited;
  clearTimeout(timer);
  if (last !== null && last.kind !== "beside") return last;
  const how = late
    ? `the file did not finish within ${timeLimitMs / 1000} s`
    : `the file ended its process with status ${status} before it exported anything`;
  return { kind: "ended", how, failures: last?.failures ?? [] };
}

async function place(thrown: Thrown, file: string): Promise<Diagnostic> {
  const path = thrown.file;
  const text = await readFile(path, "utf8").catch(() => null);
  const source = new Source(shownAs(file, path), text);
  const start = text === null ? 0 : source.offset(thrown.line, thrown.column);
  return diagnose(new Span(source, start, start + thrown.length, []), {
    code: "config-failed",
    message: thrown.message,
    hint: thrown.hint,
  });
}
