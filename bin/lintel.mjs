#!/usr/bin/env node
/**
 * Starts Lintel under the Bun that its package pins, from whatever Node (or Bun) runs this file.
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { findBun } from "./find-bun.mjs";

const MAIN = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));

const bun = findBun() ?? (process.versions.bun === undefined ? null : process.execPath);
if (bun === null) {
  console.error("lintel: the Bun runtime is not installed beside this program: run `npm install` in its folder");
  process.exit(1);
}

const child = spawn(bun, [MAIN, ...process.argv.slice(2)], { stdio: "inherit" });
// A Ctrl-C reaches the child by itself too, as one of the terminal's process group: the supervisor
// takes two signals that close together for one.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"])
  process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  console.error(`lintel: ${bun} cannot be started: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
