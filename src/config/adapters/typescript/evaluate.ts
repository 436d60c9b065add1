/**
 * Program: evaluates a config file and sends what it exports to the parent as plain data. In a
 * process of its own, so that a config that never ends, exits or keeps timers costs nothing else.
 *
 *   bun evaluate.ts /path/of/lintel.config.ts
 */
import { pathToFileURL } from "node:url";
import { plugin } from "bun";
import { type Flat, flatten } from "./flatten.ts";
import { Strays } from "./strays.ts";
import { atStart, describeThrown, fromStack, type Thrown } from "./thrown.ts";

/** What the parent is sent: the evaluation, and before it whenever that changes, what went wrong beside it. */
export type Message = Evaluation | { readonly kind: "beside"; readonly failures: readonly Thrown[] };

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

async function evaluate(file: string, strays: Strays): Promise<Evaluation> {
  try {
    const module = (await import(pathToFileURL(file).href)) as { default?: unknown };
    if ("default" in module) return { kind: "data", ...flatten(await module.default) };
    const message = "the file has no default export: write `export default defineConfig({ … })`";
    return failed(atStart(file, message), ...strays.failures());
  } catch (thrown) {
    await strays.settle();
    return failed(...describeThrown(thrown, file, OURS), ...strays.failures({ thrown }));
  }
}

const failed = (...failures: readonly Thrown[]): Evaluation => ({ kind: "failed", failures });

/** What `lintel` gives to a config. */
const OURS = ["defineConfig", "upstream"];

if (import.meta.main) {
  const file = process.argv[2]!;
  const { exit } = process;
  const send = (message: Message, sent?: () => void) =>
    process.send!(JSON.stringify(message), undefined, undefined, sent);
  const strays = new Strays(
    (thrown) => describeThrown(thrown, file, OURS),
    (failures) => send({ kind: "beside", failures }),
  );
  process.exit = (status) => {
    const message = `the file ends its process: process.exit(${status ?? ""})`;
    const failure = fromStack(String(new Error().stack), file, message);
    answer(failed(failure, ...strays.failures()));
    // Whoever called it expects nothing behind it to run.
    throw new Error(message);
  };
  let isAnswered = false;
  const answer = (evaluation: Evaluation) => {
    if (isAnswered) return;
    isAnswered = true;
    send(evaluation, async () => {
      if (evaluation.kind === "data") await strays.print();
      exit(0);
    });
  };
  answer(await evaluate(file, strays));
}
