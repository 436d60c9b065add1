/** The configuration of Lintel in the soak, and the two programs beside it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Ports {
  readonly listener: number;
  readonly admin: number;
  readonly origin: number;
  /** Nothing listens there. */
  readonly dead: number;
}

/** Times are short, so that each timeout fires often. */
export function writeConfiguration(
  directory: string,
  { listener, admin, origin, dead }: Ports,
  workers: number,
): string {
  const file = join(directory, "lintel.yaml");
  writeFileSync(
    file,
    `workers: ${workers}
listeners:
  - { name: soak, address: "127.0.0.1:${listener}" }
admin: { address: "127.0.0.1:${admin}" }
telemetry: { accessLog: { format: json, output: ${join(directory, "access.log")} } }
timeouts: { head: 3s, keepAlive: 5s, contentIdle: 4s }
upstreams:
  origin:
    endpoints: ["127.0.0.1:${origin}"]
    pool: { maxIdle: 32, idleTimeout: 2s }
    timeouts: { firstOctet: 2s, idle: 2s }
  dead: "127.0.0.1:${dead}"
  mixed:
    endpoints: ["127.0.0.1:${dead}", "127.0.0.1:${origin}"]
    pool: { maxIdle: 32, idleTimeout: 2s }
sites:
  - routes:
      - { name: dead, match: "/dead/*", to: dead }
      - { name: failover, match: "/failover/*", to: mixed }
      - { name: everything, to: origin }
`,
  );
  return file;
}

/**
 * Bundles a program for Node.js, the package `ws` included: Bun would put its own in the place of it.
 * @returns the file to run
 */
export async function bundle(program: string, directory: string): Promise<string> {
  const built = await Bun.build({
    entrypoints: [join(import.meta.dir, `${program}.ts`)],
    target: "node",
    format: "esm",
    outdir: directory,
    naming: "[name].mjs",
  });
  if (!built.success) throw new Error(`bundling ${program} failed: ${built.logs.join("\n")}`);
  return join(directory, `${program}.mjs`);
}
