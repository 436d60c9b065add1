import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { needs, program } from "../base/testing.ts";
import { catalog } from "../cli/catalog.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { loadConfig } from "../config/load.ts";
import { filesNeeded } from "./supervisor-limits.ts";

const SITES = [{ use: [{ respond: "ok" }] }];

async function configOf(tree: Record<string, unknown>): Promise<GatewayConfig> {
  const { config, diagnostics } = await loadConfig({ tree: { sites: SITES, ...tree }, origin: "test" }, catalog, {});
  expect(diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
  return config!;
}

const listener = (maxConnections: number) => ({ address: "127.0.0.1:0", maxConnections });
const endpoints = ["10.0.0.1:80", "10.0.0.2:80"];

describe("files that a worker may need", () => {
  test.each([
    [
      "one connection to an origin server for each of a client, and some to spare",
      { listeners: [listener(100)] },
      1,
      264,
    ],
    ["its share of the connections of all listeners", { listeners: [listener(100), listener(50)] }, 4, 140],
    [
      "connections of layer 4",
      { listeners: [listener(10)], tcp: [{ listen: "127.0.0.1:0", to: endpoints, maxConnections: 90 }] },
      1,
      264,
    ],
    [
      "one for each session of UDP",
      { listeners: [listener(10)], udp: [{ listen: "127.0.0.1:0", to: endpoints, maxSessions: 1000 }] },
      2,
      574,
    ],
    [
      "what pools keep, per endpoint, in every worker",
      { listeners: [listener(10)], upstreams: { app: { endpoints, pool: { maxIdle: 20 } } }, sites: [{ to: "app" }] },
      10,
      106,
    ],
  ] as const)("%s", async (_what, tree, workers, files) => {
    // Layer 4 upstreams have pools too; only the last row is about those.
    const config = await configOf(tree);
    const upstreams = "upstreams" in tree ? config.upstreams : [];
    expect(filesNeeded({ ...config, upstreams }, workers)).toBe(files);
  });
});

/** Lowers its own limit, raises it, and says what came of that. */
const RAISE = `
  import { raiseFileLimit } from "${import.meta.dir}/supervisor-limits.ts";
  const limit = async () => /^Max open files +(\\w+) +(\\w+)/m.exec(await Bun.file("/proc/self/limits").text()).slice(1).join(":");
  // The runtime raises the limit when it starts: ours is to be seen.
  Bun.spawnSync(["prlimit", "--pid", String(process.pid), "--nofile=" + process.argv.at(-1)]);
  const before = await limit();
  console.log(before, raiseFileLimit(), await limit());
`;

needs(program("prlimit")).test.each([
  ["200:400", "200:400 400 400:400"],
  ["300:300", "300:300 300 300:300"],
])("a limit of %s open files is raised as far as it goes", (limit, said) => {
  const { stdout, stderr } = Bun.spawnSync([process.execPath, "-e", RAISE, limit]);
  expect([stdout.toString().trim(), stderr.toString()]).toEqual([said, ""]);
});

/** The program under a prefix, until it listens. @returns what it said, and how many workers it had */
async function start(
  prefix: readonly string[],
  tree: Record<string, unknown>,
): Promise<{ said: string; workers: number }> {
  const directory = mkdtempSync(join(tmpdir(), "lintel-limits-"));
  const file = join(directory, "lintel.json");
  writeFileSync(file, JSON.stringify({ listeners: ["127.0.0.1:0"], admin: "off", sites: SITES, ...tree }));
  const child = Bun.spawn(
    [...prefix, process.execPath, join(import.meta.dir, "../cli/main.ts"), "run", "--config", file],
    { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, STATE_DIRECTORY: directory, NO_COLOR: "1" } },
  );
  try {
    let said = "";
    let workers = 0;
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) {
      said += decoder.decode(chunk, { stream: true });
      if (workers > 0 || !said.includes("listening on")) continue;
      workers = (await Bun.file(`/proc/${child.pid}/task/${child.pid}/children`).text()).trim().split(" ").length;
      child.kill();
    }
    return { said, workers };
  } finally {
    child.kill();
    await child.exited;
    rmSync(directory, { recursive: true });
  }
}

const limitedTo = (files: number) => ["sh", "-c", `ulimit -n ${files}; exec "$@"`, "sh"];

describe("at the start", () => {
  test("a limit of open files below what maxConnections may need is a warning with both numbers", async () => {
    const { said } = await start(limitedTo(200), { workers: 2, listeners: [listener(150)] });
    expect(said).toContain("the limit of 200 open files per process is below the 214 that maxConnections may need");
    expect(said).toContain("LimitNOFILE= in systemd");
  });

  test("one that is enough is not", async () => {
    const { said } = await start(limitedTo(214), { workers: 2, listeners: [listener(150)] });
    expect(said).toContain("listening on");
    expect(said).not.toContain("open files");
  });

  test("there is a worker for each core that the program may use", async () => {
    expect((await start([], {})).workers).toBe(availableParallelism());
  });

  needs(program("taskset")).test("there is one worker where it may use one core", async () => {
    const core = /^Cpus_allowed_list:\t(\d+)/m.exec(await Bun.file("/proc/self/status").text())![1]!;
    expect((await start(["taskset", "-c", core], {})).workers).toBe(1);
    expect((await start(["taskset", "-c", core], { workers: 3 })).workers).toBe(3);
  });
});
