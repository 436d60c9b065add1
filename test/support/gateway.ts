/**
 * Runs the real program as a user would, `node bin/lintel.mjs run --config …`, on ports the kernel
 * chooses, and looks at it from outside: what it prints, its access log, its processes.
 */
import { expect } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const root = join(import.meta.dir, "../..");
const START_MS = 25_000;
const STOP_MS = 20_000;
/** For anything else that has to happen: how late it is says nothing. */
const PATIENCE_MS = 15_000;

/** A config as the YAML would say it. Defaults of the tests fill what it leaves out. */
export type TestConfig = Readonly<Record<string, unknown>>;

export interface GatewayOptions {
  /** Written beside the config before the start, by relative path. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments instead of `run --config FILE`. */
  readonly args?: readonly string[];
  /** Runs the program under `prefix`, such as ["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"]. */
  readonly prefix?: readonly string[];
  /** Path of another launcher. */
  readonly program?: string;
}

/**
 * For tests that measure memory: workers collect when their heap has grown by a fifth, and from 8 MiB on. So what grows
 * is what they hold. As shipped, more than 64 MiB may be garbage that nobody has collected yet.
 */
export const SMALL_HEAP = {
  BUN_JSC_largeHeapSize: String(8 * 1024 * 1024),
  BUN_JSC_smallHeapGrowthFactor: "1.2",
};

/** One line of the access log. */
export type LogLine = Readonly<Record<string, unknown>>;

export class Gateway {
  readonly directory: string;
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  #stdout = "";
  #stderr = "";
  #logRead = 0;
  #stopped = false;

  private constructor(child: Bun.Subprocess<"ignore", "pipe", "pipe">, directory: string) {
    this.#child = child;
    this.directory = directory;
    void this.#read(child.stdout, (text) => (this.#stdout += text));
    void this.#read(child.stderr, (text) => (this.#stderr += text));
    running.add(this);
  }

  /** Starts the program and waits until it listens. */
  static async start(config: TestConfig | string, options: GatewayOptions = {}): Promise<Gateway> {
    const gateway = Gateway.launch(config, options);
    try {
      const hasAdmin = typeof config === "string" ? !/^admin: off/m.test(config) : config["admin"] !== "off";
      await gateway.#until(() => gateway.#isReady(hasAdmin), START_MS, "listening");
    } catch (why) {
      gateway.kill();
      throw why;
    }
    return gateway;
  }

