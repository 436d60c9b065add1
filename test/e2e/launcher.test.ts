/** What stands above the program: `node bin/lintel.mjs`. */
import { expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Gateway, isAlive } from "../support/gateway.ts";
import { until } from "../support/until.ts";

const PASS = join(import.meta.dir, "../../bin/pass-signals.mjs");

/** A launcher whose child listens late, and says what it hears. @returns what was printed, and the child's end */
async function pass(waits: boolean, ...signals: NodeJS.Signals[]): Promise<string> {
  const child = `setTimeout(() => {
    for (const name of ["SIGHUP", "SIGUSR2", "SIGTERM"]) process.on(name, () => {
      console.log("heard", name);
      if (name === ${JSON.stringify(signals.at(-1))}) process.exit(0);
    });
    setInterval(() => {}, 1000);
  }, 300);`;
  const launcher = `
    import { spawn } from "node:child_process";
    const { passSignals } = await import(${JSON.stringify(PASS)});
    const passTo = passSignals(${waits});
    const child = spawn(${JSON.stringify(process.execPath)}, ["-e", ${JSON.stringify(child)}], { stdio: "inherit" });
    passTo(child);
    child.on("exit", (code, signal) => { console.log(code ?? signal); process.exit(0); });
    for (const name of ${JSON.stringify(signals)}) process.kill(process.pid, name);
    setInterval(() => {}, 1000);`;
  const { stdout } = Bun.spawnSync(["node", "--input-type=module", "-e", launcher]);
  return stdout.toString().trim().replaceAll("\n", " ");
}

test("signals wait until the program listens, where it is going to", async () => {
  expect(await pass(true, "SIGHUP")).toBe("heard SIGHUP 0");
  expect(await pass(true, "SIGUSR2")).toBe("heard SIGUSR2 0");
  expect(await pass(true, "SIGTERM")).toBe("heard SIGTERM 0");
  expect(await pass(false, "SIGTERM")).toBe("SIGTERM");
}, 60_000);

const SITES = [{ use: [{ respond: "here" }] }];

test.each(["SIGHUP", "SIGUSR1", "SIGUSR2"] as const)(
  "%s to a launcher that has just been started does not keep the program from serving",
  async (signal) => {
    const gateway = Gateway.launch({ sites: SITES });
    await until(() => listens(gateway.pid), "the launcher listens");
    gateway.signal(signal);
    await gateway.says("admin on", 30_000);
    expect(await (await fetch(gateway.url())).text()).toBe("here");
    await gateway.stop();
  },
  90_000,
);

test("SIGTERM to a launcher that has just been started is a stop in order", async () => {
  const gateway = Gateway.launch({ sites: SITES });
  await until(() => listens(gateway.pid), "the launcher listens");
  gateway.signal("SIGTERM");
  expect(await gateway.exited(30_000)).toBe(0);
  rmSync(gateway.directory, { recursive: true, force: true });
}, 60_000);

test.each([0, 1])(
  "a launcher that is killed takes everything with it, after %i upgrades",
  async (upgrades) => {
    const gateway = await Gateway.start({ workers: 2, sites: SITES });
    for (let i = 0; i < upgrades; i++) {
      gateway.signal("SIGUSR2");
      await gateway.says("the old workers have finished", 30_000);
    }
    const { processes } = gateway;
    expect(processes).toHaveLength(4);
    gateway.signal("SIGKILL");
    await until(() => !processes.some(isAlive), "every process ends", 30_000);
    expect(gateway.output).toContain("the launcher is gone: finishing what is in flight");
    gateway.kill(processes);
    rmSync(gateway.directory, { recursive: true, force: true });
  },
  120_000,
);

/** To SIGUSR2, the last it begins with; Node itself listens to others for a moment. */
function listens(pid: number): boolean {
  const bits = /SigCgt:\s*(\w+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1];
  return ((BigInt(`0x${bits}`) >> 11n) & 1n) === 1n;
}
