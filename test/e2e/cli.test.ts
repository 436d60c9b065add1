/** The commands as a user types them: `node bin/lintel.mjs …`. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import program from "../../package.json" with { type: "json" };

const launcher = join(import.meta.dir, "../../bin/lintel.mjs");
let directory: string;

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function lintel(...args: string[]): Promise<Said> {
  return runWith({ PORT: "3000" }, ...args);
}

async function runWith(env: Record<string, string>, ...args: string[]): Promise<Said> {
  const child = Bun.spawn(["node", launcher, ...args], {
    cwd: directory,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env["PATH"] ?? "", ...env },
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, err };
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "lintel-cli-"));
  writeFileSync(
    join(directory, "lintel.yaml"),
    `upstreams:
  app: localhost:\${PORT:-4000}
sites:
  - name: shop
    hosts: [shop.example]
    routes:
      - name: api
        match: { path: "/api/*", method: POST }
        use:
          - rewrite: { stripPrefix: /api }
        to: app
      - name: rest
        to: app
`,
  );
  writeFileSync(
    join(directory, "bad.yaml"),
    `upstreams: { app: "localhost:3000" }
timeouts: { head: 30 minutes }
sites:
  - hosts: [a.example]
    routes:
      - { name: all, to: app }
      - { name: all, match: /x, too: app }
      - { to: apps }
`,
  );
  writeFileSync(
    join(directory, "lintel.config.ts"),
    `import { defineConfig } from ${JSON.stringify(join(import.meta.dir, "../../src/index.ts"))};\nexport default defineConfig({ sites: [{ to: "localhost:3000" }] });\n`,
  );
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("check", () => {
  test("says that a config is fine, with exit code 0", async () => {
    const { code, out } = await lintel("check", "--config", "lintel.yaml");
    expect(out).toContain("fine");
    expect(code).toBe(0);
  });

  test("tells all that is wrong in one go, each with file, line and column, with exit code 1", async () => {
    const { code, out, err } = await lintel("check", "bad.yaml");
    const text = out + err;
    for (const place of ["bad.yaml:2:", "bad.yaml:7:", "bad.yaml:8:"]) expect(text).toContain(place);
    expect(text).toContain('did you mean "app"');
    expect(text).toContain('"too"');
    expect(code).toBe(1);
  });

  test("reads TypeScript", async () => {
    expect((await lintel("check", "lintel.config.ts")).code).toBe(0);
  });

  test("says which file it looked for in vain", async () => {
    const { code, err, out } = await lintel("check", "--config", "nowhere.yaml");
    expect(out + err).toContain("nowhere.yaml");
    expect(code).not.toBe(0);
  });
});

test("routes shows the table in the order routes are tried", async () => {
  const { code, out } = await lintel("routes", "--config", "lintel.yaml");
  expect(code).toBe(0);
  expect(out.indexOf("/api/*")).toBeGreaterThan(0);
  expect(out.indexOf("api")).toBeLessThan(out.indexOf("rest"));
  expect(out).toContain("app");
  const routes = JSON.parse((await lintel("routes", "--config", "lintel.yaml", "--json")).out) as { route: string }[];
  expect(routes).toHaveLength(2);
});

test("explain says which route takes a request and why the earlier ones do not", async () => {
  const taken = await lintel("explain", "--config", "lintel.yaml", "POST", "http://shop.example/api/users");
  expect(taken.code).toBe(0);
  expect(taken.out).toMatch(/route +.*api/);
  expect(taken.out).toContain("rewrite");
  const passed = await lintel("explain", "--config", "lintel.yaml", "GET", "http://shop.example/api/users");
  expect(passed.out).toMatch(/not +.*api[\s\S]*method/i);
  expect(passed.out).toMatch(/route +.*rest/);
  expect((await lintel("explain", "--config", "lintel.yaml", "http://other.example/")).code).toBe(1);
});

test("schema prints a JSON Schema that knows every middleware", async () => {
  const { code, out } = await lintel("schema");
  expect(code).toBe(0);
  const schema = JSON.parse(out) as { $schema: string };
  expect(schema.$schema).toContain("json-schema.org");
  for (const name of [
    "headers",
    "rewrite",
    "redirect",
    "respond",
    "files",
    "body-limit",
    "timeouts",
    "request-id",
    "error-pages",
  ])
    expect(out).toContain(`"${name}"`);
});

test("version prints the package's", async () => {
  const { code, out } = await lintel("version");
  expect(code).toBe(0);
  expect(out).toContain(program.version);
  expect((await lintel("--version")).out).toContain(program.version);
});

describe("help", () => {
  test.each(["run", "check", "routes", "explain", "schema", "version"])(
    "%s --help shows an example",
    async (command) => {
      const { code, out } = await lintel(command, "--help");
      expect(code).toBe(0);
      expect(out).toContain(`lintel ${command}`);
      expect(out.toLowerCase()).toContain("example");
    },
  );

  test("lintel --help lists the commands; an unknown one is named, with the nearest, and exit code 2", async () => {
    const { out } = await lintel("--help");
    for (const command of ["run", "check", "routes", "explain", "schema", "version"]) expect(out).toContain(command);
    const { code, err } = await lintel("chek");
    expect(err).toContain('"chek"');
    expect(err).toContain("check");
    expect(code).toBe(2);
  });

  test("an unknown flag is named, with exit code 2", async () => {
    const { code, err } = await lintel("check", "--confg", "x");
    expect(err).toContain("--confg");
    expect(code).toBe(2);
  });
});

test("colour is for terminals only", async () => {
  const { out, err } = await lintel("check", "bad.yaml");
  expect(out + err).not.toContain("\x1b[");
});
