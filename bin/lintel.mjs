#!/usr/bin/env node
/**
 * Starts Lintel under the Bun that its package pins, from whatever Node (or Bun) runs this file.
 */
import { spawn } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { findBun } from "./find-bun.mjs";
import { passSignals } from "./pass-signals.mjs";

// Before there is a child: one that is born must not outlive a launcher that did not listen yet.
const passTo = passSignals(process.argv[2] === "run");

const MAIN = mainAsCalled() ?? fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));

const bun = findBun() ?? (process.versions.bun === undefined ? null : process.execPath);
if (bun === null) {
  console.error("lintel: the Bun runtime is not installed beside this program: run `npm install` in its folder");
  process.exit(1);
}

const child = spawn(bun, [MAIN, ...process.argv.slice(2)], {
  stdio: "inherit",
  // Without us nobody could end it by the process id he knows: so it ends.
  env: { ...process.env, LINTEL_LAUNCHER: String(process.pid) },
});
passTo(child);
child.on("error", (error) => {
  console.error(`lintel: ${bun} cannot be started: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));

/** By the path we were called by: a link in it may point to another version by the time of an upgrade. */
function mainAsCalled() {
  const path = join(dirname(resolve(process.argv[1])), "../src/cli/main.ts");
  const ours = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
  return existsSync(path) && realpathSync(path) === realpathSync(ours) ? path : null;
}
