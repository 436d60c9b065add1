/** Pages about what runs: each `sh` example works, in the order of the page, with the page's first config. */
import { expect } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { needs, program } from "../src/base/testing.ts";
import { curlPath } from "./support/curl.ts";
import { Gateway } from "./support/gateway.ts";

const root = join(import.meta.dir, "..");

const blocks = (page: string, language: string): string[] => {
  const text = readFileSync(join(root, page), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map(([, block]) => block!);
};

needs(program("curl", curlPath)).test.each(["docs/operating.md", "docs/admin-api.md"])(
  "what %s tells to do works",
  async (page) => {
    const config = blocks(page, "yaml")[0]!
      .replace("state: /var/lib/lintel", "state: ./state")
      .replace(/^admin: .*/m, (line) => line.replace("127.0.0.1:2020", "127.0.0.1:0"));
    const here = config.includes("admin:") ? config : `admin: { address: "127.0.0.1:0" }\n${config}`;
    await using gateway = await Gateway.start(`listeners: ["127.0.0.1:0"]\n${here}`);
    const bin = join(gateway.directory, "bin");
    mkdirSync(bin);
    writeFileSync(
      join(bin, "lintel"),
      `#!/bin/sh\nexec "${process.execPath}" "${join(root, "src/cli/main.ts")}" "$@"\n`,
    );
    chmodSync(join(bin, "lintel"), 0o755);
    const script = blocks(page, "sh")
      .join("\n")
      .replaceAll("/var/lib/lintel", join(gateway.directory, "state"))
      .replaceAll("http://127.0.0.1:2020", gateway.adminUrl);
    const child = Bun.spawn(["sh", "-e", "-x", "-c", script], {
      cwd: gateway.directory,
      env: { ...process.env, PATH: `${bin}:${dirname(curlPath!)}:${process.env["PATH"]}`, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [out, error, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect({ code, failed: code === 0 ? "" : `${error.slice(-500)}\n${out.slice(-500)}` }).toEqual({
      code: 0,
      failed: "",
    });
  },
  60_000,
);
