/** The supervisor and its workers, from outside: signals, crashes, limits, privileges. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { needs, ROOT } from "../../src/base/testing.ts";
import { freePortBelow1024 } from "../../src/net/testing.ts";
import { metric } from "../support/chaos.ts";
import { Gateway, isAlive } from "../support/gateway.ts";
import { Origin } from "../support/origin.ts";
import { closeClients, exchange, get, RawClient } from "../support/raw.ts";
import { until } from "../support/until.ts";

/** How late something is says nothing: other things may run on this machine. */
setDefaultTimeout(180_000);

afterEach(closeClients);

/** A site that says which worker answers, but for /origin/*. */
const sites = (origin?: Origin) => [
  {
    routes: [
      ...(origin === undefined ? [] : [{ match: "/origin/*", to: origin.address }]),
      { use: [{ respond: "{pid}" }] },
    ],
  },
];

async function ask(client: RawClient): Promise<number> {
  client.send(get("/"));
  return Number((await client.response()).text);
}

describe("workers", () => {
  test("share the connections; one that dies costs its own only, is replaced, and the log says so", async () => {
    await using gateway = await Gateway.start({ workers: 2, sites: sites() });
    expect(gateway.workers).toHaveLength(2);
    const clients = await Promise.all(Array.from({ length: 24 }, () => RawClient.connect(gateway.port)));
    const pids = await Promise.all(clients.map(ask));
    expect([...new Set(pids)].sort()).toEqual([...gateway.workers].sort());

    const victim = pids[0]!;
    gateway.signal("SIGKILL", victim);
    await gateway.says(/worker.*(died|ended|exited|killed)/i);
    for (const [i, client] of clients.entries()) {
      if (pids[i] === victim) expect(await client.closed()).toMatch(/end|reset/);
      else expect(await ask(client)).toBe(pids[i]!);
    }
    // Whoever connects meanwhile waits in the queue of the slot rather than being refused.
    const newcomers = await Promise.all(Array.from({ length: 24 }, () => RawClient.connect(gateway.port)));
    const later = await Promise.all(newcomers.map(ask));
    expect(new Set(later).size).toBe(2);
    expect(later).not.toContain(victim);
    expect((await gateway.metrics()).get("lintel_worker_restarts_total")).toBe(1);
  });

  test("one that dies again and again is started again each time", async () => {
    await using gateway = await Gateway.start({ workers: 1, sites: sites() });
    for (let i = 0; i < 4; i++) {
      const [pid] = gateway.workers;
      gateway.signal("SIGKILL", pid!);
      while (
        gateway.workers.length === 0 ||
        gateway.workers[0] === pid ||
        gateway.workers[0] === gateway.pid ||
        !isAlive(gateway.workers[0]!)
      )
        await Bun.sleep(5);
      using client = await RawClient.connect(gateway.port);
      client.send(get("/"));
      expect((await client.response()).text).not.toBe(String(pid));
    }
    expect((await gateway.metrics()).get("lintel_worker_restarts_total")).toBe(4);
  });
});

describe("ending", () => {
  test("SIGTERM finishes what is in flight with Connection: close, closes what is idle, and takes nothing new", async () => {
    using origin = await Origin.start();
    const finish = Promise.withResolvers<void>();
    origin.script = async (request) => {
      await finish.promise;
      await request.reply({ content: "finished" });
    };
    await using gateway = await Gateway.start({ workers: 2, sites: sites(origin) });
    const { port } = gateway;
    using idle = await RawClient.connect(port);
    await ask(idle);
    using busy = await RawClient.connect(port);
    busy.send(get("/origin/slow"));
    await origin.next();
    gateway.signal("SIGTERM");
    expect(await idle.closed()).toBe("end");
    finish.resolve();
    const response = await busy.response();
    expect(response).toMatchObject({ status: 200, text: "finished" });
    expect(response.field("connection")).toBe("close");
    await expect(RawClient.connect(port).then((client) => ask(client))).rejects.toThrow();
    expect(await gateway.exited()).toBe(0);
  });

  test("what has not finished after timeouts.drain is cut, and the log says what", async () => {
    using origin = await Origin.start();
    origin.script = (request) => request.connection.detach();
    const gateway = await Gateway.start({ timeouts: { drain: "300ms" }, sites: sites(origin) });
    using client = await RawClient.connect(gateway.port);
    client.send(get("/origin/never"));
    await origin.next();
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(await client.closed()).toMatch(/end|reset/);
    expect(await gateway.logOf("/origin/never")).toMatchObject({ outcome: { by: "gateway", code: "shutting-down" } });
    await gateway.stop();
  });

  test.each(["SIGTERM", "SIGINT"] as const)("a second %s ends now", async (signal) => {
    using origin = await Origin.start();
    origin.script = (request) => request.connection.detach();
    const gateway = await Gateway.start({ sites: sites(origin) });
    const processes = gateway.processes;
    using client = await RawClient.connect(gateway.port);
    client.send(get("/origin/never"));
    await origin.next();
    gateway.signal(signal);
    await gateway.says("signal again to end now");
    // Ctrl-C reaches the program twice by way of the launcher; that is one wish.
    await Bun.sleep(600);
    gateway.signal(signal);
    expect(await gateway.exited()).not.toBe(0);
    await until(() => !processes.some(isAlive), "every process to end");
    await gateway.stop();
  });

  test("a supervisor that is killed takes its workers with it", async () => {
    const gateway = await Gateway.start({ workers: 2, sites: sites() });
    const { workers, processes } = gateway;
    const supervisor = processes.find(
      (pid) =>
        !workers.includes(pid) &&
        readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").includes(String(workers[0])),
    )!;
    gateway.signal("SIGKILL", supervisor);
    await until(() => !workers.some(isAlive), "the workers to end");
    gateway.kill(processes);
  });
});