  /** Starts the program without waiting: for configs it refuses. */
  static launch(config: TestConfig | string, options: GatewayOptions = {}): Gateway {
    const directory = mkdtempSync(join(tmpdir(), "lintel-test-"));
    for (const [path, text] of Object.entries(options.files ?? {})) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), text);
    }
    const file = join(directory, typeof config === "string" ? "lintel.yaml" : "lintel.json");
    writeFileSync(file, typeof config === "string" ? config : JSON.stringify(withDefaults(config, directory), null, 2));
    const child = Bun.spawn(
      [
        ...(options.prefix ?? []),
        "node",
        options.program ?? join(root, "bin/lintel.mjs"),
        ...(options.args ?? ["run", "--config", file]),
      ],
      {
        cwd: directory,
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        env: { ...process.env, NO_COLOR: "1", STATE_DIRECTORY: join(directory, "state"), ...options.env },
      },
    );
    return new Gateway(child, directory);
  }

  /** "http://127.0.0.1:PORT" of the first listener, or of the one with this name. */
  url(name?: string): string {
    const urls = this.#listeners();
    const found = name === undefined ? urls[0] : urls.find((one) => one.line.includes(name));
    if (found === undefined) throw new Error(`no listener ${name ?? ""} in:\n${this.output}`);
    return found.url;
  }

  /** Port of the listener, or the entry of tcp or udp, of this name. */
  portOf(name: string): number {
    return Number(new URL(this.url(`listener=${name}`)).port);
  }

  get port(): number {
    return Number(new URL(this.url()).port);
  }

  get adminUrl(): string {
    const found = /admin[^\n]*?(https?:\/\/[^\s"]+)/i.exec(this.output);
    if (found === null) throw new Error(`no admin address in:\n${this.output}`);
    return found[1]!.replace(/\/metrics$/, "").replace(/\/$/, "");
  }

  /** Standard output and error so far. */
  get output(): string {
    return this.#stdout + this.#stderr;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Waits until the output holds the text. */
  async says(text: string | RegExp, timeoutMs = PATIENCE_MS): Promise<void> {
    await this.#until(
      () => (typeof text === "string" ? this.output.includes(text) : text.test(this.output)),
      timeoutMs,
      `the output holds ${text}`,
    );
  }

  /** Access log lines written since the last call, once there are at least `count`. */
  async log(count = 1, timeoutMs = PATIENCE_MS): Promise<LogLine[]> {
    const read = () => this.#logLines().slice(this.#logRead);
    await this.#until(() => read().length >= count, timeoutMs, `${count} more access log lines`);
    const lines = read();
    this.#logRead += lines.length;
    return lines.map((line) => JSON.parse(line) as LogLine);
  }

  /** The next single access log line. */
  async logLine(timeoutMs = PATIENCE_MS): Promise<LogLine> {
    const lines = await this.log(1, timeoutMs);
    expect(lines).toHaveLength(1);
    return lines[0]!;
  }

  /** The access log line of the exchange with this request target. */
  async logOf(target: string, timeoutMs = PATIENCE_MS): Promise<LogLine> {
    const find = () => this.#logLines().find((line) => line.includes(`"target":${JSON.stringify(target)}`));
    await this.#until(() => find() !== undefined, timeoutMs, `an access log line for ${target}`);
    return JSON.parse(find()!) as LogLine;
  }

  /** Skips what has been logged so far, once the line of every exchange that is over is on the disk. */
  async skipLog(): Promise<void> {
    const over = async () => {
      const samples = [...(await this.metrics())];
      return samples.reduce((sum, [name, value]) => sum + (name.startsWith("lintel_requests_total{") ? value : 0), 0);
    };
    for (let tries = 0; tries < 400 && this.#logLines().length < (await over()); tries++) await Bun.sleep(5);
    this.#logRead = this.#logLines().length;
  }

  /** The metrics as Prometheus would scrape them, by sample name with labels. */
  async metrics(): Promise<Map<string, number>> {
    const response = await fetch(`${this.adminUrl}/metrics`);
    expect(response.status).toBe(200);
    const samples = (await response.text())
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => {
        const at = line.lastIndexOf(" ");
        return [line.slice(0, at), Number(line.slice(at + 1))] as const;
      });
    return new Map(samples);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Process ids of the supervisor's workers. The launcher may stand above the supervisor. */
  get workers(): number[] {
    return leaves(this.pid);
  }

  /** Every process of the gateway. */
  get processes(): number[] {
    return [this.pid, ...descendants(this.pid)];
  }

  /** Resident memory of the workers in octets. */
  residentOctets(): number {
    return this.workers.reduce((sum, pid) => sum + residentOctets(pid), 0);
  }

  /** Open sockets of the workers. */
  sockets(): number {
    return this.workers.reduce((sum, pid) => sum + socketsOf(pid), 0);
  }

  /** Waits until the workers hold no more sockets than `most`. */
  async socketsAtMost(most: number, timeoutMs = PATIENCE_MS): Promise<void> {
    await this.#until(
      () => this.sockets() <= most,
      timeoutMs,
      () => `at most ${most} sockets, ${this.sockets()} are open`,
    );
  }

  signal(signal: NodeJS.Signals, pid = this.pid): void {
    process.kill(pid, signal);
  }

  /** Waits for the end of the program. @returns the exit code, 128+n after a signal */
  async exited(timeoutMs = STOP_MS): Promise<number> {
    await this.#until(
      () => this.#child.exitCode !== null || this.#child.signalCode !== null,
      timeoutMs,
      "the end of the program",
    );
    running.delete(this);
    return this.#child.exitCode ?? 128;
  }

  /** SIGTERM; the program must end with 0 and leave no process behind. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const processes = this.processes;
      this.signal("SIGTERM");
      try {
        expect({ exitCode: await this.exited(), output: this.output }).toEqual({ exitCode: 0, output: this.output });
        await this.#until(() => !processes.some(isAlive), PATIENCE_MS, "every process of the gateway to end");
      } finally {
        this.kill(processes);
      }
    }
    running.delete(this);
    rmSync(this.directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Ends everything now. */
  kill(processes = this.processes): void {
    this.#stopped = true;
    running.delete(this);
    for (const pid of processes) if (isAlive(pid)) process.kill(pid, "SIGKILL");
  }

  #isReady(hasAdmin: boolean): boolean {
    return this.#listeners().length > 0 && (!hasAdmin || /\badmin on /.test(this.output));
  }

  #listeners(): { url: string; line: string }[] {
    return this.output
      .split("\n")
      .filter((line) => /listening on/.test(line) && !/admin/i.test(line))
      .flatMap((line) =>
        [...line.matchAll(/(?:https?|tcp|udp):\/\/[^\s",]+/g)].map(([url]) => ({ url: url.replace(/\/$/, ""), line })),
      );
  }

  #logLines(): string[] {
    try {
      const text = readFileSync(join(this.directory, "access.log"), "utf8");
      return text
        .slice(0, text.lastIndexOf("\n") + 1)
        .split("\n")
        .slice(0, -1);
    } catch {
      return [];
    }
  }

  async #read(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
  }

  async #until(holds: () => boolean, timeoutMs: number, what: string | (() => string)): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!holds()) {
      const ended = this.#child.exitCode !== null || this.#child.signalCode !== null;
      if (ended || Date.now() > deadline) {
        await Bun.sleep(20);
        if (holds()) return;
        const why = ended
          ? `the program ended with ${this.#child.exitCode ?? this.#child.signalCode}`
          : `${timeoutMs} ms passed`;
        throw new Error(`${why} while waiting for: ${typeof what === "string" ? what : what()}\n${this.output}`);
      }
      await Bun.sleep(5);
    }
  }
}

const running = new Set<Gateway>();
process.on("exit", () => {
  for (const gateway of running) gateway.kill();
});

/** One worker, one listener and the admin on free ports, a fast access log in a file. */
function withDefaults(config: TestConfig, directory: string): TestConfig {
  return {
    workers: 1,
    listeners: ["127.0.0.1:0"],
    admin: { address: "127.0.0.1:0" },
    telemetry: { accessLog: { format: "json", output: join(directory, "access.log"), flush: "10ms" } },
    ...config,
  };
}

export function descendants(pid: number): number[] {
  return children(pid).flatMap((child) => [child, ...descendants(child)]);
}

/** The processes at the end of each branch: launcher → supervisor → workers. */
function leaves(pid: number): number[] {
  return children(pid).flatMap((child) => (children(child).length === 0 ? [child] : leaves(child)));
}

function children(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

export function residentOctets(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return match === null ? 0 : Number(match[1]) * 1024;
}

function socketsOf(pid: number): number {
  let sockets = 0;
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      if (readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("socket:")) sockets++;
    } catch {
      // Closed meanwhile.
    }
  }
  return sockets;
}
