/**
 * Everything that must hold before a change lands: format and lint, types, floors, the generated
 * reference, unit tests, end-to-end tests (documentation examples among them). Changes no file.
 *
 * The last line is `N passed, N failed` (and `, N skipped`): the tests' numbers, a check that does
 * not hold counting as one failure.
 *
 * @example bun run ok          everything
 * @example bun run ok src/http only tests whose path holds that text
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";

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

let passed = 0;
let failed = 0;
let skipped = 0;

if (filters.length === 0) {
  for (const { name, command } of CHECKS) {
    console.log(`\n== ${name}`);
    const child = Bun.spawnSync([...command], { cwd: root, stdout: "inherit", stderr: "inherit" });
    if (child.exitCode === 0) continue;
    console.log(`${name}: does not hold`);
    failed++;
  }
}

console.log("\n== tests");
if (filters.length > 0) await runTests(filters);
else {
  // The tests of net/ count the sockets of their process and share its loop with nobody.
  await runTests(["src/net/"]);
  const rooms = readdirSync(join(root, "src"), { withFileTypes: true }).filter((one) => one.isDirectory());
  await runTests([...rooms.flatMap(({ name }) => (name === "net" ? [] : [`src/${name}/`])), "test/"]);
}

console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exit(failed === 0 ? 0 : 1);

/** Runs `bun test` and adds up the numbers it ends with. */
async function runTests(paths: readonly string[]): Promise<void> {
  const child = Bun.spawn([bun, "test", "--timeout", "30000", "--only-failures", ...paths], {
    cwd: root,
    stdout: "inherit",
    stderr: "pipe",
    env: { ...process.env, NO_COLOR: "1" },
  });
  const decoder = new TextDecoder();
  let tail = "";
  for await (const chunk of child.stderr) {
    process.stderr.write(chunk);
    tail = (tail + decoder.decode(chunk, { stream: true })).slice(-4096);
  }
  const code = await child.exited;
  const count = (word: string) => Number(new RegExp(`^ *(\\d+) ${word}s?$`, "m").exec(tail)?.[1] ?? 0);
  passed += count("pass");
  skipped += count("skip") + count("todo");
  const failures = count("fail") + count("error");
  // Ended by a signal, or found nothing to run: no number says so.
  failed += failures === 0 && code !== 0 ? 1 : failures;
}
