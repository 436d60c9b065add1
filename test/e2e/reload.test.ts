/** Another config for a program that serves: what changes, what stays, and that nobody notices. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needs, program } from "../../src/base/testing.ts";
import { Gateway, isAlive } from "../support/gateway.ts";
import { Load } from "../support/load.ts";
import { get, RawClient } from "../support/raw.ts";
import { until } from "../support/until.ts";

const TOKEN = "reload-test";

const origin = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request, server) {
    const { pathname } = new URL(request.url);
    if (pathname === "/socket") return server.upgrade(request) ? undefined : new Response(null, { status: 400 });
    if (pathname === "/slow") await Bun.sleep(400);
    return new Response("from origin");
  },
  websocket: { message: (socket, data) => void socket.send(data) },
});
afterAll(() => origin.stop(true));

/** A config that says which one it is in the field X-Config. */
const config = (name: string, more: Record<string, unknown> = {}) => ({
  workers: 2,
  listeners: [{ name: "main", address: "127.0.0.1:0" }],
  admin: { address: "127.0.0.1:0", token: TOKEN },
  telemetry: { accessLog: "off" },
  sites: [{ use: [{ headers: { response: { set: { "x-config": name } } } }], to: `127.0.0.1:${origin.port}` }],
  ...more,
});

/** JSON of the admin API. */
type Answer = Record<string, unknown>;

class Program {
  constructor(readonly gateway: Gateway) {}

  static async start(first: unknown): Promise<Program> {
    return new Program(await Gateway.start(first as Record<string, unknown>));
  }

  get supervisor(): number {
    return Number(readFileSync(`/proc/${this.gateway.pid}/task/${this.gateway.pid}/children`, "utf8").split(" ")[0]);
  }

  write(next: unknown): void {
    const path = join(this.gateway.directory, "lintel.json");
    writeFileSync(`${path}.next`, typeof next === "string" ? next : JSON.stringify(next));
    renameSync(`${path}.next`, path);
  }

  async api(method: string, path: string, body: unknown = {}): Promise<{ status: number; body: Answer }> {
    const response = await fetch(`${this.gateway.adminUrl}/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
      body: method === "GET" ? null : JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as Answer };
  }

  /** Writes a config and serves it. */
  async reload(next: unknown): Promise<Answer> {
    this.write(next);
    return (await this.api("POST", "/reload")).body;
  }

  /** Name of the config in force, as every worker has it. */
  async inForce(url = this.gateway.url()): Promise<string> {
    const names = new Set<string | null>();
    for (let i = 0; i < 12; i++) {
      names.add((await fetch(url, { headers: { connection: "close" }, keepalive: false })).headers.get("x-config"));
    }
    return [...names].join(" ");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway.stop();
  }
}

describe("SIGHUP", () => {
  test("serves the file as it is now: same processes, same connections, routes of the new config", async () => {
    await using program = await Program.start(config("one"));
    const { workers, port } = program.gateway;
    using kept = await RawClient.connect(port);
    await kept.send(get("/"));
    expect((await kept.response()).field("x-config")).toBe("one");
    program.write(config("two"));
    program.gateway.signal("SIGHUP");
    await program.gateway.says(/SIGHUP: \S+ is in force generation=2 version=2 /);
    expect(await program.inForce()).toBe("two");
    await kept.send(get("/"));
    expect((await kept.response()).field("x-config")).toBe("two");
    expect(program.gateway.workers).toEqual(workers);
  });

  test("to layer 4 only: what is under way gets its answer, and the worker goes on", async () => {
    const [arrived, letGo] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const holding = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch({ url }) {
        if (!url.endsWith("/held")) return new Response("at once");
        arrived.resolve();
        await letGo.promise;
        return new Response("held");
      },
    });
    const to = `127.0.0.1:${holding.port}`;
    const first = config("one", { workers: 1, sites: [{ to }], tcp: [{ name: "relay", listen: "127.0.0.1:0", to }] });
    await using program = await Program.start(first);
    const { workers } = program.gateway;
    const [port, relayPort] = ["main", "relay"].map((name) => program.gateway.portOf(name));
    using client = await RawClient.connect(port!);
    await client.send(get("/held"));
    await arrived.promise;
    const { listeners, sites, ...rest } = first;
    program.write(rest);
    program.gateway.signal("SIGHUP");
    await program.gateway.says(/SIGHUP: \S+ is in force generation=2 version=2 /);
    letGo.resolve();
    expect((await client.response()).text).toBe("held");
    // It is over once it is counted, and with it the connection.
    expect(await client.untilClose()).toBe("");
    expect(await (await fetch(`http://127.0.0.1:${relayPort}`, { keepalive: false })).text()).toBe("at once");
    expect(program.gateway.workers).toEqual(workers);
    expect(program.gateway.output).not.toMatch(/fault|exception/);
    await holding.stop(true);
  });

  test("several in a row are served one after the other, and the last file wins", async () => {
    await using program = await Program.start(config("one"));
    for (const name of ["two", "three", "four", "five"]) {
      program.write(config(name));
      program.gateway.signal("SIGHUP");
      await Bun.sleep(15);
    }
    await until(async () => (await program.inForce()) === "five", "the last config is in force");
    expect(program.gateway.output).not.toContain("stays");
  });

