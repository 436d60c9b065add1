/**
 * Everything that must hold before a change lands: format and lint, types, floors, the generated
 * reference, unit tests, end-to-end tests (documentation examples among them). Changes no file.
 *
 * At the end stand the names of all that failed. The last line is `N passed, N failed` (and `, N
 * skipped`): the tests' numbers, a check that does not hold counting as one failure.
 *
 * The machine is full while all tests run. What fails then is run once more alone, and if it passes, it
 * is named as unsteady: a defect of the test, to be mended, that does not hold up a change.
 *
 * @example bun run ok          everything
 * @example bun run ok src/http only tests whose path holds that text
 */
import { join } from "node:path";
import { runTests, type TestFailure } from "./test-run.ts";

const root = join(import.meta.dir, "..");
const bun = process.execPath;
const filters = process.argv.slice(2);

interface Check {
  readonly name: string;
  readonly command: readonly string[];
}

const CHECKS: readonly Check[] = [
  {
    name: "format and lint",
    command: [
      bun,
      "node_modules/@biomejs/biome/bin/biome",
      "ci",
      ".",
      ...(process.stdout.isTTY ? [] : ["--colors=off"]),
    ],
  },
  { name: "types", command: [bun, "node_modules/typescript/bin/tsc", "--noEmit"] },
  { name: "floors", command: [bun, "scripts/floors.ts"] },
  { name: "reference", command: [bun, "scripts/reference.ts", "--check"] },
];

const CHECK_MS = 300_000;
/** If tests of more files fail, it is not chance. */
const MOST_UNSTEADY_FILES = 3;

let passed = 0;
let skipped = 0;
const failures: string[] = [];
const failedTests: TestFailure[] = [];
const unsteady: string[] = [];

if (filters.length === 0) {
  for (const { name, command } of CHECKS) {
    console.log(`\n== ${name}`);
    const child = Bun.spawnSync([...command], {
      cwd: root,
      stdout: "inherit",
      stderr: "inherit",
      timeout: CHECK_MS,
    });
    if (child.exitCode === 0) continue;
    console.log(`${name}: does not hold`);
    failures.push(name);
  }
}

console.log("\n== tests");
const files = [...new Bun.Glob("{src,test,bench}/**/*.test.ts").scanSync(root)].sort();
if (filters.length > 0) await run(files.filter((file) => filters.some((text) => file.includes(text))));
else {
  // The tests of net/ count the sockets of their process and share its loop with nobody.
  await run(files.filter((file) => file.startsWith("src/net/")));
  // Those that run whole programs wait a lot, and the others can have that time.
  const whole = files.filter((file) => !file.startsWith("src/"));
  await Promise.all([
    run(files.filter((file) => file.startsWith("src/") && !file.startsWith("src/net/"))),
    run(whole.filter((_, at) => at % 2 === 0)),
    run(whole.filter((_, at) => at % 2 === 1)),
  ]);
}

await runFailedAgain();

if (unsteady.length > 0)
  console.log(`\nUnsteady (failed at first, passed alone):\n${unsteady.map((name) => `  ${name}`).join("\n")}`);
if (failures.length > 0) console.log(`\nFailed:\n${failures.map((name) => `  ${name}`).join("\n")}`);
console.log(`\n${passed} passed, ${failures.length} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exit(failures.length === 0 ? 0 : 1);

async function run(files: readonly string[]): Promise<void> {
  const counts = await runTests(root, files);
  passed += counts.passed;
  skipped += counts.skipped;
  failedTests.push(...counts.failures);
}

async function runFailedAgain(): Promise<void> {
  const names = failedTests.map(({ file, what }) => (file === "" ? what : `${file}: ${what}`));
  const files = [...new Set(failedTests.map(({ file }) => file))];
  if (files.length > MOST_UNSTEADY_FILES || files.includes("")) {
    failures.push(...names);
    return;
  }
  for (const file of files) {
    console.log(`\n== once more: ${file}`);
    const of = names.filter((_, at) => failedTests[at]!.file === file);
    const again = await runTests(root, [file]);
    if (again.failures.length > 0) failures.push(...of);
    else {
      unsteady.push(...of);
      passed += of.length;
    }
  }
}
