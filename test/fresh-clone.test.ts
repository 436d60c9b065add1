/**
 * The README as a newcomer reads it: a fresh clone, the packages installed, and each of its `sh` lines as it is
 * written, in a network where all ports are free and no registry answers.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { needs } from "../src/base/testing.ts";
import { curlPath } from "./support/curl.ts";
import { descendants, isAlive } from "./support/gateway.ts";
import { hasOwnNetworks, OwnNetwork } from "./support/own-network.ts";
import { until } from "./support/until.ts";

const root = join(import.meta.dir, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");
/** What a clone has once all is committed: files that git ignores are not there. */
const FILES = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
const listing = Bun.spawnSync(FILES, { cwd: root, stderr: "ignore" });
const canRun = listing.exitCode === 0 && hasOwnNetworks && curlPath !== null;

let place = "";
let clone = "";
let network: OwnNetwork;

beforeAll(async () => {
  if (!canRun) return;
  place = mkdtempSync(join(tmpdir(), "lintel-newcomer-"));
  clone = join(place, "clone");
  network = await OwnNetwork.create();
  for (const path of listing.stdout.toString().split("\0")) {
    if (path === "" || !existsSync(join(root, path))) continue;
    mkdirSync(dirname(join(clone, path)), { recursive: true });
    copyFileSync(join(root, path), join(clone, path));
  }
  linkPackages(join(clone, "node_modules"));
  // Installed after the lock file was written.
  const installed = join(clone, "node_modules/.package-lock.json");
  const text = readFileSync(installed);
  rmSync(installed);
  writeFileSync(installed, text);
});
afterAll(() => {
  if (!canRun) return;
  network.close();
  rmSync(place, { recursive: true });
});

/** Folders of their own with the same files in them: what is removed or replaced there stays here. */
function linkPackages(to: string): void {
  const linked = Bun.spawnSync(["cp", "-al", join(root, "node_modules"), to], { stderr: "ignore" });
  if (linked.exitCode === 0) return;
  rmSync(to, { recursive: true, force: true });
  cpSync(join(root, "node_modules"), to, { recursive: true, verbatimSymlinks: true });
}

