/**
 * Runs the pinned Bun with the arguments given: what package.json's scripts call, since the `bun`
 * command of npm may be a stub (bin/find-bun.mjs). Plain Node.
 */
import { spawn } from "node:child_process";
import { installDependencies } from "./install.mjs";

const child = spawn(installDependencies(), process.argv.slice(2), { stdio: "inherit" });
// Ctrl-C reaches the whole group; the others are handed on so that nothing is left running.
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) =>
  process.exit(code ?? 128 + ({ SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }[signal ?? ""] ?? 1)),
);
