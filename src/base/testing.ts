/** For the tests of all rooms: what a test needs of the machine it runs on. Where that is missing it is skipped, and says why. */
import { describe, test } from "bun:test";
import { existsSync } from "node:fs";
import { networkInterfaces } from "node:os";

export interface Need {
  /** Reads on from "needs". */
  readonly what: string;
  readonly isMet: boolean;
}

const FOLDERS = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/sbin"];

/** Full path of a program, or null if it is not installed. */
export function findProgram(name: string): string | null {
  return FOLDERS.map((folder) => `${folder}/${name}`).find((path) => existsSync(path)) ?? null;
}

/** @param path where it was found, if it was looked for already */
export const program = (name: string, path = findProgram(name)): Need => ({ what: name, isMet: path !== null });

export const ROOT: Need = { what: "root", isMet: process.getuid?.() === 0 };

/** Containers may have none. */
export const IPV6: Need = {
  what: "IPv6",
  isMet: Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === "::1")),
};

/**
 * `test` and `describe` for what needs something. The reason for which one is skipped stands in its name, where
 * scripts/test-run.ts finds it: a test that is skipped without one counts as failed.
 *
 * @example
 * needs(ROOT, program("curl")).test("curl on port 80", …); // skipped: "[needs root] curl on port 80"
 */
export function needs(...all: readonly Need[]): { readonly test: typeof test; readonly describe: typeof describe } {
  const missing = all.filter(({ isMet }) => !isMet).map(({ what }) => what);
  if (missing.length === 0) return { test, describe };
  const why = `[needs ${missing.join(", ")}]`;
  return { test: explained(test.skip, why), describe: explained(describe.skip, why) };
}

function explained<F extends typeof test | typeof describe>(skip: F, why: string): F {
  return new Proxy(skip, {
    apply: (target, self, [name, ...rest]) => Reflect.apply(target, self, [`${why} ${name}`, ...rest]),
    get(target, key) {
      if (key !== "each") return Reflect.get(target, key);
      return (table: readonly unknown[]) => explained((target as typeof test).each(table) as unknown as F, why);
    },
  });
}

const NOBODY = 65_534;

/**
 * Does something without the rights of root, also where the tests run as root: they are had back when it is over.
 * Nothing else of this process may want them meanwhile.
 */
export async function asOrdinaryUser<T>(work: () => Promise<T>): Promise<T> {
  if (!ROOT.isMet) return work();
  process.seteuid!(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid!(0);
  }
}
