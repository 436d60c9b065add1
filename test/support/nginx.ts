/** A real nginx as origin server, in the foreground, with a config of its own. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "../../src/base/testing.ts";
import { closedPort } from "./origin.ts";

export const nginxPath = findProgram("nginx");

export class Nginx {
  readonly #child: Bun.Subprocess;

  private constructor(
    child: Bun.Subprocess,
    readonly port: number,
    readonly directory: string,
  ) {
    this.#child = child;
  }

  /**
   * @param server directives within `server { }`
   * @param files  what lies in its root, by name
   */
  static async start(server: string, files: Readonly<Record<string, string | Uint8Array>> = {}): Promise<Nginx> {
    const directory = mkdtempSync(join(tmpdir(), "lintel-nginx-"));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    const port = await closedPort();
    const config = join(directory, "nginx.conf");
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (name) => `${name}_temp_path ${directory}/${name};`,
    );
    writeFileSync(
      config,
      `daemon off; worker_processes 1; pid ${directory}/nginx.pid; error_log ${directory}/error.log;
${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections 512; }
http { ${paths.join(" ")} access_log off; default_type text/plain; root ${directory};
server { listen 127.0.0.1:${port}; ${server} } }\n`,
    );
    const child = Bun.spawn([nginxPath!, "-p", directory, "-c", config, "-e", join(directory, "error.log")], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const nginx = new Nginx(child, port, directory);
    for (let tries = 0; tries < 200; tries++) {
      if (
        await fetch(`http://127.0.0.1:${port}/`).then(
          () => true,
          () => false,
        )
      )
        return nginx;
      await Bun.sleep(20);
    }
    await nginx.stop();
    throw new Error("nginx did not start");
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.exited;
    rmSync(this.directory, { recursive: true, force: true });
  }
}