describe("limits", () => {
  test("at the limit of file descriptors clients wait, nothing spins, and all are served in the end", async () => {
    await using gateway = await Gateway.start(
      { sites: sites() },
      { prefix: ["sh", "-c", 'ulimit -n 120; exec "$@"', "sh"] },
    );
    const clients = await Promise.all(Array.from({ length: 200 }, () => RawClient.connect(gateway.port)));
    const [pid] = gateway.workers;
    const pauses = () => metric(gateway, "lintel_accept_pauses_total", {});
    await until(async () => (await pauses()) > 0, "the limit to be reached");
    const startedAt = performance.now();
    const before = await pauses();
    await Bun.sleep(500);
    const looks = (await pauses()) - before;
    // It looks again every 100 ms, however long that was in truth; who spins looks thousands of times.
    expect(looks).toBeLessThan((performance.now() - startedAt) / 10);
    // All at once: which of them are in is for the system to say.
    await Promise.all(
      clients.map(async (client) => {
        expect(await ask(client)).toBe(pid!);
        client.destroy();
      }),
    );
  });

  test("no more than maxConnections are open; others are served once there is room", async () => {
    await using gateway = await Gateway.start({
      listeners: [{ address: "127.0.0.1:0", maxConnections: 3 }],
      sites: sites(),
    });
    const first = await Promise.all(Array.from({ length: 3 }, () => RawClient.connect(gateway.port)));
    for (const client of first) await ask(client);
    using waiting = await RawClient.connect(gateway.port);
    const answer = ask(waiting).catch(() => "refused");
    expect(await Promise.race([answer, Bun.sleep(200).then(() => "waits")])).not.toBeNumber();
    for (const client of first) client.destroy();
    if (waiting.isOpen) expect(await answer).toBeNumber();
    using next = await RawClient.connect(gateway.port);
    expect(await ask(next)).toBeNumber();
  });
});

describe("starting", () => {
  test("a port that is taken ends with a message that names it, and exit code 1", async () => {
    using origin = await Origin.start();
    const gateway = Gateway.launch({ listeners: [`127.0.0.1:${origin.port}`], sites: sites() });
    expect(await gateway.exited()).toBe(1);
    expect(gateway.output).toContain(String(origin.port));
    await gateway.stop();
  });

  test("a config with errors is not run: all of them are shown", async () => {
    const gateway = Gateway.launch("listenrs: []\nsites:\n  - to: nowhere\n    rutes: []\n");
    expect(await gateway.exited()).toBe(1);
    expect(gateway.output).toMatch(/lintel\.yaml:1:1: error\[/);
    expect(gateway.output).toMatch(/lintel\.yaml:4:5: error\[/);
    expect(gateway.output).toContain("listeners");
    await gateway.stop();
  });

  test("run --listen with a config: relative paths start at the config all the same", async () => {
    const files = {
      "site/lintel.json": JSON.stringify({ admin: "off", sites: [{ use: [{ files: "./public" }] }] }),
      "site/public/index.html": "here",
    };
    await using gateway = await Gateway.start(
      { admin: "off" },
      { args: ["run", "--config", "site/lintel.json", "--listen", "127.0.0.1:0"], files },
    );
    expect(await (await fetch(gateway.url())).text()).toBe("here");
  });

  test("run --to --listen needs no config", async () => {
    using origin = await Origin.start();
    const gateway = Gateway.launch(
      { sites: sites() },
      { args: ["run", "--to", origin.address, "--listen", "127.0.0.1:0"] },
    );
    await gateway.says("listening on");
    expect((await exchange(gateway.url(), get("/"))).text).toBe("hello");
    await gateway.stop();
  });

  needs(ROOT).test("started as root it binds a privileged port and becomes the user of the config", async () => {
    await using gateway = await Gateway.start({
      user: "nobody",
      listeners: [`127.0.0.1:${freePortBelow1024()}`],
      telemetry: { accessLog: "off" },
      sites: sites(),
    });
    using client = await RawClient.connect(gateway.port);
    const worker = await ask(client);
    for (const pid of [
      worker,
      ...gateway.processes.filter((one) => gateway.workers.length > 0 && one !== gateway.pid),
    ]) {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      expect(/^Uid:\t(.*)$/m.exec(status)![1]).toBe("65534\t65534\t65534\t65534");
      expect(/^Groups:\t(.*)$/m.exec(status)?.[1]?.trim()).toBe("65534");
    }
  });
});