/** The lines of the README that begin with this, without what is said about them. */
function lines(beginning: string): string[] {
  const blocks = [...readme.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block]) => block!.split("\n"));
  return blocks.filter((line) => line.startsWith(beginning)).map((line) => line.replace(/ +# .*/, ""));
}

/** A terminal in the clone, of somebody who has used npm for nothing else yet. */
class Terminal {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;

  constructor(cwd = clone) {
    this.cwd = cwd;
    this.env = {
      PATH: `${join(place, "global/bin")}:${process.env["PATH"]}`,
      HOME: place,
      STATE_DIRECTORY: join(place, "state"),
      NO_COLOR: "1",
      npm_config_offline: "true",
      npm_config_prefix: join(place, "global"),
      npm_config_loglevel: "error",
    };
  }

  async run(line: string): Promise<string> {
    const child = Bun.spawn(network.command("sh", "-c", line), {
      cwd: this.cwd,
      env: this.env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [out, error, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect({ line, code, error }).toEqual({ line, code: 0, error });
    return out;
  }

  start(line: string): Started {
    return new Started(line, this);
  }
}

/** What serves until Ctrl-C. */
class Started {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  #said = "";

  constructor(line: string, { cwd, env }: Terminal) {
    // A process group is what the terminal sends Ctrl-C to.
    const options = { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] } as const;
    this.#child = Bun.spawn(network.command("sh", "-c", line), options as never) as never;
    for (const stream of [this.#child.stdout, this.#child.stderr]) void this.#read(stream);
  }

  async says(text: string): Promise<void> {
    await until(
      () => this.#said.includes(text) || this.#child.exitCode !== null,
      () => `it says ${text}:\n${this.#said}`,
      60_000,
    );
    expect(this.#said).toContain(text);
  }

  async interrupt(): Promise<void> {
    const processes = [this.#child.pid, ...descendants(this.#child.pid)];
    process.kill(-this.#child.pid, "SIGINT");
    await this.#child.exited;
    await until(
      () => !processes.some(isAlive),
      () => `every process ends:\n${this.#said}`,
      60_000,
    );
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) this.#said += decoder.decode(chunk, { stream: true });
  }
}

needs({ what: "a clone by git, curl, and networks of its own", isMet: canRun }).describe("in a fresh clone", () => {
  test("npm start serves where the README says, until Ctrl-C", async () => {
    expect(lines("npm start")).toEqual(["npm start"]);
    const [url] = /<(http:\/\/127[^>]+)>/.exec(readme)!.slice(1);
    const started = new Terminal().start("npm start");
    await started.says("Ctrl-C ends it all");
    expect(await new Terminal().run(`curl -sSf ${url}/hello`)).toContain("hello 127.0.0.1");
    await started.interrupt();
  }, 90_000);

  test("npx lintel run --to serves an application, by HTTP and HTTPS", async () => {
    const terminal = new Terminal();
    const application = terminal.start(
      `exec node -e 'require("http").createServer((_, to) => to.end("mine")).listen(3000, () => console.log("there"))'`,
    );
    await application.says("there");
    const [plain, development, everybody, ...others] = lines("npx lintel run --to");
    expect(others).toEqual([]);

    const first = terminal.start(plain!);
    await first.says("admin on");
    expect(await terminal.run("curl -sSf http://127.0.0.1:8080/")).toBe("mine");
    await first.interrupt();

    const second = terminal.start(development!);
    await second.says("admin on");
    expect(await terminal.run("npx lintel trust --print")).toContain("BEGIN CERTIFICATE");
    await terminal.run("npx lintel trust --print > root.pem");
    expect(await terminal.run("curl -sSf --cacert root.pem https://localhost:8443/")).toBe("mine");
    await second.interrupt();

    const third = terminal.start(everybody!);
    await third.says("admin on");
    await third.says("listening on https://[::]:443");
    const resolve = "--resolve example.com:80:127.0.0.1";
    expect(await terminal.run(`curl -sSf ${resolve} http://example.com/`)).toBe("mine");
    await third.interrupt();
    await application.interrupt();
  }, 120_000);

  test("its config is checked, shown, explained and served", async () => {
    const terminal = new Terminal(join(clone, "shop"));
    mkdirSync(join(terminal.cwd, "public/assets"), { recursive: true });
    writeFileSync(join(terminal.cwd, "public/assets/logo.txt"), "the logo");
    const [smallest, usual] = [...readme.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
    writeFileSync(join(terminal.cwd, "lintel.yaml"), usual!.replace("/var/log/lintel", place));
    expect(lines("npx lintel ").slice(-4)).toEqual([
      "npx lintel check",
      "npx lintel routes",
      "npx lintel explain http://www.example.com/api/users",
      "npx lintel run",
    ]);
    expect(await terminal.run("npx lintel check")).toStartWith("lintel.yaml: fine");
    const routes = await terminal.run("npx lintel routes");
    expect(routes.indexOf("/assets/*")).toBeGreaterThan(0);
    expect(routes.indexOf("/assets/*")).toBeLessThan(routes.lastIndexOf("app"));
    const explained = await terminal.run("npx lintel explain http://www.example.com/api/users");
    expect(explained).toContain("/api/*");
    expect(explained).toContain("body-limit");

    const served = terminal.start("npx lintel run");
    await served.says("admin on");
    const get = (url: string, more = "") =>
      terminal.run(`curl -sSi --resolve '*:80:127.0.0.1' ${more} ${url} | tr -d '\\r'`);
    const asset = await get("http://www.example.com/assets/logo.txt");
    expect(asset).toStartWith("HTTP/1.1 200");
    expect(asset).toEndWith("\n\nthe logo");
    expect(asset.toLowerCase()).toContain("\nx-frame-options: deny\n");
    expect((await get("http://www.example.com/old/page")).toLowerCase()).toContain("\nlocation: /new/page\n");
    const moved = await get("http://example.com/there?a=b");
    expect(moved.toLowerCase()).toContain("\nlocation: http://www.example.com/there?a=b\n");
    const large = "-H 'Content-Length: 2000000' -X POST --data-binary x";
    expect(await get("http://www.example.com/api/upload", large)).toStartWith("HTTP/1.1 413");
    await served.interrupt();
    expect(readFileSync(join(place, "access.log"), "utf8").trim().split("\n")).toHaveLength(4);

    writeFileSync(join(terminal.cwd, "lintel.yaml"), smallest!);
    expect(await terminal.run("npx lintel check")).toStartWith("lintel.yaml: fine");
  }, 120_000);

  test("installed for the whole system, of the clone or as a copy, the command works elsewhere", async () => {
    const [ofClone, asCopy, ...others] = lines("npm install --global");
    expect(others).toEqual([]);
    const elsewhere = new Terminal(join(place, "elsewhere"));
    mkdirSync(elsewhere.cwd);
    writeFileSync(join(elsewhere.cwd, "lintel.yaml"), 'sites: [{ to: "localhost:3000" }]');
    await new Terminal().run(ofClone!);
    expect(await elsewhere.run("lintel check")).toContain("fine");

    // No registry, so the dependencies are put beside the copy by us; all else is as npm would do it.
    expect(asCopy).toBe('npm install --global "./$(npm pack --silent)"');
    const packed = (await new Terminal().run("npm pack --silent")).trim();
    await new Terminal().run(`tar -xzf ${packed} -C ${place}`);
    linkPackages(join(place, "package/node_modules"));
    expect(await elsewhere.run(`node ${place}/package/bin/lintel.mjs check`)).toContain("fine");
    expect(readdirSync(join(place, "package"))).toEqual(expect.arrayContaining(["LICENSE", "README.md", "docs"]));
  }, 60_000);

  test("npm test and the programs beside it are there", async () => {
    const { scripts } = JSON.parse(readFileSync(join(clone, "package.json"), "utf8")) as { scripts: object };
    for (const [, name] of readme.matchAll(/`npm run ([\w-]+)/g)) expect(Object.keys(scripts)).toContain(name!);
    // All tests are what this one runs in: a few of them show that the line works.
    expect(lines("npm test")).toEqual(["npm test"]);
    expect(await new Terminal().run("npm test -- src/base/")).toMatch(/\n\d+ passed, 0 failed/);
  }, 120_000);
});
