/** Which programs of this machine the tests may talk to. */
import { existsSync } from "node:fs";

const FOLDERS = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/sbin"];

/** Full path of a program, or null if it is not installed. */
export function findProgram(name: string): string | null {
  return FOLDERS.map((folder) => `${folder}/${name}`).find((path) => existsSync(path)) ?? null;
}
