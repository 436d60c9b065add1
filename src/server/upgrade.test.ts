import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "lintel-upgrade-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

test("a program that is tried does not outlive the one that tries it", async () => {
  const main = join(directory, "main.ts");
  const [pid, begun] = [join(directory, "pid"), join(directory, "begun")];
  // It says who it is, in one piece, and never ends.
  writeFileSync(
    main,
    `import { renameSync, writeFileSync } from "node:fs";
    if (process.argv[2] === "check") {
      writeFileSync(${JSON.stringify(pid)}, String(process.pid));
      renameSync(${JSON.stringify(pid)}, ${JSON.stringify(begun)});
    }
    setInterval(() => {}, 1000);`,
  );
  const script = `
    const { existsSync } = await import("node:fs");
    const { tryProgram } = await import(${JSON.stringify(`${import.meta.dir}/upgrade.ts`)});
    void tryProgram({ main: ${JSON.stringify(main)}, args: [], check: ["check"], launcher: null });
    while (!existsSync(${JSON.stringify(begun)})) await Bun.sleep(5);
    process.exit(0);`;
  await Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "inherit", "inherit"] }).exited;
  const tried = Number(readFileSync(begun, "utf8"));
  for (let i = 0; i < 2000 && existsSync(`/proc/${tried}`); i++) await Bun.sleep(5);
  expect(existsSync(`/proc/${tried}`)).toBe(false);
}, 30_000);
