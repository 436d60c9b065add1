/**
 * Lintel with one worker, as `lintel run` starts it: launcher, supervisor and worker all count.
 * Everything a default install has on is on: metrics, forwarded fields, limits, timeouts.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Contender, Setup } from "./contender.ts";

const PROJECT = resolve(import.meta.dir, "../..");
export const LAUNCHER = join(PROJECT, "bin/lintel.mjs");

export const lintel: Contender = {
  name: "lintel",
  tuned: false,
  version() {
    if (!existsSync(LAUNCHER)) return null;
    return (JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8")) as { version: string }).version;
  },
  prepare(setup) {
    const file = join(setup.directory, "lintel.yaml");
    writeFileSync(file, configuration(setup));
    return { command: ["node", LAUNCHER, "run", "--config", file] };
  },
};

function configuration({ directory, port, adminPort, originPort, prefixes, accessLog }: Setup): string {
  const log = accessLog ? `{ format: combined, output: ${join(directory, "access.log")} }` : "off";
  const routes =
    prefixes.length === 0
      ? "  - to: origin\n"
      : `  - routes:\n${prefixes.map((prefix) => `      - { match: "${prefix}/*", to: origin }\n`).join("")}`;
  return `workers: 1
state: ${join(directory, "state")}
listeners:
  - { name: bench, address: "127.0.0.1:${port}", maxConnections: 15000 }
admin: { address: "127.0.0.1:${adminPort}" }
telemetry: { accessLog: ${log} }
upstreams: { origin: "127.0.0.1:${originPort}" }
sites:
${routes}`;
}
