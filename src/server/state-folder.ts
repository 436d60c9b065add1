/** Where a gateway keeps what outlives it: versions of the config, operators' changes, its admin socket. */
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";

/**
 * @param state `state` of the config; relative to the folder of the config file
 * @param file  the config file; null: the config came from the command line
 * @returns an absolute path. Nothing is created. Where the config names no folder, each config file
 *          has its own, so that two gateways on one machine do not meet
 */
export function stateFolder(
  state: string | null,
  file: string | null,
  env: Readonly<Record<string, string | undefined>> = process.env,
  isRoot = process.getuid?.() === 0,
): string {
  if (state !== null) return resolve(file === null ? "." : dirname(resolve(file)), state);
  return join(commonFolder(env, isRoot), instanceOf(file));
}

function commonFolder(env: Readonly<Record<string, string | undefined>>, isRoot: boolean): string {
  // systemd: StateDirectory= may name several, absolute, with colons between them.
  const given = env["STATE_DIRECTORY"]?.split(":")[0];
  if (given) return given;
  if (isRoot) return "/var/lib/lintel";
  return join(env["XDG_STATE_HOME"] || join(homedir(), ".local/state"), "lintel");
}

function instanceOf(file: string | null): string {
  const path = resolve(file ?? ".");
  const name = file === null ? "command-line" : basename(path).replace(/\.[^.]*$/, "");
  return `${name}-${new Bun.CryptoHasher("sha256").update(path).digest("hex").slice(0, 8)}`;
}
