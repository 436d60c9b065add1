/**
 * Lintel with one worker, as `lintel run` starts it: launcher, supervisor and worker all count.
 * Everything a default install has on is on: metrics, forwarded fields, limits, timeouts.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Certificate, type Contender, GROUP, isTls, type Setup } from "./contender.ts";

const PROJECT = resolve(import.meta.dir, "../..");
export const LAUNCHER = join(PROJECT, "bin/lintel.mjs");

export const lintel: Contender = {
  name: "lintel",
  tuned: false,
  compiles: true,
  protocols: ["http", "https", "h2", "h3", "websocket", "tcp"],
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

function configuration(setup: Setup): string {
  const { protocol, certificate, directory, port, adminPort, originPort, prefixes, accessLog } = setup;
  const log = accessLog ? `{ format: combined, output: ${join(directory, "access.log")} }` : "off";
  const routes =
    prefixes.length === 0
      ? "  - to: origin\n"
      : `  - routes:\n${prefixes.map((prefix) => `      - { match: "${prefix}/*", to: origin }\n`).join("")}`;
  const secure = isTls(protocol) ? `, tls: ${ONE_WAY}${protocol === "h3" ? ", http3: true" : ""}` : "";
  const listeners = `listeners:
  - { name: bench, address: "127.0.0.1:${port}", maxConnections: 15000${secure} }
`;
  const relay = `tcp: [{ name: bench, listen: "127.0.0.1:${port}", maxConnections: 15000, to: origin }]
`;
  return `workers: 1
state: ${join(directory, "state")}
${protocol === "tcp" ? relay : listeners}${secure === "" ? "" : tls(certificate)}admin: { address: "127.0.0.1:${adminPort}" }
telemetry: { accessLog: ${log} }
upstreams: { origin: "127.0.0.1:${originPort}" }
${protocol === "tcp" ? "" : `sites:\n${routes}`}`;
}

const tls = ({ cert, key }: Certificate) => `tls:
  certificates: { cert: "${cert}", key: "${key}" }
`;

/** The cipher needs no word: the runtime prefers the one that the others are told to take. */
const ONE_WAY = `{ profile: custom, custom: { minVersion: "1.3", groups: [${GROUP}] } }`;