  test("during the start waits for it", async () => {
    const gateway = Gateway.launch(config("one"));
    await using program = new Program(gateway);
    await until(() => {
      try {
        // The program, not the launcher (nor what it has forked, just before), has begun to listen to signals.
        if (!readFileSync(`/proc/${program.supervisor}/cmdline`, "utf8").includes("main.ts")) return false;
        const bits = /SigCgt:\s*(\w+)/.exec(readFileSync(`/proc/${program.supervisor}/status`, "utf8"))?.[1];
        return (BigInt(`0x${bits}`) & 1n) === 1n;
      } catch {
        return false;
      }
    }, "the program handles SIGHUP");
    program.write(config("two"));
    process.kill(program.supervisor, "SIGHUP");
    await gateway.says(/SIGHUP: \S+ is in force/, 10_000);
    await gateway.says("admin on");
    expect(await program.inForce()).toBe("two");
  });
});

describe("a config that cannot be served", () => {
  test("with errors changes nothing and says where they are", async () => {
    await using program = await Program.start(config("one"));
    const broken = { ...config("two"), timeouts: { dran: "1s" } };
    const answer = await program.reload(JSON.stringify(broken, null, 2));
    expect(JSON.stringify(answer)).toContain('did you mean \\"drain\\"');
    await program.gateway.says(/lintel\.json:\d+:\d+: error\[unknown-key\]: .*dran/);
    expect(await program.inForce()).toBe("one");
    const status = await program.api("GET", "/status");
    expect(status.body["config"]).toMatchObject({
      generation: 1,
      lastFailure: { reason: expect.stringContaining("has an error") },
    });
    expect((await program.reload(config("two"))).outcome).toBe("applied");
    expect((await program.api("GET", "/status")).body["config"]).toMatchObject({ generation: 2, lastFailure: null });
  });

  test("because a port is taken binds none of the others", async () => {
    await using program = await Program.start(config("one"));
    const listeners = [
      { name: "main", address: "127.0.0.1:0" },
      { name: "free", address: "127.0.0.1:00" },
      { name: "taken", address: `127.0.0.1:${origin.port}` },
    ];
    await program.reload(config("two", { listeners }));
    await program.gateway.says(/the config in force stays: listener "taken" cannot listen on .* already does/);
    expect(await program.inForce()).toBe("one");
  });

  test("because a worker cannot build it changes no worker", async () => {
    await using program = await Program.start(config("one"));
    const workers = program.gateway.workers;
    const output = join(program.gateway.directory, "no-such-folder/access.log");
    await program.reload(config("two", { telemetry: { accessLog: { output } } }));
    await program.gateway.says(/the config in force stays: .*no-such-folder/);
    expect(await program.inForce()).toBe("one");
    expect(program.gateway.workers).toEqual(workers);
  });
});

describe("listeners", () => {
  test("are added and removed by difference; connections of a removed one finish", async () => {
    await using program = await Program.start(config("one"));
    const { gateway } = program;
    const listeners = [{ name: "main", address: "127.0.0.1:0" }];
    const path = join(gateway.directory, "extra.sock");
    const added = await program.reload(
      config("two", { listeners: [...listeners, { name: "extra", address: `unix:${path}` }] }),
    );
    expect(added).toMatchObject({ outcome: "applied", changes: expect.arrayContaining(['listener "extra" is new']) });
    using client = await RawClient.connect({ path });
    await client.send(get("/slow"));
    await Bun.sleep(100);
    await program.reload(config("three", { listeners }));
    expect(existsSync(path)).toBe(false);
    const response = await client.response();
    expect([response.status, response.text]).toEqual([200, "from origin"]);
    expect(response.field("connection")).toBe("close");
    expect(await program.inForce()).toBe("three");
  });

  test("a TCP listener that comes is accepted from by every worker", async () => {
    await using program = await Program.start(config("one"));
    const listeners = [
      { name: "main", address: "127.0.0.1:0" },
      { name: "extra", address: "127.0.0.1:00" },
    ];
    await program.reload(config("two", { listeners }));
    const all = (await program.api("GET", "/status")).body.listeners as { name: string; url: string }[];
    const { url } = all.find(({ name }) => name === "extra")!;
    expect(await program.inForce(url)).toBe("two");
    expect(await program.inForce()).toBe("two");
  });
});

test("settings that cannot change while it runs stay, with a warning", async () => {
  await using program = await Program.start(config("one"));
  const answer = await program.reload(config("two", { workers: 1 }));
  expect(answer.outcome).toBe("applied");
  await program.gateway.says(/warning\[needs-restart\]: "workers" cannot change while Lintel runs/);
  expect(program.gateway.workers.length).toBe(2);
  expect(await program.inForce()).toBe("two");
});

test("with reload.watch a changed file is served, and a broken one refused", async () => {
  await using program = await Program.start(config("one", { reload: { watch: true } }));
  program.write(config("two", { reload: { watch: true } }));
  await program.gateway.says(/file change: \S+ is in force/);
  program.write("{ broken");
  await program.gateway.says(/file change: the config in force stays/);
  expect(await program.inForce()).toBe("two");
  program.write(config("three", { reload: { watch: true } }));
  await until(async () => (await program.inForce()) === "three", "the repaired file is served");
});

