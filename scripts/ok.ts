/**
 * Everything that must hold before a change lands: format and lint, types, floors, the generated
 * reference, unit tests, end-to-end tests (documentation examples among them). Changes no file.
 *
 * At the end stand the names of all that was skipped, with what it needs; then of all that was unsteady
 * (second-look.ts) and of all that failed, with what they said first. The last line is `N passed, N failed` (and
 * `, N unsteady`, `, N skipped`): the tests' numbers, a check that does not hold counting as one failure. The exit
 * status is 0 if nothing failed; with --strict, what is unsteady has failed.
 *
 * @example bun run ok            everything
 * @example bun run ok src/http   only tests whose path holds that text
 * @example bun run ok --strict
 */
import { join } from "node:path";
import { lookAgain, TIMES } from "./second-look.ts";
import { runTests, type TestFailure, type TestSkip } from "./test-run.ts";

const root = join(import.meta.dir, "..");
const bun = process.execPath;
const words = process.argv.slice(2);
const isStrict = words.includes("--strict");
const filters = words.filter((word) => word !== "--strict");

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

let passed = 0;
const skips: TestSkip[] = [];
const failedChecks: string[] = [];
const failedTests: TestFailure[] = [];

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
    failedChecks.push(name);
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

const { failed, unsteady } = await lookAgain(failedTests, (file) => {
  console.log(`\n== once more, alone: ${file}`);
  return runTests(root, [file]);
});

showSkips();
if (unsteady.length > 0) {
  console.log(
    `\nUnsteady: failed while everything ran, passed alone ${TIMES} times in a row. Each is a defect to be mended (CONTRIBUTING.md):`,
  );
  for (const failure of unsteady) show(failure);
}
if (failedChecks.length + failed.length > 0) {
  console.log("\nFailed:");
  for (const name of failedChecks) console.log(`  ${name}`);
  for (const failure of failed) show(failure);
}
const failures = failedChecks.length + failed.length;
const counts = [`${passed} passed`, `${failures} failed`];
if (unsteady.length > 0) counts.push(`${unsteady.length} unsteady`);
if (skips.length > 0) counts.push(`${skips.length} skipped`);
console.log(`\n${counts.join(", ")}`);
process.exit(failures === 0 && !(isStrict && unsteady.length > 0) ? 0 : 1);

async function run(files: readonly string[]): Promise<void> {
  const counts = await runTests(root, files);
  passed += counts.passed;
  skips.push(...counts.skips);
  failedTests.push(...counts.failures);
}

function show({ file, what, message }: TestFailure): void {
  console.log(`  ${file === "" ? what : `${file}: ${what}`}`);
  if (message !== "") console.log(`      ${message}`);
}

function showSkips(): void {
  for (const needs of new Set(skips.map((skip) => skip.needs))) {
    console.log(`\nSkipped, since it needs ${needs}:`);
    for (const { file, what } of skips.filter((skip) => skip.needs === needs)) console.log(`  ${file}: ${what}`);
  }
}
