/** Operators' changes of what runs: by the admin API and by the commands, under load. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DocumentJudge } from "../../src/admin/testing.ts";
import { Gateway, type TestConfig } from "../support/gateway.ts";
import { Load, now } from "../support/load.ts";
import { Origin, type OriginRequest } from "../support/origin.ts";
import { closeClients, get, RawClient } from "../support/raw.ts";
import { until } from "../support/until.ts";

const MAIN = join(import.meta.dir, "../../src/cli/main.ts");
/** Workers see a change at once; a request may have been on its way already. */
const ON_ITS_WAY_MS = 100;

const judge = new DocumentJudge();
const origins: Origin[] = [];
const folders: string[] = [];
beforeAll(async () => {
  for (let i = 0; i < 3; i++) origins.push(await Origin.start());
});
afterEach(() => {
  for (const origin of origins) {
    origin.clear();
    origin.script = (request) => answer(origin, request);
  }
  closeClients();
});
afterAll(() => {
  for (const origin of origins) origin.stop();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const answer = (origin: Origin, request: OriginRequest) =>
  request.reply({ fields: { "x-origin": origin.address }, content: "hello" });

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "lintel-state-"));
  folders.push(folder);
  return folder;
}

/** A gateway with the origins behind the upstream `app`, and two workers. */
class Program {
  readonly gateway: Gateway;
  readonly state: string;

  private constructor(gateway: Gateway, state: string) {
    this.gateway = gateway;
    this.state = state;
  }

  static async start(app: unknown, more: TestConfig = {}, state = newFolder()): Promise<Program> {
    for (const origin of origins) origin.script = (request) => answer(origin, request);
    const gateway = await Gateway.start({ workers: 2, state, upstreams: { app }, sites: [{ to: "app" }], ...more });
    return new Program(gateway, state);
  }

  /** Over the socket in the state folder. Every answer is held against the OpenAPI document. */
  async api<Content = { endpoints: Endpoint[] }>(method: string, path: string, content?: unknown): Promise<Content> {
    const url = `http://localhost/v1${path}`;
    const response = await fetch(url, {
      method,
      unix: join(this.state, "admin.sock"),
      ...(content === undefined
        ? {}
        : { body: JSON.stringify(content), headers: { "content-type": "application/json" } }),
    });
    return (await judge.check(method, url, response)) as Content;
  }

  endpoint(origin: Origin): Promise<Endpoint | undefined> {
    return this.api("GET", "/upstreams/app").then(({ endpoints }) =>
      endpoints.find(({ address }) => address === origin.address),
    );
  }

  change(origin: Origin, content: unknown) {
    return this.api("PATCH", `/upstreams/app/endpoints/${encodeURIComponent(origin.address)}`, content);
  }

