/** Another program in the same process: the one on the disk takes over from the one that runs. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needs, ROOT } from "../../src/base/testing.ts";
import { freePortBelow1024 } from "../../src/net/testing.ts";
import { Gateway, isAlive } from "../support/gateway.ts";
import { Load } from "../support/load.ts";
import { get, RawClient } from "../support/raw.ts";
import { until } from "../support/until.ts";

/** How late something is says nothing: other things may run on this machine. */
const PATIENCE_MS = 60_000;
setDefaultTimeout(3 * PATIENCE_MS);

const PROJECT = join(import.meta.dir, "../..");

/** Requests for "/held" that wait for the test. */
const holding: (() => void)[] = [];
const origin = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 0,
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/slow") await Bun.sleep(700);
    if (pathname === "/held") {
      await new Promise<void>((resolve) => holding.push(resolve));
      return new Response("held");
    }
    return new Response("from origin");
  },
});
afterAll(() => origin.stop(true));

const config = (name: string, more: Record<string, unknown> = {}) => ({
  workers: 2,
  listeners: [{ name: "main", address: "127.0.0.1:0" }],
  telemetry: { accessLog: "off" },
  admin: { address: "127.0.0.1:0", token: "upgrade-test" },
  sites: [{ use: [{ headers: { response: { set: { "x-config": name } } } }], to: `127.0.0.1:${origin.port}` }],
  ...more,
});

/** A request that has reached the origin server, and is answered once it may finish. */
async function holdRequest(port: number): Promise<{ finish(): Promise<string> }> {
  const client = await RawClient.connect(port);
  void client.send(get("/held"));
  await until(() => holding.length > 0, "the request to reach the origin server");
  const release = holding.pop()!;
  const finish = async () => {
    release();
    const { text } = await client.response();
    client.destroy();
    return text;
  };
  return { finish };
}

const supervisorOf = ({ pid }: Gateway): number =>
  Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ")[0]);

const write = ({ directory }: Gateway, next: unknown): void =>
  writeFileSync(join(directory, "lintel.json"), typeof next === "string" ? next : JSON.stringify(next));

const upgrades = ({ output }: Gateway): number => output.split("new workers serve").length - 1;

/** SIGUSR2, until new workers serve and the old ones have ended. */
async function upgrade(gateway: Gateway): Promise<void> {
  const old = gateway.workers;
  const before = upgrades(gateway);
  gateway.signal("SIGUSR2");
  // What is told by then, such as where the admin listener is now, has been read as well.
  await until(
    () => upgrades(gateway) > before,
    () => `new workers serve:\n${gateway.output}`,
    PATIENCE_MS,
  );
  const isDone = () => gateway.workers.every((pid) => !old.includes(pid)) && gateway.workers.length === old.length;
  await until(isDone, () => `the old workers end:\n${gateway.output}`, PATIENCE_MS);
}

async function inForce(gateway: Gateway): Promise<string> {
  const names = new Set<string | null>();
  for (let i = 0; i < 12; i++) {
    const response = await fetch(gateway.url(), { headers: { connection: "close" }, keepalive: false });
    names.add(response.headers.get("x-config"));
  }
  return [...names].join(" ");
}

