/**
 * Why a config file could not be evaluated, with the place to look at. The runtime tells the place of
 * syntax errors and of `Error`s; for the rest the text is searched.
 */
import { dirname, join } from "node:path";
import { suggestion } from "../../nearest.ts";
import { readJson } from "../json/json.ts";
import { type Module, Modules, readText } from "./module.ts";
import type { Node_ } from "./syntax.ts";

export interface Thrown {
  readonly message: string;
  readonly hint: string | null;
  readonly file: string;
  /** From 1, as are columns; both are counted in UTF-16 units, as offsets of a text are. */
  readonly line: number;
  readonly column: number;
  readonly length: number;
}

/** What Bun's parser says about a place. */
interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly length: number;
}

/**
 * @param file  path of the config
 * @param ours  what `lintel` exports
 */
export function describeThrown(thrown: unknown, file: string, ours: readonly string[]): Thrown[] {
  return causesOf(thrown).map((cause) => {
    try {
      return describe(cause, file, ours);
    } catch {
      // A config may throw what throws itself when somebody looks at it.
      return thrownValue(cause, file);
    }
  });
}

function causesOf(thrown: unknown): readonly unknown[] {
  const errors = tried(() => (thrown instanceof AggregateError ? (thrown.errors as unknown) : null), null);
  return Array.isArray(errors) && errors.length > 0 ? errors : [thrown];
}

function tried<T>(look: () => T, otherwise: T): T {
  try {
    return look();
  } catch {
    return otherwise;
  }
}

/** A problem of the whole file. */
export const atStart = (file: string, message: string, hint: string | null = null): Thrown => ({
  message,
  hint,
  file,
  line: 1,
  column: 1,
  length: 1,
});

/** The runtime's words for an import, and for `export … from`. */
const MISSING_EXPORT = [/^Export named '(.*)' not found in module '(.*)'\.$/s, /^export '(.*)' not found in '(.*)'$/s];

function describe(thrown: unknown, file: string, ours: readonly string[]): Thrown {
  if (!(thrown instanceof Error) && !hasPlace(thrown)) return thrownValue(thrown, file);
  const { message, stack, position, specifier, referrer } = thrown as Partial<Record<string, unknown>> & {
    position?: Position | null;
  };
  if (typeof specifier === "string")
    return missingModule(specifier, typeof referrer === "string" && referrer !== "" ? referrer : file);
  if (position != null && typeof position.line === "number") {
    const { line, column } = position;
    return { ...atStart(position.file || file, String(message)), line, column, length: position.length || 1 };
  }
  const missing = MISSING_EXPORT.map((words) => words.exec(String(message))).find((found) => found !== null);
  if (missing != null) return missingExport(missing[1]!, missing[2]!, file, ours);
  const json = thrown instanceof SyntaxError ? brokenJson(String(stack), file) : null;
  if (json !== null) return json;
  const name = thrown instanceof Error && thrown.name !== "Error" ? `${thrown.name}: ` : "";
  return fromStack(String(stack), file, `the file throws ${name}${String(message)}`);
}

const hasPlace = (thrown: unknown): thrown is object =>
  typeof thrown === "object" && thrown !== null && ("position" in thrown || "specifier" in thrown || "stack" in thrown);

const FRAME = /\(?(?:file:\/\/)?(\/[^():\n]+):(\d+):(\d+)\)?$/m;

/** At the innermost frame of the user's own files: not ours, not a package's. */
export function fromStack(stack: string, file: string, message: string): Thrown {
  for (const frame of stack.matchAll(new RegExp(FRAME, "gm"))) {
    const [, path, line, column] = frame as unknown as [string, string, string, string];
    if (path.includes("/node_modules/") || path.startsWith(`${import.meta.dir}/`)) continue;
    return { ...atStart(path, message), line: Number(line), column: Number(column) };
  }
  return atStart(file, message);
}

/** Something that is no Error knows nothing of where it was thrown; if only one place can be it, that is it. */
function thrownValue(thrown: unknown, file: string): Thrown {
  const text = tried(
    () => String(typeof thrown === "object" && thrown !== null && "message" in thrown ? thrown.message : thrown),
    "something that has no text",
  );
  const message = `the file throws ${text}`;
  const places = modulesOf(file)
    .all()
    .flatMap((module) => {
      const throwing = module.nodes(
        ({ type, argument }) => type === "ThrowStatement" && argument?.type !== "NewExpression",
      );
      return throwing.map((node) => at(module, node, message));
    });
  return places.length === 1 ? places[0]! : atStart(file, message, "an Error would know where it was thrown");
}

/** An import that leads nowhere; the runtime does not say where it stands. */
function missingModule(specifier: string, file: string): Thrown {
  const message = `there is no module ${JSON.stringify(specifier)}`;
  const { main } = modulesOf(file);
  const node =
    main?.references.find(({ from }) => from === specifier)?.source ??
    main?.nodes(({ type, value }) => type === "StringLiteral" && value === specifier)[0];
  return node === undefined ? atStart(file, message) : at(main!, node, message);
}

/**
 * @param name  that is lacking, or what `export … from` calls it
 * @param path  of the file that lacks it, or what it is imported as
 */
function missingExport(name: string, path: string, file: string, ours: readonly string[]): Thrown {
  const modules = modulesOf(file);
  for (const module of modules.all()) {
    for (const reference of module.references) {
      const other = modules.find(reference.from, module);
      const known = other?.names() ?? ours;
      const isIt =
        reference.from === path ? !known.includes(reference.name) : other?.path === path && reference.name === name;
      if (!isIt || reference.name === "" || reference.name === "*") continue;
      const message = `${JSON.stringify(reference.from)} does not export ${JSON.stringify(reference.name)}`;
      return { ...at(module, reference.node, message), hint: suggestion(reference.name, known, "exports") };
    }
  }
  return atStart(file, `${path} does not export ${JSON.stringify(name)}`);
}

/** A JSON file that is imported and is none: the runtime names neither file nor line. */
function brokenJson(stack: string, file: string): Thrown | null {
  if (FRAME.test(stack)) return null;
  for (const module of modulesOf(file).all()) {
    for (const { from } of module.references) {
      const path = join(dirname(module.path), from);
      const text = from.endsWith(".json") ? readText(path) : null;
      const [first] = text === null ? [] : readJson(text, path).diagnostics;
      if (first === undefined) continue;
      const { message, hint, line, column, length } = first;
      return { file: path, message, hint, line: line ?? 1, column: column ?? 1, length };
    }
  }
  return null;
}

function modulesOf(file: string): Modules {
  return new Modules(file, readText(file) ?? "");
}

function at(module: Module, { start, end }: Node_, message: string): Thrown {
  const { line, column } = module.source.place(start ?? 0);
  return { ...atStart(module.path, message), line, column, length: (end ?? 0) - (start ?? 0) };
}
