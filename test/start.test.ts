/** `npm start` as a newcomer meets it: what it prints to try works as printed. */
import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needs, program } from "../src/base/testing.ts";
import { curlPath } from "./support/curl.ts";
import { descendants, isAlive } from "./support/gateway.ts";

needs(program("curl", curlPath)).test(
  "npm start serves, every line it says to try works, and Ctrl-C leaves nothing behind",
  async () => {
    const child = Bun.spawn(["node", join(import.meta.dir, "../scripts/start.mjs")], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
      env: { ...process.env, LISTEN: "127.0.0.1:0", ADMIN: "127.0.0.1:0" },
    });
    let said = "";
    void (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of child.stdout) said += decoder.decode(chunk);
    })();
    for (let i = 0; i < 400 && !said.includes("Ctrl-C ends it all"); i++) await Bun.sleep(50);
    const lines = said.split("\n").filter((line) => /^ {2}(curl|npx) /.test(line));
    expect(lines.filter((line) => line.includes("curl")).length).toBeGreaterThan(6);
    expect(lines.filter((line) => line.includes("npx lintel")).length).toBe(1);
    // npx may not ask the registry, nor remember anything of this machine.
    const cache = mkdtempSync(join(tmpdir(), "lintel-start-"));
    const env = { ...process.env, npm_config_offline: "true", npm_config_cache: cache, npm_config_loglevel: "silent" };

    for (const line of lines) {
      const run = Bun.spawnSync(["sh", "-c", `${line.replace("curl ", "curl -sSf ")}`], {
        cwd: join(import.meta.dir, ".."),
        env,
        stdout: "pipe",
        stderr: "pipe",
      });
      expect({ line, exitCode: run.exitCode, error: run.stderr.toString() }).toEqual({ line, exitCode: 0, error: "" });
      expect(run.stdout.length).toBeGreaterThan(0);
      if (/curl.*two/.test(line)) expect(run.stdout.toString()).toContain('"origin": "two"');
      if (line.includes("-r 0-4")) expect(run.stdout.toString()).toBe("abcde");
      if (line.includes("npx")) expect(run.stdout.toString()).toMatch(/upstream +two/);
    }
    rmSync(cache, { recursive: true });

    const processes = [child.pid, ...descendants(child.pid)];
    expect(processes.length).toBeGreaterThan(3);
    child.kill("SIGINT");
    expect(await child.exited).toBe(0);
    expect(processes.filter(isAlive)).toEqual([]);
  },
  60_000,
);