  async lintel(...words: string[]) {
    const child = Bun.spawn([process.execPath, MAIN, ...words], {
      cwd: this.gateway.directory,
      env: { ...process.env, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [out, error, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { out, error, code };
  }

  /** Names of the origins that answered so many requests, each on a connection of its own. */
  async answered(count: number): Promise<string[]> {
    const names: string[] = [];
    for (let i = 0; i < count; i++) {
      const response = await fetch(this.gateway.url(), { headers: { connection: "close" }, keepalive: false });
      names.push(response.headers.get("x-origin") ?? String(response.status));
    }
    return names;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.gateway.stop();
  }
}

interface Endpoint {
  readonly address: string;
  readonly condition: string;
  readonly source: string;
  readonly weight: number;
  readonly inFlight: number;
  readonly drainUntil: string | null;
}

const addresses = (list = origins): string[] => list.map(({ address }) => address);

describe("drain", () => {
  test("sends nothing new, and lets what runs finish", async () => {
    await using program = await Program.start(addresses());
    const [, drained] = origins as [Origin, Origin, Origin];
    const held = Promise.withResolvers<void>();
    drained.script = async (request) => {
      if (request.target === "/held") await held.promise;
      await answer(drained, request);
    };
    await using load = new Load(program.gateway.port, "/");
    // Some of these come to the endpoint that is drained, wherever the turns are.
    const running = Array.from({ length: 6 }, async () => {
      const client = await RawClient.connect(program.gateway.port);
      void client.send(get("/held"));
      return client.response("GET", 15_000);
    });
    const heldRequests = () => drained.requests.filter(({ target }) => target === "/held").length;
    await until(() => heldRequests() > 0, "a request that is held");

    const drain = program.lintel("drain", "app", drained.address, "--wait");
    await until(async () => (await program.endpoint(drained))?.condition === "draining", "the endpoint drains");
    await Bun.sleep(ON_ITS_WAY_MS);
    const since = now();
    await load.more(100);
    expect(load.from(drained, since)).toEqual([]);
    const inFlight = heldRequests();
    expect(await program.endpoint(drained)).toMatchObject({ condition: "draining", inFlight });

    held.resolve();
    const responses = await Promise.all(running);
    expect(responses.map(({ status }) => status)).toEqual(responses.map(() => 200));
    expect(await drain).toMatchObject({ code: 0, out: `app ${drained.address} is drained\n` });
    expect(await program.endpoint(drained)).toMatchObject({ inFlight: 0 });

    await program.lintel("enable", "app", drained.address);
    const back = now();
    await load.more(100);
    expect(load.from(drained, back).length).toBeGreaterThan(0);
    expect(load.failures).toEqual([]);
  }, 30_000);

  test("keeps who is bound to the endpoint until the deadline", async () => {
    await using program = await Program.start({ endpoints: addresses(), sticky: "cookie" });
    const first = await fetch(program.gateway.url());
    const bound = first.headers.get("x-origin")!;
    const headers = { cookie: first.headers.get("set-cookie")!.split(";")[0]! };
    const drained = origins.find(({ address }) => address === bound)!;
    const ask = async () => (await fetch(program.gateway.url(), { headers })).headers.get("x-origin");
    await program.change(drained, { duty: "draining", deadline: "2s" });
    expect(await ask()).toBe(bound);
    expect(await program.answered(12)).not.toContain(bound);
    expect((await program.endpoint(drained))?.drainUntil).toBeString();
    await until(async () => (await program.endpoint(drained))?.condition === "disabled", "the deadline has passed");
    expect(await ask()).not.toBe(bound);
  });

  test("holds over a reload and the death of a worker", async () => {
    await using program = await Program.start(addresses());
    const [drained] = origins as [Origin];
    await program.change(drained, { duty: "draining" });
    const file = join(program.gateway.directory, "lintel.json");
    writeFileSync(file, readFileSync(file, "utf8").replace('"sites"', '"locality": "here", "sites"'));
    expect((await program.lintel("reload")).code).toBe(0);
    const [victim] = program.gateway.workers as [number];
    process.kill(victim, "SIGKILL");
    await until(async () => {
      const { workers } = await program.api<{ workers: { pid: number; state: string }[] }>("GET", "/status");
      return workers.every(({ pid, state }) => pid !== victim && state === "ready");
    }, "another worker");
    expect((await program.endpoint(drained))?.condition).toBe("draining");
    expect(await program.answered(20)).not.toContain(drained.address);
  });
});

describe("other changes", () => {
  test("disable and enable", async () => {
    await using program = await Program.start(addresses());
    const [one, two, three] = origins as [Origin, Origin, Origin];
    for (const origin of [one, two]) {
      expect((await program.lintel("disable", "app", origin.address)).out).toContain("is disabled");
    }
    expect(new Set(await program.answered(8))).toEqual(new Set([three.address]));
    await program.lintel("disable", "app", three.address);
    expect(new Set(await program.answered(3))).toEqual(new Set(["503"]));
    for (const origin of origins) {
      expect((await program.lintel("enable", "app", origin.address)).out).toBe(`app ${origin.address} is enabled\n`);
    }
    expect(new Set(await program.answered(12))).toEqual(new Set(addresses()));
  });

  test("add and remove, again and again under load, lose nothing", async () => {
    const [one, two, three] = origins as [Origin, Origin, Origin];
    await using program = await Program.start([one.address]);
    await using load = new Load(program.gateway.port, "/");
    for (let i = 0; i < 5; i++) {
      for (const origin of [two, three])
        await program.api("POST", "/upstreams/app/endpoints", { address: origin.address });
      const added = now();
      await load.more(60);
      expect(load.from(two, added).length).toBeGreaterThan(0);
      for (const origin of [two, three])
        await program.api("DELETE", `/upstreams/app/endpoints/${encodeURIComponent(origin.address)}`);
      await Bun.sleep(ON_ITS_WAY_MS);
      const removed = now();
      await load.more(30);
      expect([...load.from(two, removed), ...load.from(three, removed)]).toEqual([]);
    }
    expect(load.failures).toEqual([]);
    const { endpoints } = await program.api("GET", "/upstreams/app");
    expect(endpoints.map(({ address }) => address)).toEqual([one.address]);
  }, 30_000);

  test("one of the config can be taken out and put back", async () => {
    await using program = await Program.start(addresses());
    const [gone] = origins as [Origin];
    expect((await program.lintel("upstreams", "remove", "app", gone.address)).out).not.toContain(gone.address);
    expect(await program.answered(12)).not.toContain(gone.address);
    expect((await program.lintel("upstreams", "restore", "app", gone.address)).out).toContain(gone.address);
    expect(await program.answered(12)).toContain(gone.address);
  });

  test("weights", async () => {
    const [one, two] = origins as [Origin, Origin];
    await using program = await Program.start([one.address, two.address], { workers: 1 });
    await program.change(one, { weight: 3 });
    const share = (names: string[]) => names.filter((name) => name === one.address).length;
    expect(share(await program.answered(16))).toBe(12);
    await program.change(one, { weight: 0 });
    expect(share(await program.answered(8))).toBe(0);
    await program.change(one, { weight: null });
    expect(share(await program.answered(8))).toBe(4);
  });

  test("hold over a restart if they are to be kept, and else are forgotten", async () => {
    const [one, two, three] = origins as [Origin, Origin, Origin];
    const state = newFolder();
    const config = [one.address, two.address];
    {
      await using program = await Program.start(config, {}, state);
      await program.api("POST", "/upstreams/app/endpoints", { address: three.address, weight: 7, persist: true });
      await program.change(one, { duty: "draining", persist: true });
      await program.change(two, { duty: "disabled" });
    }
    await using program = await Program.start(config, {}, state);
    const { endpoints } = await program.api("GET", "/upstreams/app");
    const facts = endpoints.map(({ address, condition, weight, source }) => [address, condition, weight, source]);
    expect(facts).toEqual([
      [one.address, "draining", 1, "config"],
      [two.address, "up", 1, "config"],
      [three.address, "up", 7, "operator"],
    ]);
    await program.api("POST", `/upstreams/app/endpoints/${encodeURIComponent(three.address)}/restore`);
    expect(await program.endpoint(three)).toBeUndefined();
  });
});

describe("who may", () => {
  test("without admin in the config: the user of the socket in the state folder, and nobody else", async () => {
    await using program = await Program.start(addresses(), { admin: "off" });
    const path = join(program.state, "admin.sock");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect((await program.lintel("drain", "app", origins[0]!.address)).code).toBe(0);
    expect((await program.endpoint(origins[0]!))?.condition).toBe("draining");
  });

  test("over TCP without a token: nobody changes anything", async () => {
    await using program = await Program.start(addresses());
    const url = `${program.gateway.adminUrl}/v1/upstreams/app/endpoints/${encodeURIComponent(origins[0]!.address)}`;
    const request = { method: "PATCH", body: '{"duty":"disabled"}', headers: { "content-type": "application/json" } };
    const response = await fetch(url, request);
    expect(response.status).toBe(403);
    await judge.check("PATCH", url, response);
    expect((await program.endpoint(origins[0]!))?.condition).toBe("up");
    expect((await fetch(`${program.gateway.adminUrl}/v1/upstreams`)).status).toBe(200);
  });

  test("over TCP with a token: who has it; the commands need none on the same machine", async () => {
    const admin = { address: "127.0.0.1:0", token: "${ADMIN_TOKEN:-s3cret}" };
    await using program = await Program.start(addresses(), { admin });
    const address = new URL(program.gateway.adminUrl).host;
    const words = ["disable", "app", origins[0]!.address];
    expect(await program.lintel(...words, "--admin", address)).toMatchObject({ code: 1 });
    expect(await program.lintel(...words, "--admin", address, "--token", "s3cret")).toMatchObject({ code: 0 });
    expect((await fetch(`${program.gateway.adminUrl}/v1/upstreams`)).status).toBe(401);
    expect((await program.lintel("enable", "app", origins[0]!.address)).code).toBe(0);
  });

  test("a state folder that cannot be written costs a warning, not the service", async () => {
    await using program = await Program.start(addresses(), {}, "/proc/lintel");
    await program.gateway.says("commands of this machine do not reach this program");
    expect(await program.answered(3)).toHaveLength(3);
  });
});

describe("the commands", () => {
  test("upstreams shows what runs", async () => {
    await using program = await Program.start(addresses());
    await program.answered(9);
    const { out } = await program.lintel("upstreams", "app");
    expect(out).toMatch(/^upstream app: round-robin\n +ENDPOINT +CONDITION/);
    for (const address of addresses()) expect(out).toMatch(new RegExp(`^ +${address} +up +1 +0 +\\d+ +\\S+ms`, "m"));
  });

  test("reload and config: history, diff, rollback", async () => {
    await using program = await Program.start(addresses());
    const file = join(program.gateway.directory, "lintel.json");
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replace('"sites"', '"locality": "eu-1", "sites"'));
    expect((await program.lintel("reload")).out).toMatch(/^reloaded in \d+ ms \(version 2\)/);
    expect((await program.lintel("config", "diff", "1")).out).toContain("+locality: eu-1");
    expect((await program.lintel("config", "history")).out).toMatch(/^\* 2 .*\n {2}1 /m);
    expect((await program.lintel("config", "show", "2")).out).toContain("locality: eu-1");

    writeFileSync(file, text.replace('"sites"', '"stes"'));
    const broken = await program.lintel("reload");
    expect(broken.code).toBe(1);
    expect(broken.error).toContain('the config has no key "stes"');
    expect(broken.error).toContain("nothing has changed");
    const { config } = await program.api<{ config: { lastFailure: unknown; version: number } }>("GET", "/status");
    expect(config).toMatchObject({ version: 2, lastFailure: { reason: expect.any(String) } });

    expect((await program.lintel("config", "rollback", "1")).out).toContain("(version 3)");
    expect(await program.lintel("config", "rollback", "9")).toMatchObject({
      code: 1,
      error: expect.stringContaining("there is no version 9"),
    });
    expect(await program.answered(3)).toHaveLength(3);
  });

  test("top --once shows rates, endpoints, routes and clients", async () => {
    await using program = await Program.start(addresses());
    await using _ = new Load(program.gateway.port, "/");
    const { out, code } = await program.lintel("top", "--once");
    expect(code).toBe(0);
    expect(out).toMatch(/^requests \d+\/s {2}errors 0\/s/m);
    expect(out).not.toMatch(/^requests 0\/s/m);
    for (const address of addresses()) expect(out).toMatch(new RegExp(`^ {2}${address} +up +[\\d.]+ +0 +\\d`, "m"));
    expect(out).toMatch(/^site-1 \S+ +[1-9]/m);
    expect(out).toMatch(/^127\.0\.0\.1 +[1-9]/m);
  });
});

test("stats and clients are as the document says, while there is traffic", async () => {
  await using program = await Program.start(addresses());
  await using load = new Load(program.gateway.port, "/");
  await program.api("GET", "/clients");
  await until(async () => {
    const { clients } = await program.api<{ clients: { client: string }[] }>("GET", "/clients");
    return clients.some(({ client }) => client === "127.0.0.1");
  }, "clients are counted");
  await load.more(10);
  const { routes } = await program.api<{ routes: { responses: Record<string, number> }[] }>("GET", "/stats");
  expect(routes[0]?.responses["2xx"]).toBeGreaterThan(0);
  expect(await program.api<{ openapi: string }>("GET", "/openapi.json")).toMatchObject({ openapi: "3.1.0" });
});
