/**
 * Program: evaluates a config file and sends what it exports to the parent as plain data. In a
 * process of its own, so that a config that never ends, exits or keeps timers costs nothing else.
 *
 *   bun evaluate.ts /path/of/lintel.config.ts
 */
import { pathToFileURL } from "node:url";
import { plugin } from "bun";
import { type Flat, flatten } from "./flatten.ts";

/** What the parent is sent. */
export type Evaluation =
  | ({ readonly kind: "data" } & Flat)
  | { readonly kind: "failed"; readonly failures: readonly Thrown[] };

export interface Thrown {
  readonly message: string;
  /** Null if it cannot be told. */
  readonly file: string | null;
  readonly line: number;
  readonly column: number;
  readonly length: number;
}

// `import … from "lintel"` works also where the package is not installed beside the config.
plugin({
  name: "lintel",
  setup(build) {
    build.module("lintel", async () => {
      const { identity, named } = await import("./define.ts");
      return { exports: { defineConfig: identity, upstream: named }, loader: "object" };
    });
  },
});

async function evaluate(file: string): Promise<Evaluation> {
  try {
    const module = (await import(pathToFileURL(file).href)) as { default?: unknown };
    if (!("default" in module)) {
      return {
        kind: "failed",
        failures: [at(file, "the file has no default export: write `export default defineConfig({ … })`")],
      };
    }
    return { kind: "data", ...flatten(await module.default) };
  } catch (thrown) {
    const causes: unknown[] = thrown instanceof AggregateError && thrown.errors.length > 0 ? thrown.errors : [thrown];
    return { kind: "failed", failures: await Promise.all(causes.map((cause) => describe(cause, file))) };
  }
}

const at = (file: string | null, message: string): Thrown => ({ message, file, line: 1, column: 1, length: 1 });

async function describe(thrown: unknown, file: string): Promise<Thrown> {
  if (typeof thrown !== "object" || thrown === null) return at(file, `the file throws ${String(thrown)}`);
  const { message, stack, position, specifier, referrer } = thrown as Partial<Record<string, unknown>> & {
    position?: Position | null;
  };
  if (typeof specifier === "string")
    return await unresolved(specifier, typeof referrer === "string" && referrer !== "" ? referrer : file);
  if (position !== undefined && position !== null && typeof position.line === "number") {
    return {
      message: String(message),
      file: position.file || file,
      line: position.line,
      column: position.column,
      length: position.length || 1,
    };
  }
  const name = thrown instanceof Error && thrown.name !== "Error" ? `${thrown.name}: ` : "";
  const text = `the file throws ${name}${String(message)}`;
  // The innermost frame of the user's own files: not ours, not a package's.
  for (const frame of String(stack).matchAll(/\(?(?:file:\/\/)?(\/[^():\n]+):(\d+):(\d+)\)?$/gm)) {
    const [, path, line, column] = frame as unknown as [string, string, string, string];
    if (path.includes("/node_modules/") || path === import.meta.path) continue;
    return { message: text, file: path, line: Number(line), column: Number(column), length: 1 };
  }
  return at(file, text);
}

/** An import that leads nowhere; the runtime does not say on which line it stands. */
async function unresolved(specifier: string, file: string): Promise<Thrown> {
  const lines = (
    await Bun.file(file)
      .text()
      .catch(() => "")
  ).split("\n");
  const line = lines.findIndex((text) => /\b(?:import|export|require)\b/.test(text) && text.includes(specifier));
  const message = `there is no module ${JSON.stringify(specifier)}`;
  if (line < 0) return at(file, message);
  return { message, file, line: line + 1, column: lines[line]!.indexOf(specifier) + 1, length: specifier.length };
}

/** What Bun's parser says about a place. */
interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly length: number;
}

if (import.meta.main) {
  const evaluation = await evaluate(process.argv[2]!);
  process.send!(JSON.stringify(evaluation), undefined, undefined, () => process.exit(0));
}
