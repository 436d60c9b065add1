/**
 * `lintel.config.ts`: evaluated in a process of its own with a time limit, to the same plain tree the
 * other languages give. A place in it is its path, such as sites[0].routes[1].to; an error thrown while
 * it runs has the line it was thrown from.
 */
import { readFile } from "node:fs/promises";
import { relative, resolve } from "node:path";
import type { Adapter, Reading } from "../../adapter.ts";
import { type Diagnostic, diagnose } from "../../diagnostic.ts";
import { type ConfigNode, fromPlain, type MapEntry, toPlain } from "../../node.ts";
import { parsePath } from "../../path.ts";
import { Source, Span } from "../../source.ts";
import type { Evaluation, Thrown } from "./evaluate.ts";

export const typescript: Adapter = {
  name: "typescript",
  extensions: [".ts", ".mts", ".js", ".mjs"],
  variables: false,
  read: (_text, file) => readTypescript(file),
};

const TIME_LIMIT_MS = 10_000;

export async function readTypescript(file: string, timeLimitMs = TIME_LIMIT_MS): Promise<Reading> {
  const whole = new Span(new Source(file, null), 0, 0, []);
  const evaluation = await run(resolve(file), timeLimitMs);
  if (typeof evaluation === "string")
    return { node: null, diagnostics: [diagnose(whole, { code: "config-failed", message: evaluation })] };
  if (evaluation.kind === "failed")
    return { node: null, diagnostics: await Promise.all(evaluation.failures.map((thrown) => place(thrown, file))) };
  const diagnostics = evaluation.problems.map(({ path, code, message }) =>
    diagnose(whole.for(parsePath(path)), { code, message }),
  );
  return { node: replace(fromPlain(evaluation.tree, file), evaluation.origins, file), diagnostics };
}

/** What the file exports, or why nothing came. */
async function run(path: string, timeLimitMs: number): Promise<Evaluation | string> {
  let answer: string | null = null;
  const child = Bun.spawn([process.execPath, new URL("evaluate.ts", import.meta.url).pathname, path], {
    // What the file prints is for people, and must not mix with our own output.
    stdio: ["ignore", 2, 2],
    env: process.env,
    serialization: "json",
    ipc(message) {
      answer = String(message);
    },
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeLimitMs);
  const status = await child.exited;
  clearTimeout(timer);
  if (answer !== null) return JSON.parse(answer) as Evaluation;
  if (late) return `the file did not finish within ${timeLimitMs / 1000} s`;
  return `the file ended its process with status ${status} before it exported anything`;
}

async function place(thrown: Thrown, file: string): Promise<Diagnostic> {
  const path = thrown.file ?? resolve(file);
  const shown = path === resolve(file) ? file : relative(process.cwd(), path);
  const text = await readFile(path, "utf8").catch(() => null);
  const source = new Source(shown, text);
  const start = text === null ? 0 : source.offset(thrown.line, thrown.column);
  return diagnose(new Span(source, start, start + thrown.length, []), {
    code: "config-failed",
    message: thrown.message,
  });
}

/** Upstreams taken out of a `to` keep the place they were written at. */
function replace(root: ConfigNode, origins: Readonly<Record<string, string>>, file: string): ConfigNode {
  const upstreams = root.kind === "map" ? root.entries.get("upstreams") : undefined;
  if (root.kind !== "map" || upstreams?.value.kind !== "map") return root;
  const entries = new Map<string, MapEntry>(upstreams.value.entries);
  for (const [name, path] of Object.entries(origins)) {
    const entry = entries.get(name);
    if (entry === undefined) continue;
    const value = fromPlain(toPlain(entry.value), file, parsePath(path));
    entries.set(name, { key: value.span, value });
  }
  const value: ConfigNode = { ...upstreams.value, entries };
  return { ...root, entries: new Map(root.entries).set("upstreams", { ...upstreams, value }) };
}
