/** The limit on open files: raised as far as it goes before workers start, since they inherit it. */
import { dlopen } from "bun:ffi";
import type { GatewayConfig } from "../config/gateway-config.ts";

const RLIMIT_NOFILE = 7;
/** Descriptors of a worker besides its connections: logs, the runtime's own, files being served. */
const SPARE = 64;

const SYMBOLS = {
  getrlimit: { args: ["i32", "ptr"], returns: "i32" },
  setrlimit: { args: ["i32", "ptr"], returns: "i32" },
} as const;

/**
 * Raises the soft limit to the hard one. (The runtime does so too at present, but does not promise it.)
 * @returns files each process may have open
 */
export function raiseFileLimit(): number {
  const { symbols, close } = openLibc();
  try {
    const limit = new BigUint64Array(2); // struct rlimit: soft, hard
    if (symbols.getrlimit(RLIMIT_NOFILE, limit) !== 0) return Infinity;
    const [soft = 0n, hard = 0n] = limit;
    if (soft >= hard) return Number(soft);
    return Number(symbols.setrlimit(RLIMIT_NOFILE, BigUint64Array.of(hard, hard)) === 0 ? hard : soft);
  } finally {
    close();
  }
}

function openLibc() {
  try {
    return dlopen("libc.so.6", SYMBOLS);
  } catch {
    return dlopen(`libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`, SYMBOLS);
  }
}

/** @returns files a worker needs at worst: each client connection may need one to an origin server, each UDP session does */
export function filesNeeded(config: GatewayConfig, workers: number): number {
  const connections = [...config.listeners, ...config.tcp].reduce((sum, one) => sum + one.maxConnections, 0);
  const sessions = config.udp.reduce((sum, { maxSessions }) => sum + maxSessions, 0);
  const pooled = config.upstreams.reduce((sum, { endpoints, pool }) => sum + endpoints.length * pool.maxIdle, 0);
  return Math.ceil(connections / workers) * 2 + Math.ceil(sessions / workers) + pooled + SPARE;
}