describe("SIGUSR2", () => {
  test("replaces the program: same process id, same port, the config as it is now", async () => {
    await using gateway = await Gateway.start(config("one"));
    const supervisor = supervisorOf(gateway);
    write(gateway, config("two", { workers: 2, limits: { fields: 50 } }));
    await upgrade(gateway);
    expect(supervisorOf(gateway)).toBe(supervisor);
    expect(await inForce(gateway)).toBe("two");
    await gateway.says("new workers serve", PATIENCE_MS);
    await gateway.says("the old workers have finished", PATIENCE_MS);
  });

  test("under load fails no request, on new, kept and slow connections, three times over", async () => {
    await using gateway = await Gateway.start(config("one"));
    const quick = new Load(gateway.port, "/", { clients: 6, pauseMs: 3 });
    const slow = new Load(gateway.port, "/slow", { clients: 3 });
    for (let i = 0; i < 3; i++) {
      await upgrade(gateway);
      await quick.more(20);
    }
    await Promise.all([quick.stop(), slow.stop()]);
    expect([...quick.failures, ...slow.failures]).toEqual([]);
    expect(quick.answers.length).toBeGreaterThan(100);
  });

  test("a kept connection gets Connection: close with its next response, late as that may be", async () => {
    await using gateway = await Gateway.start(config("one"));
    using client = await RawClient.connect(gateway.port);
    await client.send(get("/"));
    expect((await client.response()).field("connection")).not.toBe("close");
    gateway.signal("SIGUSR2");
    await gateway.says("new workers serve", PATIENCE_MS);
    // Idle ones are closed after five seconds.
    await Bun.sleep(500);
    await client.send(get("/"));
    const response = await client.response();
    expect([response.status, response.field("connection")]).toEqual([200, "close"]);
  });

  test("with another number of workers, and listeners that come and go", async () => {
    await using gateway = await Gateway.start(config("one"));
    const gone = join(gateway.directory, "gone.sock");
    write(
      gateway,
      config("two", {
        workers: 3,
        listeners: [
          { name: "main", address: "127.0.0.1:0" },
          { name: "x", address: `unix:${gone}` },
        ],
      }),
    );
    const old = gateway.workers;
    gateway.signal("SIGUSR2");
    await until(() => !old.some(isAlive) && gateway.workers.length === 3, "three workers", PATIENCE_MS);
    using client = await RawClient.connect({ path: gone });
    await client.send(get("/"));
    expect((await client.response()).status).toBe(200);
    client.destroy();
    write(gateway, config("three", { workers: 1 }));
    const three = gateway.workers;
    gateway.signal("SIGUSR2");
    await until(() => !three.some(isAlive) && gateway.workers.length === 1, "one worker", PATIENCE_MS);
    expect(await inForce(gateway)).toBe("three");
    expect(
      await RawClient.connect({ path: gone }).then(
        () => "connected",
        () => "refused",
      ),
    ).toBe("refused");
  });

  test("twice in a row is one after the other", async () => {
    await using gateway = await Gateway.start(config("one"));
    const load = new Load(gateway.port, "/", { clients: 4, pauseMs: 5 });
    const old = gateway.workers;
    gateway.signal("SIGUSR2");
    await Bun.sleep(300);
    gateway.signal("SIGUSR2");
    await until(() => upgrades(gateway) >= 1, "an upgrade", PATIENCE_MS);
    await until(
      () => !old.some(isAlive) && gateway.workers.length === 2,
      () => `two workers, there are ${gateway.workers} after ${old}:\n${gateway.output}`,
      PATIENCE_MS,
    );
    await load.more(20);
    await load.stop();
    expect(load.failures).toEqual([]);
  });
});

describe("an upgrade that cannot be", () => {
  test("because of a broken config leaves everything as it is", async () => {
    await using gateway = await Gateway.start(config("one"));
    const { workers } = gateway;
    write(gateway, { ...config("two"), sites: [{ to: "nowhere" }] });
    gateway.signal("SIGUSR2");
    await gateway.says(/SIGUSR2: the program stays as it is: .*nowhere/, PATIENCE_MS);
    expect(gateway.workers).toEqual(workers);
    expect(await inForce(gateway)).toBe("one");
  });

  test("is refused to the admin API with the reason, and begun if it can be", async () => {
    await using gateway = await Gateway.start(config("one"));
    const ask = () =>
      fetch(`${gateway.adminUrl}/v1/upgrade`, {
        method: "POST",
        headers: { authorization: "Bearer upgrade-test", "content-type": "application/json" },
        body: "{}",
      });
    write(gateway, "{ broken");
    const refused = await ask();
    expect(refused.status).toBe(409);
    write(gateway, config("two"));
    const old = gateway.workers;
    const begun = await ask();
    expect([begun.status, await begun.json()]).toMatchObject([202, { version: expect.stringMatching(/^\d+\.\d+/) }]);
    await until(() => !old.some(isAlive), "the old workers end", PATIENCE_MS);
    expect(await inForce(gateway)).toBe("two");
  });

  test("because workers do not start keeps the old ones serving, and is tried again", async () => {
    await using gateway = await Gateway.start(config("one"));
    const output = join(gateway.directory, "later/access.log");
    write(gateway, config("two", { telemetry: { accessLog: { output } } }));
    const { workers } = gateway;
    gateway.signal("SIGUSR2");
    await gateway.says(/workers do not start: .*ENOENT/, PATIENCE_MS);
    await gateway.says("the old workers serve on: trying again in 1 s", PATIENCE_MS);
    expect(await inForce(gateway)).toBe("one");
    expect(workers.every(isAlive)).toBe(true);
    mkdirSync(join(gateway.directory, "later"));
    process.kill(supervisorOf(gateway), "SIGHUP");
    await gateway.says("new workers serve", PATIENCE_MS);
    await until(() => !workers.some(isAlive), "the old workers end", PATIENCE_MS);
    expect(await inForce(gateway)).toBe("two");
  });

  test("can be given up: SIGTERM ends the old workers, who finish what they have while newcomers are refused", async () => {
    const gateway = await Gateway.start(config("one"));
    const { port } = gateway;
    write(gateway, config("two", { telemetry: { accessLog: { output: join(gateway.directory, "no/access.log") } } }));
    const { processes } = gateway;
    gateway.signal("SIGUSR2");
    await gateway.says("the old workers serve on", PATIENCE_MS);
    const held = await holdRequest(port);
    gateway.signal("SIGTERM");
    const refused = () =>
      RawClient.connect(port).then(
        (client) => {
          client.destroy();
          return false;
        },
        () => true,
      );
    await until(refused, () => `newcomers are refused:\n${gateway.output}`);
    expect(await held.finish()).toBe("held");
    expect(await gateway.exited(PATIENCE_MS)).toBe(0);
    await until(() => !processes.some(isAlive), "every process ends");
    rmSync(gateway.directory, { recursive: true, force: true });
  });

  test("whose new program dies at once leaves no process behind", async () => {
    const gateway = await Gateway.start(config("one"));
    const { workers } = gateway;
    gateway.signal("SIGUSR2");
    await gateway.says("takes over", PATIENCE_MS);
    const supervisor = supervisorOf(gateway);
    process.kill(supervisor, "SIGKILL");
    await until(() => !workers.some(isAlive), "the workers end", PATIENCE_MS);
    await gateway.exited();
    rmSync(gateway.directory, { recursive: true, force: true });
  });
});

