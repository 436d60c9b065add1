/** The whole program as processes: a supervisor with workers, looked at through sockets, signals and /proc. */
import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { needs, ROOT } from "../base/testing.ts";
import { catalog } from "../cli/catalog.ts";
import { loadConfig } from "../config/load.ts";
import { freePortBelow1024 } from "../net/testing.ts";

const PROGRAM = `
  const { loadConfig } = await import(${JSON.stringify(`${import.meta.dir}/../config/load.ts`)});
  const { catalog } = await import(${JSON.stringify(`${import.meta.dir}/../cli/catalog.ts`)});
  const { runSupervisor } = await import(${JSON.stringify(`${import.meta.dir}/supervisor.ts`)});
  const { startAdmin } = await import(${JSON.stringify(`${import.meta.dir}/../admin/server.ts`)});
  const [text, directory] = process.argv.slice(-2);
  const { config, tree } = await loadConfig({ tree: JSON.parse(text), origin: "test" }, catalog, {});
  process.exit(await runSupervisor({ tree, origin: "test", directory, config, startAdmin }));`;

/** Requests for "/held" that wait for the test. */
let held: (() => void)[] = [];
const origin = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 0,
  async fetch(request) {
    if (new URL(request.url).pathname === "/held") await new Promise<void>((resolve) => held.push(resolve));
    return new Response("from origin");
  },
});

/** A request that has reached the origin server, where it stays until it is released. */
async function hold(url: string): Promise<{ response: Promise<Response>; release(): void }> {
  const response = get(`${url}/held`);
  response.catch(() => {});
  await until(() => held.length === 1);
  return { response, release: held.pop()! };
}

const WHO = { match: "/who", use: [{ respond: { status: 200, body: "{pid}" } }] };
const SITES = [{ routes: [WHO, { match: "/*", to: `127.0.0.1:${origin.port}` }] }];

class Program {
  readonly directory = mkdtempSync(`${tmpdir()}/lintel-supervisor-`);
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  stderr = "";
  /** Everything that was printed on standard output, once it has ended. */
  readonly stdout: Promise<string>;

  constructor(tree: Record<string, unknown>) {
    const text = JSON.stringify({ listeners: ["127.0.0.1:0"], admin: "off", workers: 2, sites: SITES, ...tree });
    this.process = Bun.spawn([process.execPath, "-e", PROGRAM, text, this.directory], {
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, STATE_DIRECTORY: `${this.directory}/state` },
    });
    chmodSync(this.directory, 0o755); // Other users go in there too.
    this.stdout = this.process.stdout.text();
    void this.#read();
    programs.push(this);
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.process.stderr) this.stderr += decoder.decode(chunk, { stream: true });
  }

  /** Waits for a line of the log. @returns the match */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    await until(
      () => pattern.test(this.stderr),
      () => `no ${pattern} in:\n${this.stderr}`,
    );
    return pattern.exec(this.stderr)!;
  }

  async url(): Promise<string> {
    return (await this.says(/listening on (http:\S+)/))[1]!;
  }

  workers(): number[] {
    return children(this.process.pid);
  }
}

const children = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

