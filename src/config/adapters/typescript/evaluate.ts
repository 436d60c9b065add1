/**
 * Program: evaluates a config file and sends what it exports to the parent as plain data. In a
 * process of its own, so that a config that never ends, exits or keeps timers costs nothing else.
 *
 *   bun evaluate.ts /path/of/lintel.config.ts
 */
import { pathToFileURL } from "node:url";
import { plugin } from "bun";
import { type Flat, flatten } from "./flatten.ts";
import { atStart, describeThrown, fromStack, type Thrown } from "./thrown.ts";

/** What the parent is sent. */
export type Evaluation =
  | ({ readonly kind: "data" } & Flat)
  | { readonly kind: "failed"; readonly failures: readonly Thrown[] };

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
    if ("default" in module) return { kind: "data", ...flatten(await module.default) };
    return failed(atStart(file, "the file has no default export: write `export default defineConfig({ … })`"));
  } catch (thrown) {
    return failed(...describeThrown(thrown, file, OURS));
  }
}

const failed = (...failures: readonly Thrown[]): Evaluation => ({ kind: "failed", failures });

/** What `lintel` gives to a config. */
const OURS = ["defineConfig", "upstream"];

if (import.meta.main) {
  const file = process.argv[2]!;
  const { exit } = process;
  const { promise, resolve } = Promise.withResolvers<Evaluation>();
  // What goes wrong beside the evaluation belongs to it as long as it lasts.
  const stray = (thrown: unknown) => resolve(failed(...describeThrown(thrown, file, OURS)));
  process.on("uncaughtException", stray);
  process.on("unhandledRejection", stray);
  process.exit = (status) => {
    const message = `the file ends its process: process.exit(${status ?? ""})`;
    const failure = fromStack(String(new Error().stack), file, message);
    answer(failed(failure));
    // Whoever called it expects nothing behind it to run.
    throw new Error(message);
  };
  let isAnswered = false;
  const answer = (evaluation: Evaluation) => {
    if (isAnswered) return;
    isAnswered = true;
    process.send!(JSON.stringify(evaluation), undefined, undefined, () => exit(0));
  };
  answer(await Promise.race([evaluate(file), promise]));
}
