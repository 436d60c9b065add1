import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { createLog } from "../../base/log.ts";
import type { CheckConfig } from "../../config/gateway-config.ts";
import { privateMemory, Status } from "../endpoint-state.ts";
import { stateIn } from "../testing.ts";
import { HealthChecker, type HealthTarget } from "./checker.ts";
import type { Check, CheckTarget } from "./checks/check.ts";
import { http } from "./checks/http.ts";
import { tcp } from "./checks/tcp.ts";
import { freePort, says, testEndpoint } from "./checks/testing.ts";

const CONFIG: CheckConfig = {
  kind: { name: "tcp", options: {} },
  every: 20,
  timeout: 1000,
  rise: 2,
  fall: 3,
  initial: "unknown",
  port: null,
};

const checkers: HealthChecker[] = [];
afterEach(() => {
  for (const checker of checkers.splice(0)) checker.stop();
});

function checker(check: Check, config: Partial<CheckConfig> = {}, slowStartMs = 0) {
  const lines: string[] = [];
  const log = createLog({ level: "info", format: "text", write: (line) => lines.push(line.slice(25).trim()) });
  const made = new HealthChecker({ config: { ...CONFIG, ...config }, check, slowStartMs, log });
  checkers.push(made);
  return { made, lines };
}

/** A check whose answers a test decides, and that counts what it is asked. */
class Scripted implements Check {
  readonly asked: CheckTarget[] = [];
  running = 0;
  mostRunning = 0;
  /** By address; null: passes. */
  readonly reasons = new Map<string, string | null>();
  /** Answers wait for this. */
  gate: Promise<void> | null = null;

  async run(target: CheckTarget): Promise<string | null> {
    this.asked.push(target);
    this.running++;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    await (this.gate ?? Bun.sleep(1));
    this.running--;
    return this.reasons.get(target.address) ?? null;
  }

  times(address: string): number {
    return this.asked.filter((target) => target.address === address).length;
  }
}

function targets(count: number): HealthTarget[] {
  const memory = privateMemory(count);
  return Array.from({ length: count }, (_, i) => ({ address: `10.0.0.${i}:80`, state: stateIn(memory, i) }));
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    if (tries > 3000) throw new Error(`never came: ${what}`);
    await Bun.sleep(5);
  }
}

describe("an endpoint", () => {
  test("goes down after `fall` failures and up after `rise` passes, told once each with the reason", async () => {
    const check = new Scripted();
    const [target] = targets(1) as [HealthTarget];
    const { made, lines } = checker(check);
    made.update([target]);
    await until("a first pass", () => made.view(target.address)?.up === true);
    check.reasons.set(target.address, "answered 503, wanted 2xx");
    await until("down", () => target.state.status === Status.down);
    expect(made.view(target.address)).toMatchObject({ passed: false, reason: "answered 503, wanted 2xx", up: false });
    check.reasons.clear();
    await until("up", () => target.state.status === 0);
    expect(lines).toEqual([
      `warn  an endpoint is down endpoint=${target.address} reason="answered 503, wanted 2xx"`,
      expect.stringMatching(/^info {2}an endpoint is up endpoint=10\.0\.0\.0:80 after=".* ms"$/),
    ]);
    expect(made.view(target.address)).toMatchObject({ passed: true, reason: null, up: true });
  });

  test("that is new is believed by its first result", async () => {
    const check = new Scripted();
    const [bad, good] = targets(2) as [HealthTarget, HealthTarget];
    check.reasons.set(bad.address, "connect failed: ECONNREFUSED");
    const { made, lines } = checker(check, { every: 60_000 });
    made.update([bad, good]);
    expect([bad.state.status, good.state.status]).toEqual([0, 0]);
    await until("both results", () => made.view(bad.address) !== null && made.view(good.address) !== null);
    expect([bad.state.status, good.state.status]).toEqual([Status.down, 0]);
    expect([check.times(bad.address), check.times(good.address)]).toEqual([1, 1]);
    expect(lines).toHaveLength(1);
  });

  test("starts slowly when it comes up", async () => {
    const check = new Scripted();
    const [target] = targets(1) as [HealthTarget];
    const { made, lines } = checker(check, { initial: "down" }, 30_000);
    made.update([target]);
    expect(target.state.status).toBe(Status.unchecked);
    await until("up", () => target.state.status === 0);
    expect(target.state.rampSince).toBeGreaterThan(0);
    expect(check.times(target.address)).toBe(2);
    expect(lines).toHaveLength(1);
  });

  test("is asked at the other port by its own name", async () => {
    const check = new Scripted();
    const memory = privateMemory(3);
    const addresses = ["10.0.0.1:80", "[2001:db8::1]:80", "unix:/run/app.sock"];
    checker(check, { port: 9000 }).made.update(addresses.map((address, i) => ({ address, state: stateIn(memory, i) })));
    await until("all asked", () => addresses.every((_, i) => check.asked[i] !== undefined));
    expect(check.asked.slice(0, 3)).toEqual([
      { address: "10.0.0.1:9000", host: "10.0.0.1:80" },
      { address: "[2001:db8::1]:9000", host: "[2001:db8::1]:80" },
      { address: "unix:/run/app.sock", host: "localhost" },
    ]);
  });
});

