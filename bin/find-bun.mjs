/**
 * Finds the Bun this package is pinned to. Plain Node: it runs before Bun is known.
 *
 * npm may not run install scripts. Then `node_modules/bun/bin/bun.exe` is a few lines of text that
 * only complain, and the real executable lies in the platform's package beside it. So the platform
 * packages are tried first.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const PLATFORM_PACKAGES = {
  "linux x64": ["bun-linux-x64", "bun-linux-x64-musl"],
  "linux arm64": ["bun-linux-aarch64", "bun-linux-aarch64-musl"],
};

/** @returns path of the executable, or null if the dependencies are not installed */
export function findBun() {
  const require = createRequire(import.meta.url);
  for (const name of PLATFORM_PACKAGES[`${process.platform} ${process.arch}`] ?? []) {
    const found = executableOf(require, `@oven/${name}`, "bin/bun");
    if (found !== null) return found;
  }
  return executableOf(require, "bun", "bin/bun.exe");
}

function executableOf(require, packageName, file) {
  try {
    const path = join(dirname(require.resolve(`${packageName}/package.json`)), file);
    return isElf(path) ? path : null;
  } catch {
    return null;
  }
}

function isElf(path) {
  const file = openSync(path, "r");
  try {
    const magic = Buffer.alloc(4);
    return readSync(file, magic, 0, 4, 0) === 4 && magic.equals(Buffer.from("\x7fELF", "latin1"));
  } finally {
    closeSync(file);
  }
}