test.each([0, 5, 10, 20, 100, 400])(
  "SIGTERM %i ms after a program began to take over ends everything in order",
  async (ms) => {
    const gateway = await Gateway.start(config("one"));
    gateway.signal("SIGUSR2");
    await gateway.says("takes over", PATIENCE_MS);
    await Bun.sleep(ms);
    const { processes } = gateway;
    gateway.signal("SIGTERM");
    expect(await gateway.exited(PATIENCE_MS)).toBe(0);
    await until(() => !processes.some(isAlive), "every process ends");
    rmSync(gateway.directory, { recursive: true, force: true });
  },
);

test("a link to the program is followed again: what it points to by then takes over", async () => {
  const releases = mkdtempSync(join(tmpdir(), "lintel-releases-"));
  for (const version of ["7.0.1", "7.0.2"]) {
    const release = join(releases, version);
    mkdirSync(release);
    for (const part of ["src", "bin"]) cpSync(join(PROJECT, part), join(release, part), { recursive: true });
    symlinkSync(join(PROJECT, "node_modules"), join(release, "node_modules"));
    const facts = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8"));
    writeFileSync(join(release, "package.json"), JSON.stringify({ ...facts, version }));
  }
  const current = join(releases, "current");
  symlinkSync("7.0.1", current);
  await using gateway = await Gateway.start(config("one"), { program: join(current, "bin/lintel.mjs") });
  const version = async () =>
    ((await (await fetch(`${gateway.adminUrl}/health`)).json()) as { version: string }).version;
  expect(await version()).toBe("7.0.1");
  rmSync(current);
  symlinkSync("7.0.2", current);
  await upgrade(gateway);
  expect(await (await fetch(`${gateway.url()}/`)).text()).toBe("from origin");
  await gateway.says("Lintel 7.0.2 takes over", PATIENCE_MS);
  rmSync(releases, { recursive: true, force: true });
});

needs(ROOT).test("a port that needs root's rights goes over although they are given up", async () => {
  const listeners = [{ name: "main", address: `127.0.0.1:${freePortBelow1024()}` }];
  await using gateway = await Gateway.start(config("one", { user: "nobody", listeners }));
  chmodSync(gateway.directory, 0o755);
  write(gateway, config("two", { user: "nobody", listeners }));
  await upgrade(gateway);
  expect(await inForce(gateway)).toBe("two");
  // Old workers may be ending: one that is gone has no status.
  const alive = gateway.workers.filter((pid) => isAlive(pid));
  for (const pid of alive) expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(/^Uid:\t65534\t/m);
});

test("what operators said of endpoints goes over", async () => {
  await using gateway = await Gateway.start(
    config("one", { upstreams: { app: [`127.0.0.1:${origin.port}`, "127.0.0.1:9"] } }),
  );
  const headers = { authorization: "Bearer upgrade-test", "content-type": "application/json" };
  const path = () => `${adminOf(gateway)}/v1/upstreams/app`;
  const body = JSON.stringify({ duty: "disabled" });
  const said = await fetch(`${path()}/endpoints/127.0.0.1:9`, { method: "PATCH", headers, body });
  expect(said.status).toBe(200);
  await upgrade(gateway);
  const { endpoints } = (await (await fetch(path(), { headers })).json()) as { endpoints: { condition: string }[] };
  expect(endpoints.map(({ condition }) => condition)).toEqual(["up", "disabled"]);
});

/** The port that the system chose is another one after an upgrade. */
const adminOf = (gateway: Gateway): string => [...gateway.output.matchAll(/admin on (http:\S+)\//g)].at(-1)![1]!;
