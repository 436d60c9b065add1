/** What the machine says of names: its DNS servers (resolv.conf) and its own names (hosts). */
import { readFile } from "node:fs/promises";
import { canonicalIp } from "../../../net/address.ts";
import type { Server } from "./exchange.ts";

export interface SystemFiles {
  readonly resolvConf: string;
  readonly hosts: string;
  /** Of the servers, which resolv.conf does not say; another one in tests. */
  readonly port: number;
}

export const SYSTEM_FILES: SystemFiles = { resolvConf: "/etc/resolv.conf", hosts: "/etc/hosts", port: 53 };

export interface SystemServers {
  readonly servers: readonly Server[];
  /** Domains that a relative name is tried in, in order. */
  readonly search: readonly string[];
  /** A name with at least this many dots is tried as it is before the domains. */
  readonly ndots: number;
}

/** A file that is not there says nothing; then the server is on this machine (resolv.conf(5)). */
export async function readSystemServers({ resolvConf, port }: SystemFiles): Promise<SystemServers> {
  return parseResolvConf(await textOf(resolvConf), port);
}

/** Addresses of a name in the hosts file; of `localhost` also without it (RFC 6761 §6.3). */
export async function readHosts({ hosts }: SystemFiles, name: string): Promise<readonly string[]> {
  const found = parseHosts(await textOf(hosts), name);
  const isLocal = name === "localhost" || name.endsWith(".localhost");
  return found.length === 0 && isLocal ? ["127.0.0.1", "::1"] : found;
}

export function parseResolvConf(text: string, port = 53): SystemServers {
  const servers: Server[] = [];
  let search: string[] = [];
  let ndots = 1;
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, "")
      .trim()
      .split(/\s+/);
    if (keyword === "nameserver" && values[0] !== undefined) servers.push({ host: values[0], port });
    if (keyword === "domain" || keyword === "search") search = values.map(tidyDomain).filter((domain) => domain !== "");
    for (const option of keyword === "options" ? values : []) {
      const number = /^ndots:(\d+)$/.exec(option)?.[1];
      if (number !== undefined) ndots = Math.min(Number(number), 15);
    }
  }
  return { servers: servers.length > 0 ? servers : [{ host: "127.0.0.1", port }], search, ndots };
}

export function parseHosts(text: string, name: string): string[] {
  const addresses = new Set<string>();
  for (const line of text.split("\n")) {
    const [address = "", ...names] = line.replace(/#.*$/, "").trim().split(/\s+/);
    const canonical = canonicalIp(address);
    if (canonical !== null && names.some((one) => tidyDomain(one) === name)) addresses.add(canonical);
  }
  return [...addresses];
}

const tidyDomain = (text: string): string => text.toLowerCase().replace(/\.$/, "");

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch {
    return "";
  }
}
