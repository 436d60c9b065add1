/** The configuration of Lintel in the soak, and the two programs beside it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Authority } from "../../src/tls/testing.ts";
import { HOST } from "./http2-sessions.ts";

export interface Ports {
  readonly listener: number;
  /** The same with TLS. */
  readonly secure: number;
  readonly admin: number;
  readonly origin: number;
  /** Nothing listens there. */
  readonly dead: number;
}

/** Certificate of the authority that clients trust. */
export const authorityFile = (directory: string): string => join(directory, "authority.pem");

/** Times are short, so that each timeout fires often. */
export function writeConfiguration(
  directory: string,
  { listener, secure, admin, origin, dead }: Ports,
  workers: number,
): string {
  const authority = new Authority();
  const { cert, key } = authority.issue([HOST]);
  writeFileSync(authorityFile(directory), authority.cert);
  writeFileSync(join(directory, "cert.pem"), cert);
  writeFileSync(join(directory, "key.pem"), key);
  const file = join(directory, "lintel.yaml");
  writeFileSync(
    file,
    `workers: ${workers}
listeners:
  - { name: soak, address: "127.0.0.1:${listener}" }
  - { name: secure, address: "127.0.0.1:${secure}", tls: true }
tls:
  redirect: false
  certificates: { cert: "${join(directory, "cert.pem")}", key: "${join(directory, "key.pem")}" }
admin: { address: "127.0.0.1:${admin}" }
telemetry: { accessLog: { format: json, output: ${join(directory, "access.log")} } }
timeouts: { head: 5s, keepAlive: 5s, contentIdle: 4s }
upstreams:
  origin:
    endpoints: ["127.0.0.1:${origin}"]
    pool: { maxIdle: 32, idleTimeout: 2s }
    timeouts: { firstOctet: 4s, idle: 4s }
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
