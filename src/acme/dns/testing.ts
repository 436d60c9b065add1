/** For tests of dns-01: a real primary server (Debian's knot) that takes signed updates. */

import { Resolver } from "node:dns/promises";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../../test/support/until.ts";
import { findProgram } from "../../base/testing.ts";
import { freePort } from "../testing.ts";
import type { TsigKey } from "./update-message.ts";

export const knotPath = findProgram("knotd");

/** Zones `example.test` and `challenges.test`. */
export class Knot {
  readonly key: TsigKey;
  readonly address: string;
  readonly #directory: string;
  readonly #child: Bun.Subprocess;

  private constructor(key: TsigKey, address: string, directory: string, child: Bun.Subprocess) {
    this.key = key;
    this.address = address;
    this.#directory = directory;
    this.#child = child;
  }

  static async start(algorithm: TsigKey["algorithm"] = "hmac-sha256"): Promise<Knot> {
    const directory = mkdtempSync(join(tmpdir(), "lintel-knot-"));
    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    const key = {
      name: "lintel",
      algorithm,
      secret: Buffer.from("a key of thirty-two octets or so").toString("base64"),
    };
    const zones = ["example.test", "challenges.test"];
    for (const zone of zones) {
      const lines = [
        `$ORIGIN ${zone}.`,
        "@ 60 IN SOA ns hostmaster 1 3600 600 86400 1",
        "@ 60 IN NS ns",
        "ns 60 IN A 127.0.0.1",
        "* 60 IN A 127.0.0.1",
        "@ 60 IN A 127.0.0.1",
        ...(zone === "example.test" ? ["_acme-challenge.alias 60 IN CNAME there.challenges.test."] : []),
      ];
      writeFileSync(join(directory, `${zone}.zone`), `${lines.join("\n")}\n`);
    }
    const config = `
server: { rundir: "${directory}", listen: 127.0.0.1@${port} }
log: [ { target: stderr, any: warning } ]
database: { storage: "${directory}" }
key: [ { id: ${key.name}, algorithm: ${algorithm}, secret: ${key.secret} } ]
acl: [ { id: updates, key: ${key.name}, action: update } ]
template: [ { id: default, storage: "${directory}", file: "%s.zone", zonefile-sync: -1, journal-content: none } ]
zone:
${zones.map((zone) => `  - domain: ${zone}\n    acl: updates`).join("\n")}
`;
    // Knot's YAML knows no flow maps.
    writeFileSync(join(directory, "knot.conf"), blockStyle(config));
    const child = Bun.spawn([knotPath!, "-c", join(directory, "knot.conf")], { stdio: ["ignore", "ignore", "pipe"] });
    let output = "";
    void (async () => {
      for await (const piece of child.stderr) output += Buffer.from(piece).toString();
    })();
    const knot = new Knot(key, address, directory, child);
    await until(
      async () => (await knot.lookUp("A", "ns.challenges.test")).length > 0,
      () => `knotd: ${output}`,
    );
    return knot;
  }

  /** Values of the records it has now. */
  async lookUp(type: "A" | "TXT", name: string): Promise<string[]> {
    const resolver = new Resolver({ timeout: 1000, tries: 1 });
    resolver.setServers([this.address]);
    if (type === "A") return resolver.resolve4(name).catch(() => []);
    return (await resolver.resolveTxt(name).catch(() => [])).map((pieces) => pieces.join(""));
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function blockStyle(text: string): string {
  return text.replace(
    /^(\w+): (\[ )?\{ (.*) \}( \])?$/gm,
    (_all, section: string, list: string | undefined, pairs: string) => {
      const lines = pairs.split(", ").map((pair, i) => `${list !== undefined && i === 0 ? "  - " : "    "}${pair}`);
      return `${section}:\n${lines.join("\n")}`;
    },
  );
}
