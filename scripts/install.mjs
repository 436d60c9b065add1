/**
 * What a fresh clone needs before Bun exists: the packages of the lock file. Plain Node.
 */
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findBun } from "../bin/find-bun.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * Runs `npm ci` unless node_modules is there and not older than the lock file.
 * @returns path of the pinned Bun
 */
export function installDependencies() {
  if (process.platform !== "linux") fail(`Lintel runs on Linux; this is ${process.platform}.`);
  if (isStale() || findBun() === null) {
    console.log("Installing the packages of package-lock.json (npm ci) …");
    const { status, error } = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: root, stdio: "inherit" });
    if (error !== undefined) fail(`npm could not be started: ${error.message}`);
    if (status !== 0) fail(`npm ci ended with ${status}; see its messages above.`);
  }
  const bun = findBun();
  if (bun === null) fail("Bun is not in node_modules though npm ci went through: is this Linux on x64 or arm64?");
  return bun;
}

/** npm writes node_modules/.package-lock.json at the end of each install. */
function isStale() {
  const installed = join(root, "node_modules", ".package-lock.json");
  return !existsSync(installed) || statSync(installed).mtimeMs < statSync(join(root, "package-lock.json")).mtimeMs;
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