async function until(condition: () => boolean | Promise<boolean>, why = () => "in vain"): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited 20 s: ${why()}`);
    await Bun.sleep(10);
  }
}

const programs: Program[] = [];
afterEach(async () => {
  for (const release of held) release();
  held = [];
  for (const program of programs.splice(0)) {
    program.process.kill("SIGKILL");
    await program.process.exited;
    rmSync(program.directory, { recursive: true });
  }
});

/** One request on a connection of its own. */
const get = (url: string): Promise<Response> => fetch(url, { headers: { connection: "close" }, keepalive: false });
const textOf = async (url: string): Promise<string> => (await get(url)).text();

beforeAll(async () => {
  const { diagnostics } = await loadConfig({ tree: { sites: SITES }, origin: "test" }, catalog, {});
  expect(diagnostics).toEqual([]);
});

describe("a supervisor", () => {
  test("says where it listens, and spreads connections over its workers", async () => {
    const program = new Program({});
    const url = await program.url();
    expect(await textOf(`${url}/x`)).toBe("from origin");
    const answered = new Set<number>();
    for (let i = 0; i < 60; i++) answered.add(Number(await textOf(`${url}/who`)));
    expect([...answered].sort()).toEqual(program.workers().sort());
  });

  test("replaces a worker that was killed, and no client is refused meanwhile", async () => {
    const program = new Program({});
    const url = await program.url();
    const [victim] = program.workers();
    process.kill(victim!, "SIGKILL");
    await until(() => !isAlive(victim!));
    const answers = await Promise.all(Array.from({ length: 40 }, () => textOf(`${url}/who`)));
    expect(answers.length).toBe(40);
    expect(answers).not.toContain(String(victim));
    await program.says(/worker died .*signal=SIGKILL/);
    expect(program.workers().length).toBe(2);
  });

  test("one scrape covers all workers, also after one died", async () => {
    const program = new Program({ admin: { address: "127.0.0.1:0" } });
    const url = await program.url();
    const admin = (await program.says(/admin on (http:\S+)/))[1]!;
    const scrape = async () => (await textOf(`${admin}metrics`)).split("\n");
    for (let i = 0; i < 30; i++) await textOf(`${url}/who`);
    const counted = /^lintel_requests_total\{.*code="2xx"\} 30$/;
    expect((await scrape()).filter((line) => counted.test(line)).length).toBe(1);
    expect(await scrape()).toContain("lintel_workers 2");
    process.kill(program.workers()[0]!, "SIGKILL");
    await program.says(/worker died/);
    expect((await scrape()).filter((line) => counted.test(line)).length).toBe(1);
    expect(await scrape()).toContain("lintel_worker_restarts_total 1");
    expect((await get(`${admin}health`)).status).toBe(503);
    await until(async () => (await get(`${admin}health`)).status === 200);
    expect(await scrape()).toContain("lintel_workers 2");
  });

  test("SIGTERM lets exchanges finish, refuses new connections, and ends with 0", async () => {
    const program = new Program({});
    const url = await program.url();
    const { response, release } = await hold(url);
    program.process.kill("SIGTERM");
    await program.says(/finishing what is in flight/);
    const isRefused = () =>
      textOf(`${url}/x`).then(
        () => false,
        () => true,
      );
    await until(isRefused);
    release();
    expect(await (await response).text()).toBe("from origin");
    expect(await program.process.exited).toBe(0);
  });

  test("what still waits for the origin server after the drain time is answered 503", async () => {
    const program = new Program({ timeouts: { drain: "50ms" } });
    const { response } = await hold(await program.url());
    program.process.kill("SIGTERM");
    expect(await program.process.exited).toBe(0);
    expect((await response).status).toBe(503);
  });

  test("a second signal ends it now, with 1", async () => {
    const program = new Program({});
    await hold(await program.url()); // It would wait for this.
    program.process.kill("SIGTERM");
    await program.says(/finishing what is in flight/);
    await Bun.sleep(600); // Sooner it would count as the same one.
    program.process.kill("SIGINT");
    expect(await program.process.exited).toBe(1);
  });

  test("two signals at once are one Ctrl-C that a launcher handed on", async () => {
    const program = new Program({});
    const { response, release } = await hold(await program.url());
    program.process.kill("SIGINT");
    program.process.kill("SIGINT");
    await program.says(/finishing what is in flight/);
    release();
    expect(await (await response).text()).toBe("from origin");
    expect(await program.process.exited).toBe(0);
  });

  test("workers ignore signals of the terminal: the supervisor speaks for them", async () => {
    const program = new Program({});
    const url = await program.url();
    const before = program.workers();
    for (const pid of before) for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.kill(pid, signal);
    await Bun.sleep(100);
    expect(await textOf(`${url}/x`)).toBe("from origin");
    expect(program.workers()).toEqual(before);
  });

  test("if it is killed, its workers finish and go", async () => {
    const program = new Program({});
    const url = await program.url();
    const workers = program.workers();
    const { response, release } = await hold(url);
    program.process.kill("SIGKILL");
    await program.process.exited;
    release();
    expect(await (await response).text()).toBe("from origin");
    await until(() => workers.every((pid) => !isAlive(pid)));
  });

  test("SIGUSR1 makes every worker open the access log again", async () => {
    const accessLog = { output: "./access.log", format: "{pid}", flush: "20ms" };
    const program = new Program({ telemetry: { accessLog } });
    const url = await program.url();
    const path = `${program.directory}/access.log`;
    for (let i = 0; i < 5; i++) await textOf(`${url}/who`);
    await until(() => readFileSync(path, "utf8").split("\n").length === 6);
    renameSync(path, `${path}.1`);
    program.process.kill("SIGUSR1");
    await until(() => program.stderr.match(/reopened/g)?.length === 2);
    const answered: string[] = [];
    for (let i = 0; i < 30; i++) answered.push(await textOf(`${url}/who`));
    await until(() => readFileSync(path, "utf8").split("\n").length === 31);
    expect(readFileSync(path, "utf8").split("\n").slice(0, -1).sort()).toEqual(answered.sort());
    expect(readFileSync(`${path}.1`, "utf8").split("\n").length).toBe(6);
  });

  test("the last log lines are written before it ends", async () => {
    const accessLog = { output: "stdout", format: "{request.target}", flush: "60s" };
    const program = new Program({ telemetry: { accessLog } });
    const url = await program.url();
    for (let i = 0; i < 5; i++) await textOf(`${url}/${i}`);
    program.process.kill("SIGTERM");
    expect(await program.process.exited).toBe(0);
    expect((await program.stdout).split("\n").filter(Boolean).sort()).toEqual(["/0", "/1", "/2", "/3", "/4"]);
  });
});

describe("a start that fails", () => {
  test("on a port that is taken ends with 1 and says who has it", async () => {
    const first = new Program({});
    const { port } = new URL(await first.url());
    const second = new Program({ listeners: [`127.0.0.1:${port}`, `0.0.0.0:${port}`] });
    expect(await second.process.exited).toBe(1);
    await second.says(/already does/);
    expect(second.stderr.match(/\(process \d+\) already does/g)?.length).toBe(2);
  });

  test("in the workers ends with 1 and their reason", async () => {
    const accessLog = { output: "./no/such/folder/access.log" };
    const program = new Program({ telemetry: { accessLog } });
    expect(await program.process.exited).toBe(1);
    expect(program.stderr).toMatch(/workers do not start: ENOENT/);
  });
});

needs(ROOT).describe("started by root with `user`", () => {
  test("binds a port below 1024, then supervisor and workers run as that user", async () => {
    const accessLog = { output: "./access.log" };
    const address = `127.0.0.1:${freePortBelow1024()}`;
    const program = new Program({ user: "nobody", listeners: [address], telemetry: { accessLog } });
    expect(await program.url()).toBe(`http://${address}`);
    expect(await textOf(`http://${address}/x`)).toBe("from origin");
    for (const pid of [program.process.pid, ...program.workers()]) {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      expect(status).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m);
      expect(status).toMatch(/^CapEff:\t0+$/m);
    }
  });

  test("an unknown user is an error", async () => {
    const program = new Program({ user: "no-such-user" });
    expect(await program.process.exited).toBe(1);
    expect(program.stderr).toContain('there is no user "no-such-user"');
  });
});
