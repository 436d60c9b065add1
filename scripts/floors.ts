/**
 * Checks the rules by which src/ stays legible: rooms import only their own files and rooms on
 * lower floors (ARCHITECTURE.md), an import names the file that defines a thing, nothing is
 * exported by default. Tests may import from every floor: they put rooms together.
 *
 * @example bun scripts/floors.ts
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";

/** Each room's floor. A room imports lower floors only, never sideways and never up. */
export const FLOORS: Readonly<Record<string, number>> = {
  base: 0,
  config: 1,
  http: 1,
  net: 1,
  state: 1,
  protocol: 2,
  router: 2,
  tls: 2,
  cache: 2,
  telemetry: 2,
  upstream: 3,
  acme: 3,
  middleware: 4,
  proxy: 4,
  relay: 4,
  server: 5,
  admin: 6,
  cli: 7,
};

/** Folders that grow by a file and a line in their list; only these have an index.ts. */
const LISTS = new Set([
  "src/middleware",
  "src/router/matchers",
  "src/upstream/balancers",
  "src/upstream/discovery",
  "src/upstream/health/checks",
  "src/cache/stores",
  "src/config/adapters",
  "src/telemetry/sinks",
  "src/cli/commands",
]);

/** What tests share lies beside them under these names, and only tests use it. */
const FOR_TESTS = /(?:\.test|\/(?:testing|testing-[\w-]+|test-[\w-]+|contract))\.ts$/;

/** Sockets of the runtime are known to one room, so that another runtime stays possible. */
const SOCKETS = /\bBun\.(?:listen|connect|udpSocket)\b/;

export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** @param files text by path from the project's root ("src/http/body.ts") */
export function checkFloors(files: ReadonlyMap<string, string>, dependencies: readonly string[]): Violation[] {
  return [...files].flatMap(([file, text]) => checkFile(file, text, files, dependencies));
}

function checkFile(
  file: string,
  text: string,
  files: ReadonlyMap<string, string>,
  dependencies: readonly string[],
): Violation[] {
  const found: Violation[] = [];
  const say = (at: number, message: string) =>
    found.push({ file, line: text.slice(0, at).split("\n").length, message });
  const room = roomOf(file);
  const isTest = FOR_TESTS.test(file);

  if (room !== "" && FLOORS[room] === undefined) {
    say(0, `src/${room}/ is not a room: the rooms are ${Object.keys(FLOORS).join(", ")}`);
    return found;
  }
  if (room === "" && file !== "src/index.ts") say(0, "only index.ts, what the package exports, stands in src/ itself");
  if (file.endsWith("/index.ts") && file !== "src/index.ts" && !LISTS.has(dirname(file))) {
    say(
      0,
      `an index.ts is the list of an extensible folder, and ${dirname(file)} is none; name the file after what it exports`,
    );
  }

  for (const match of text.matchAll(/^export default\b|^export \{[^}]*\bas default\b/gm)) {
    say(match.index, "a default export has no name to search for; export it by name");
  }
  const sockets = isTest || room === "net" ? null : SOCKETS.exec(text);
  if (sockets !== null && !isInComment(text, sockets.index))
    say(sockets.index, `${sockets[0]} belongs to net/, the only room that knows the runtime's sockets`);

  for (const { at, specifier } of importsOf(text)) {
    if (!specifier.startsWith(".")) {
      if (!isKnownPackage(specifier, dependencies) && !isTest) {
        say(at, `"${specifier}" is neither built in nor a dependency in package.json`);
      }
      continue;
    }
    const target = posix.join(posix.dirname(file), specifier);
    if (target.endsWith(".json")) continue;
    if (!target.endsWith(".ts")) {
      say(at, `"${specifier}": name the file with its extension .ts`);
      continue;
    }
    if (!target.startsWith("src/")) {
      if (!isTest) say(at, `"${specifier}" lies outside src/, which is all that is installed`);
      continue;
    }
    if (!files.has(target)) say(at, `"${specifier}" does not exist`);
    if (target.endsWith("/index.ts") && !LISTS.has(dirname(target))) {
      say(at, `"${specifier}": import the file that defines the thing`);
    }
    if (!isTest && FOR_TESTS.test(target)) say(at, `"${specifier}" is for tests only`);
    const other = roomOf(target);
    if (isTest || room === "" || other === room) continue;
    const here = FLOORS[room]!;
    const there = FLOORS[other];
    if (there === undefined) say(at, `"${specifier}" belongs to no room`);
    else if (there > here) say(at, `${room}/ (floor ${here}) imports up from ${other}/ (floor ${there})`);
    else if (there === here) say(at, `${room}/ imports sideways from ${other}/: both are on floor ${here}`);
  }
  return found;
}

/** The room of a path in src/; "" for a file in src/ itself. */
function roomOf(file: string): string {
  const parts = file.split("/");
  return parts.length > 2 ? parts[1]! : "";
}

const STATEMENTS =
  /^\s*(?:import|export)\b[^;"'`()]*?\bfrom\s*"([^"]+)"|^\s*import\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm;

function importsOf(text: string): { at: number; specifier: string }[] {
  return [...text.matchAll(STATEMENTS)]
    .filter((match) => !isInComment(text, match.index + match[0].length))
    .map((match) => ({
      // A statement's match begins with the line break and blanks before it.
      at: match.index + (match[0].length - match[0].trimStart().length),
      specifier: (match[1] ?? match[2] ?? match[3])!,
    }));
}

function isInComment(text: string, at: number): boolean {
  const line = text.slice(text.lastIndexOf("\n", at - 1) + 1, at).trimStart();
  return line.startsWith("*") || line.startsWith("/*") || line.startsWith("//");
}

function isKnownPackage(specifier: string, dependencies: readonly string[]): boolean {
  if (specifier === "bun" || specifier.startsWith("bun:") || specifier.startsWith("node:")) return true;
  return dependencies.some((name) => specifier === name || specifier.startsWith(`${name}/`));
}

function main(): void {
  const root = join(import.meta.dir, "..");
  const files = new Map<string, string>();
  for (const entry of readdirSync(join(root, "src"), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(root.length + 1), readFileSync(path, "utf8"));
  }
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  const violations = checkFloors(files, Object.keys(dependencies));
  for (const { file, line, message } of violations) console.error(`${file}:${line}: ${message}`);
  if (violations.length > 0) process.exit(1);
  console.log(`floors: ${files.size} files keep to their floors`);
}

if (import.meta.main) main();
