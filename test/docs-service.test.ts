/**
 * Lintel as a service, as docs/running.md and docs/access-log.md have it: their unit and their rotation,
 * with the command as `npm install --global` puts it, `/` as the folder and the environment of systemd.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { findProgram, needs, program } from "../src/base/testing.ts";
import { until } from "./support/until.ts";

const root = join(import.meta.dir, "..");
const unit = blockOf("docs/running.md", "ini");
const rotation = blockOf("docs/access-log.md", "logrotate");
/** The folders that the pages name, within one of ours. */
const FOLDERS = ["/usr/local/bin", "/etc/lintel", "/var/log/lintel", "/var/lib/lintel"] as const;

let machine = "";
beforeAll(() => {
  machine = mkdtempSync(join(tmpdir(), "lintel-service-"));
  for (const folder of FOLDERS) mkdirSync(join(machine, folder), { recursive: true });
  symlinkSync(join(root, "bin/lintel.mjs"), join(machine, "/usr/local/bin/lintel"));
});
afterAll(() => rmSync(machine, { recursive: true }));

function blockOf(page: string, language: string): string {
  const text = readFileSync(join(root, page), "utf8");
  return new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "m").exec(text)![1]!;
}

/** Paths of the pages, within our folder. */
const moved = (text: string): string =>
  FOLDERS.reduce((result, folder) => result.replaceAll(`${folder}/`, `${join(machine, folder)}/`), text);

/** The value of a key that the unit has once. */
function valueAt(key: string): string {
  const values = [...unit.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value]) => value!);
  expect({ key, values }).toEqual({ key, values: [expect.any(String)] });
  return values[0]!;
}

const config = (greeting: string) => `
listeners: ["127.0.0.1:0"]
admin: off
workers: 2
sites:
  - use: [{ respond: "${greeting}" }]
telemetry:
  accessLog: { format: "{request.target}", output: ${join(machine, "/var/log/lintel/access.log")}, flush: 10ms }
`;

/** What systemd does with the unit, as far as the service can tell. */
class Service implements AsyncDisposable {
  readonly configFile = join(machine, "/etc/lintel/lintel.yaml");
  readonly logFile = join(machine, "/var/log/lintel/access.log");
  /** Settles with the exit code of the main process, once it has said all. */
  readonly ended: Promise<number>;
  readonly #main: Bun.Subprocess<"ignore", "ignore", "pipe">;
  #said = "";