describe("the set of endpoints", () => {
  test("those that stay keep their counts; those that go are asked no more", async () => {
    const check = new Scripted();
    const [stays, goes, comes] = targets(3) as [HealthTarget, HealthTarget, HealthTarget];
    const { made } = checker(check, { fall: 1_000_000, initial: "up" });
    for (const { address } of [stays, goes]) check.reasons.set(address, "no");
    made.update([stays, goes]);
    await until("some results", () => check.times(stays.address) > 2 && check.times(goes.address) > 2);
    const { since } = made.view(stays.address)!;
    made.update([stays, comes]);
    expect(made.view(stays.address)!.since).toBe(since);
    expect([made.view(goes.address), made.view(comes.address)]).toEqual([null, null]);
    const before = check.times(goes.address);
    await until("the new one's results", () => check.times(comes.address) > 3);
    expect(check.times(goes.address)).toBe(before);
  });

  test("a failure before an update and those after it are in a row", async () => {
    const check = new Scripted();
    const [target] = targets(1) as [HealthTarget];
    const { made } = checker(check, { initial: "up", fall: 5 });
    check.reasons.set(target.address, "no");
    made.update([target]);
    await until("down", () => {
      made.update([target]);
      return target.state.status === Status.down;
    });
    expect(check.times(target.address)).toBe(5);
  });

  test("nothing is asked or marked after stop, not even by a check that was under way", async () => {
    const check = new Scripted();
    let open = () => {};
    check.gate = new Promise((resolve) => {
      open = resolve;
    });
    const [target] = targets(1) as [HealthTarget];
    check.reasons.set(target.address, "no");
    const { made } = checker(check);
    made.update([target]);
    await until("asked", () => check.running === 1);
    made.stop();
    open();
    await Bun.sleep(60);
    expect([target.state.status, check.asked.length]).toEqual([0, 1]);
  });
});

describe("many endpoints", () => {
  test("are not asked in one instant, and all soon", async () => {
    const check = new Scripted();
    const all = targets(200);
    const { made } = checker(check, { every: 60_000 });
    const timers = spyOn(globalThis, "setTimeout");
    made.update(all);
    const delays = timers.mock.calls.map(([, ms]) => ms ?? 0);
    timers.mockRestore();
    expect(new Set(delays).size).toBeGreaterThanOrEqual(200);
    expect(Math.max(...delays)).toBeLessThan(2000);
    await until("all verdicts", () => all.every(({ address }) => made.view(address)?.up === true));
    expect(check.asked).toHaveLength(200);
  });

  test("no more than 64 at a time, while that is enough for the interval", async () => {
    const check = new Scripted();
    let open = () => {};
    check.gate = new Promise((resolve) => {
      open = resolve;
    });
    const all = targets(300);
    const { made } = checker(check, { every: 10_000 });
    made.update(all);
    await until("as many as may run", () => check.running === 64);
    await Bun.sleep(50);
    expect(check.asked).toHaveLength(64);
    open();
    check.gate = null;
    await until("all verdicts", () => all.every(({ address }) => made.view(address)?.up === true));
    expect(check.mostRunning).toBe(64);
  });
});

describe("with real sockets", () => {
  test("an endpoint that begins to answer 503 goes down, and comes back", async () => {
    let status = "200 OK";
    const endpoint = await testEndpoint((socket) => says(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`)(socket));
    const state = stateIn(privateMemory());
    const { made, lines } = checker(http.create(http.options.parse({})));
    made.update([{ address: endpoint.address, state }]);
    await until("up", () => made.view(endpoint.address)?.up === true);
    status = "503 Busy";
    await until("down", () => state.status === Status.down);
    expect(lines[0]).toContain("answered 503, wanted 2xx or 3xx");
    status = "204 No Content";
    await until("up again", () => state.status === 0);
    made.stop();
    await endpoint.quiet();
  });

  test("a port where nobody listens is down, and the endpoint's own is not asked", async () => {
    const endpoint = await testEndpoint(() => {}, { onConnect: true });
    const state = stateIn(privateMemory());
    const port = await freePort();
    const { made } = checker(tcp.create({}), { port });
    made.update([{ address: endpoint.address, state }]);
    await until("down", () => state.status === Status.down);
    expect(made.view(endpoint.address)!.reason).toBe("connect failed: ECONNREFUSED");
  });

  test("a process that was busy for longer than the timeout does not blame its endpoints", async () => {
    // In a process of its own: it answers while this one is busy.
    const code = `
      const server = require("node:net").createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", () => setTimeout(() => socket.end("HTTP/1.1 204 No Content\\r\\n\\r\\n"), 20));
      });
      server.listen(0, "127.0.0.1", () => console.log(server.address().port));`;
    const origin = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe" });
    try {
      const { value } = await origin.stdout.getReader().read();
      const address = `127.0.0.1:${Number(new TextDecoder().decode(value))}`;
      const state = stateIn(privateMemory());
      const real = http.create(http.options.parse({}));
      let runs = 0;
      const check: Check = {
        run(target, timeoutMs) {
          const result = real.run(target, timeoutMs);
          runs++;
          // While it connects; its deadline is over when this process looks again.
          if (runs === 3 || runs === 4) Bun.sleepSync(1300);
          return result;
        },
      };
      const { made, lines } = checker(check, { timeout: 1000, fall: 1 });
      made.update([{ address, state }]);
      await until("more results", () => runs > 6);
      expect(lines).toEqual([]);
      expect(made.view(address)).toMatchObject({ passed: true, up: true });
    } finally {
      origin.kill();
      await origin.exited;
    }
  });
});