describe("versions", () => {
  test("are kept of every config that was served, can be compared, and served again", async () => {
    await using program = await Program.start(config("one"));
    await program.reload(config("two"));
    await program.reload(config("two"));
    expect(await program.inForce()).toBe("two");
    const versions = (await program.api("GET", "/config/versions")).body.versions as {
      number: number;
      trigger: string;
    }[];
    expect(versions.map(({ number }) => number)).toEqual([2, 1]);
    const rolled = (await program.api("POST", "/config/rollback", { version: 1 })).body;
    expect(rolled).toMatchObject({ outcome: "applied", version: 3 });
    expect(await program.inForce()).toBe("one");
    await program.gateway.says("the config file is as it was");
    const [folder] = readdirSync(join(program.gateway.directory, "state"));
    const kept = readdirSync(join(program.gateway.directory, "state", folder!, "versions"));
    expect(kept.sort()).toEqual(["000001.json", "000002.json", "000003.json"]);
  });
});

test("under load 12 reloads fail no request, lose no WebSocket and no counter", async () => {
  await using program = await Program.start(config("0"));
  const { port } = program.gateway;
  const sockets = await Promise.all(Array.from({ length: 6 }, () => openSocket(port)));
  const quick = new Load(port, "/", { clients: 6, pauseMs: 3 });
  const slow = new Load(port, "/slow", { clients: 3 });
  for (let i = 1; i <= 12; i++) {
    const extra = i % 2 === 0 ? [] : [{ name: "extra", address: "127.0.0.1:00" }];
    const listeners = [{ name: "main", address: "127.0.0.1:0" }, ...extra];
    const answer = await program.reload(config(String(i), { listeners, limits: { fields: 100 + i } }));
    expect(answer.outcome).toBe("applied");
    for (const socket of sockets) socket.send(`after ${i}`);
    await quick.more(10);
  }
  const answers = [...(await quick.stop()), ...(await slow.stop())];
  expect([...quick.failures, ...slow.failures]).toEqual([]);
  for (const socket of sockets) {
    expect(socket.readyState).toBe(WebSocket.OPEN);
    await until(() => socket.heard === 12, "every echo");
    socket.close();
  }
  const counted = [...(await program.gateway.metrics())]
    .filter(([name]) => name.startsWith("lintel_requests_total{") && name.includes('code="2xx"'))
    .reduce((sum, [, value]) => sum + value, 0);
  expect(counted).toBe(answers.length);
}, 60_000);

test("SIGTERM during a reload ends the program as ever", async () => {
  await using program = await Program.start(config("one"));
  program.write(config("two"));
  program.gateway.signal("SIGHUP");
  await Bun.sleep(5);
  program.gateway.signal("SIGTERM");
  expect(await program.gateway.exited()).toBe(0);
  rmSync(program.gateway.directory, { recursive: true, force: true });
});

test("a worker that is killed while configs are exchanged comes back with the one that was decided", async () => {
  await using program = await Program.start(config("0"));
  for (let i = 1; i <= 6; i++) {
    const asked = program.reload(config(String(i)));
    await Bun.sleep(i * 7);
    process.kill(program.gateway.workers[0]!, "SIGKILL");
    const { outcome } = await asked;
    const wanted = outcome === "applied" ? String(i) : String(i - 1);
    await until(() => program.gateway.workers.length === 2, "both workers", 10_000);
    await until(async () => (await program.inForce()) === wanted, `${wanted} is in force, the reload was ${outcome}`);
    if (outcome !== "applied") await program.reload(config(String(i)));
  }
}, 60_000);

needs(program("script")).describe("in a terminal", () => {
  async function inTerminal() {
    const gateway = Gateway.launch(config("one"), {
      prefix: ["sh", "-c", 'exec script -qefc "$*" /dev/null', "sh"],
    });
    await gateway.says("admin on", 15_000);
    return gateway;
  }

  test("SIGHUP reads the config again while there is one", async () => {
    const gateway = await inTerminal();
    const supervisor = gateway.processes.find((pid) => commandOf(pid).includes("main.ts run"))!;
    process.kill(supervisor, "SIGHUP");
    await gateway.says(/SIGHUP: \S+ is in force/);
    process.kill(supervisor, "SIGTERM");
    await gateway.exited();
    rmSync(gateway.directory, { recursive: true });
  });

  test("its end ends the program", async () => {
    const gateway = await inTerminal();
    const { processes } = gateway;
    gateway.signal("SIGKILL");
    await until(() => !processes.some(isAlive), "every process ends");
    rmSync(gateway.directory, { recursive: true });
  });
});

const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
};

interface Echo extends WebSocket {
  heard: number;
}

async function openSocket(port: number): Promise<Echo> {
  const socket = Object.assign(new WebSocket(`ws://127.0.0.1:${port}/socket`), { heard: 0 });
  socket.onmessage = () => void socket.heard++;
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  return socket;
}