  constructor() {
    writeFileSync(this.configFile, config("one"));
    this.#main = this.#spawn(valueAt("ExecStart"));
    this.ended = Promise.all([this.#main.exited, this.#read()]).then(([code]) => code);
  }

  get mainPid(): number {
    return this.#main.pid;
  }

  get said(): string {
    return this.#said;
  }

  get url(): string {
    return [...this.#said.matchAll(/listening on (http:\S+)/g)].at(-1)![1]!;
  }

  says(pattern: RegExp): Promise<void> {
    return until(
      () => pattern.test(this.#said) || this.#main.exitCode !== null,
      () => `the service says ${pattern}:\n${this.#said}`,
    ).then(() => expect(this.#said).toMatch(pattern));
  }

  signal(signal: NodeJS.Signals): void {
    this.#main.kill(signal);
  }

  async reload(): Promise<{ code: number; error: string }> {
    const child = this.#spawn(valueAt("ExecReload"));
    const [error, code] = await Promise.all([child.stderr.text(), child.exited]);
    return { code, error };
  }

  async ask(path: string): Promise<string> {
    const response = await fetch(`${this.url}${path}`, { keepalive: false });
    return response.text();
  }

  get logLines(): string[] {
    return linesOf(this.logFile);
  }

  stop(): Promise<number> {
    // KillMode=mixed: SIGTERM for the main process alone.
    this.signal("SIGTERM");
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#main.exitCode === null) await this.stop();
  }

  #spawn(line: string): Bun.Subprocess<"ignore", "ignore", "pipe"> {
    const [program, ...args] = moved(line).split(" ");
    expect(program).toStartWith("/");
    return Bun.spawn([program!, ...args], {
      cwd: "/",
      env: {
        PATH: `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:${dirname(findProgram("node")!)}`,
        STATE_DIRECTORY: join(machine, "/var/lib", valueAt("StateDirectory")),
      },
      stdio: ["ignore", "ignore", "pipe"],
    });
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#main.stderr) this.#said += decoder.decode(chunk, { stream: true });
  }
}

const linesOf = (file: string): string[] =>
  existsSync(file) ? readFileSync(file, "utf8").split("\n").filter(Boolean) : [];

test("the unit starts, reloads, hands on every signal of docs/running.md, and stops with 0", async () => {
  await using service = new Service();
  await service.says(/listening on/);
  expect(await service.ask("/")).toBe("one");

  writeFileSync(service.configFile, config("two"));
  expect(await service.reload()).toEqual({ code: 0, error: expect.any(String) });
  expect(await service.ask("/")).toBe("two");

  writeFileSync(service.configFile, `${config("three")}\nsitse: []\n`);
  expect(await service.reload()).toEqual({ code: 1, error: expect.stringContaining('did you mean "sites"') });
  expect(await service.ask("/")).toBe("two");

  writeFileSync(service.configFile, config("four"));
  service.signal("SIGHUP");
  await service.says(/SIGHUP: \S+ is in force/);
  expect(await service.ask("/")).toBe("four");

  writeFileSync(service.configFile, config("five"));
  service.signal("SIGUSR2");
  await service.says(/SIGUSR2: Lintel \S+ takes over[\s\S]*new workers serve/);
  expect(await service.ask("/")).toBe("five");

  expect(await service.stop()).toBe(0);
  expect(service.said).toContain("SIGTERM: finishing what is in flight");
}, 60_000);

test("SIGINT to the main process is a drain, too", async () => {
  await using service = new Service();
  await service.says(/listening on/);
  service.signal("SIGINT");
  expect(await service.ended).toBe(0);
  expect(service.said).toContain("SIGINT: finishing what is in flight");
}, 60_000);

test("every signal of docs/running.md is one that the launcher hands on", () => {
  const page = readFileSync(join(root, "docs/running.md"), "utf8");
  const table = page.slice(page.indexOf("## Signals"), page.indexOf("## Privileges"));
  const launcher = readFileSync(join(root, "bin/pass-signals.mjs"), "utf8");
  const named = new Set(table.match(/SIG[A-Z]+\d?/g));
  expect([...named].sort()).toEqual(["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"]);
  for (const name of named) expect(launcher).toContain(`"${name}"`);
});

test("TimeoutStopSec is longer than timeouts.drain, and the log of docs/access-log.md may be written", () => {
  const drain = /\| `drain` \| (\d+)s \|/.exec(readFileSync(join(root, "docs/timeouts.md"), "utf8"))![1];
  expect(Number(valueAt("TimeoutStopSec"))).toBeGreaterThan(Number(drain));
  expect(`/var/log/${valueAt("LogsDirectory")}/*.log`).toBe(rotation.split(" ")[0]!);
});

/** A `systemctl` that does what the real one would do to our service, and nothing else. */
function fakeSystemctl(mainPid: number): string {
  const folder = mkdtempSync(join(machine, "bin-"));
  const file = join(folder, "systemctl");
  writeFileSync(
    file,
    `#!/bin/sh
[ "$*" = "kill --kill-who=main --signal=USR1 lintel" ] || { echo "unexpected: $*" >&2; exit 1; }
kill -USR1 ${mainPid}
`,
  );
  chmodSync(file, 0o755);
  return `${folder}:${process.env["PATH"]}`;
}

async function rotates(rotate: (service: Service) => void): Promise<void> {
  rmSync(join(machine, "/var/log/lintel"), { recursive: true });
  mkdirSync(join(machine, "/var/log/lintel"), { mode: 0o755 });
  await using service = new Service();
  await service.says(/listening on/);
  await service.ask("/before");
  await until(() => service.logLines.length === 1, "the line of before is written");
  rotate(service);
  await until(
    () => service.said.match(/reopened/g)?.length === 2,
    () => `both workers open it anew:\n${service.said}`,
  );
  await service.ask("/after");
  await until(() => service.logLines.length === 1, "the line of after is written");
  expect(service.logLines).toEqual(["/after"]);
  expect(linesOf(`${service.logFile}.1`)).toEqual(["/before"]);
}

test("the script of the rotation reaches Lintel through the main process", async () => {
  const script = /postrotate\n([\s\S]*?)endscript/.exec(rotation)![1]!;
  await rotates(({ logFile, mainPid }) => {
    const run = Bun.spawnSync(["sh", "-e", "-c", `mv ${logFile} ${logFile}.1\n${script}`], {
      env: { PATH: fakeSystemctl(mainPid) },
      stderr: "pipe",
    });
    expect({ code: run.exitCode, error: run.stderr.toString() }).toEqual({ code: 0, error: "" });
  });
}, 60_000);

needs(program("logrotate")).test(
  "logrotate takes the rotation as it is written, and it works",
  async () => {
    const file = join(machine, "rotation");
    writeFileSync(file, moved(rotation), { mode: 0o644 });
    await rotates(({ mainPid }) => {
      const state = join(machine, "rotation.state");
      const run = Bun.spawnSync([findProgram("logrotate")!, "--force", "--state", state, file], {
        env: { PATH: fakeSystemctl(mainPid) },
        stderr: "pipe",
      });
      expect({ code: run.exitCode, error: run.stderr.toString() }).toEqual({ code: 0, error: "" });
    });
  },
  60_000,
);

needs(program("systemd-analyze")).test("systemd finds nothing wrong with the unit", () => {
  const file = join(machine, "lintel.service");
  writeFileSync(file, moved(unit));
  const run = Bun.spawnSync([findProgram("systemd-analyze")!, "verify", "--man=no", file], { stderr: "pipe" });
  // Complaints about units of the machine are not about ours.
  const said = run.stderr.toString().split("\n");
  expect(said.filter((line) => line.includes(realpathSync(file)) || line.startsWith("lintel.service"))).toEqual([]);
});
