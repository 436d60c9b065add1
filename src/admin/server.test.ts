import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import type { Admin } from "../server/supervisor.ts";
import type { WorkerState } from "../server/worker-slot.ts";
import { startAdmin } from "./server.ts";
import { fakeControl } from "./testing.ts";

const control = (states: WorkerState[]) =>
  fakeControl({ workers: () => states.map((state, slot) => ({ slot, pid: 100 + slot, state, restarts: 0 })) });

const admins: Admin[] = [];
afterEach(() => {
  for (const admin of admins.splice(0)) admin.stop();
});

function start(address: string, states: WorkerState[] = ["ready", "ready"]): string {
  const admin = startAdmin({ address, token: null }, control(states));
  admins.push(admin);
  return admin.url;
}

describe("the admin listener", () => {
  test("serves metrics in Prometheus' text format", async () => {
    const response = await fetch(`${start("127.0.0.1:0")}metrics`);
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await response.text()).toBe("lintel_workers 2\n");
  });

  test.each([
    [["ready", "ready"], 200, "up"],
    [["ready", "waiting"], 503, "degraded"],
    [["starting", "ended"], 503, "down"],
  ] as [WorkerState[], number, string][])("health with workers %j is %i %s", async (states, status, word) => {
    const response = await fetch(`${start("127.0.0.1:0", states)}health`);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({
      status: word,
      version: "1.2.3",
      workers: [{ slot: 0 }, { slot: 1 }],
    });
  });

  test("has an index, and says so where there is nothing", async () => {
    const url = start("127.0.0.1:0");
    expect(await (await fetch(url)).text()).toContain("web        http://0.0.0.0:80");
    const missing = await fetch(`${url}nothing`);
    expect([missing.status, await missing.text()]).toEqual([404, expect.stringContaining("/metrics")]);
  });

  test("only reads", async () => {
    const response = await fetch(`${start("127.0.0.1:0")}metrics`, { method: "POST", body: "x" });
    expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });

  test.each(["evil.example", "evil.example:2020", "127.0.0.1.evil.example", "localhost.evil.example", "[::2]"])(
    "on loopback it does not answer for %s (DNS rebinding)",
    async (host) => {
      expect((await fetch(start("127.0.0.1:0"), { headers: { host } })).status).toBe(421);
    },
  );

  test.each(["localhost", "LOCALHOST:2020", "127.0.0.1:2020", "127.1.2.3", "[::1]:2020"])(
    "on loopback it answers for %s",
    async (host) => {
      expect((await fetch(start("127.0.0.1:0"), { headers: { host } })).status).toBe(200);
    },
  );

  test("on another address it answers for any name, as a scrape by service name needs", async () => {
    const { port } = new URL(start("0.0.0.0:0"));
    const response = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { host: "lintel.internal:2020" } });
    expect(response.status).toBe(200);
  });

  test("listens on a unix socket that is for its user alone, and takes it away at the end", async () => {
    const folder = mkdtempSync(`${tmpdir()}/lintel-admin-`);
    const path = `${folder}/admin.sock`;
    start(`unix:${path}`);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const response = await fetch("http://localhost/health", { unix: path });
    expect(response.status).toBe(200);
    admins.pop()!.stop();
    expect(existsSync(path)).toBe(false);
    rmSync(folder, { recursive: true });
  });

  test("a socket file whose owner has gone is taken over, one that is served is not", async () => {
    const folder = mkdtempSync(`${tmpdir()}/lintel-admin-`);
    const path = `${folder}/admin.sock`;
    const child = Bun.spawn([
      process.execPath,
      "-e",
      `Bun.listen({ unix: "${path}", socket: { data() {} } }); console.log("up")`,
    ]);
    for await (const _ of child.stdout) break;
    expect(() => start(`unix:${path}`)).toThrow("another process already does");
    child.kill("SIGKILL");
    await child.exited;
    start(`unix:${path}`);
    expect((await fetch("http://localhost/health", { unix: path })).status).toBe(200);
    rmSync(folder, { recursive: true });
  });

  test("on a port that is taken says so", () => {
    const { port } = new URL(start("127.0.0.1:0"));
    expect(() => start(`127.0.0.1:${port}`)).toThrow(`admin cannot listen on 127.0.0.1:${port}`);
  });
});
