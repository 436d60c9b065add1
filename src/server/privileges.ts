/** Becoming an ordinary user once the ports below 1024 are bound. */
import { closeSync, fchownSync, fstatSync, openSync, readFileSync } from "node:fs";
import { errno, errnoName, libc } from "../net/libc.ts";

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Every group the user is in. */
  readonly groups: readonly number[];
}

/**
 * @param name of a user, or "user:group"
 * @throws {Error} if there is no such user or group
 */
export function findAccount(name: string): Account {
  const [user = "", group] = name.split(":");
  const entry = rows("/etc/passwd").find((row) => isNamed(row, user));
  if (entry === undefined) throw new Error(`user: there is no user ${JSON.stringify(user)} on this system`);
  const allGroups = rows("/etc/group");
  const main = group === undefined ? null : (allGroups.find((row) => isNamed(row, group)) ?? null);
  if (group !== undefined && main === null) {
    throw new Error(`user: there is no group ${JSON.stringify(group)} on this system`);
  }
  const gid = Number(main === null ? entry[3] : main[2]);
  const others = allGroups.filter((row) => row[3]?.split(",").includes(entry[0]!)).map((row) => Number(row[2]));
  return { name: entry[0]!, uid: Number(entry[2]), gid, groups: [...new Set([gid, ...others])] };
}

/** The rows of a colon-separated table, passwd(5) or group(5): name, password, number … */
function rows(table: string): string[][] {
  return readFileSync(table, "utf8")
    .split("\n")
    .map((line) => line.split(":"));
}

const isNamed = (row: readonly string[], key: string): boolean => key !== "" && (row[0] === key || row[2] === key);

/**
 * Makes this process, and all it starts from now on, run as that user with its groups.
 * @param mayBindLowPorts keeps one right of root's: ports below 1024
 * @throws {Error} if this process is neither root nor already that user, or if root could be had back
 */
export function dropPrivileges(account: Account, mayBindLowPorts = false): void {
  const { getuid, setgroups, setgid, setuid } = process;
  if (!getuid || !setgroups || !setgid || !setuid) throw new Error("user: this system has no users to change to");
  if (getuid() === account.uid) return;
  if (getuid() !== 0)
    throw new Error(
      `user: only root can become ${account.name}; start as root, or as ${account.name} without \`user\``,
    );
  setgroups(account.groups);
  setgid(account.gid);
  if (mayBindLowPorts) libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
  setuid(account.uid);
  if (mayBindLowPorts) keepLowPorts();
  let regained = account.uid !== 0;
  try {
    setuid(0);
  } catch {
    regained = false;
  }
  if (regained) throw new Error("user: root's rights could be taken back");
}

const PR_SET_KEEPCAPS = 8;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_RAISE = 2;
const CAP_NET_BIND_SERVICE = 10;
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;

/**
 * Of all rights of root's that were kept over the change of user, leaves this one, and hands it on to
 * what is started (capabilities(7), "Ambient").
 * @throws {Error} if the system says no
 */
function keepLowPorts(): void {
  const header = Uint32Array.of(LINUX_CAPABILITY_VERSION_3, 0);
  const bit = 1 << CAP_NET_BIND_SERVICE;
  // Effective, permitted, inheritable; then those numbered 32 and up.
  const rights = Uint32Array.of(bit, bit, bit, 0, 0, 0);
  const isKept =
    libc.capset(header, rights) === 0 &&
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) === 0;
  if (!isKept)
    throw new Error(`user: the right to ports below 1024 could not be kept for HTTP/3: ${errnoName(errno())}`);
}

/**
 * Makes a log file that the account may open again later, even in a folder where it may not create
 * one. A file that is there already becomes the account's too, as root may have begun it.
 */
export function prepareLogFile(path: string, account: Account): void {
  const fd = openSync(path, "a", 0o640);
  try {
    if (fstatSync(fd).isFile()) fchownSync(fd, account.uid, account.gid);
  } finally {
    closeSync(fd);
  }
}
