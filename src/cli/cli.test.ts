/** The program as people and scripts run it: a process, its output, its exit code. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needs, program } from "../base/testing.ts";
import { middlewares } from "../middleware/index.ts";
import { Authority } from "../tls/testing.ts";
import { commands } from "./commands/index.ts";

const LAUNCHER = new URL("../../bin/lintel.mjs", import.meta.url).pathname;
const MAIN = new URL("./main.ts", import.meta.url).pathname;

const root = mkdtempSync(join(tmpdir(), "lintel-cli-"));
afterAll(() => rmSync(root, { recursive: true }));

/** A folder with these files. */
function folder(files: Record<string, string>): string {
  const path = mkdtempSync(join(root, "f-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

async function lintel(words: string[], files: Record<string, string> = {}, env: Record<string, string> = {}) {
  const child = Bun.spawn([process.execPath, MAIN, ...words], {
    cwd: folder(files),
    env: { PATH: process.env["PATH"]!, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, error, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { out, error, code };
}

const SHOP = `
listeners: [":8080", { name: admin, address: "127.0.0.1:9090" }]
trustedProxies: [127.0.0.1]
upstreams:
  app: ["localhost:3000", { address: "localhost:3001", weight: 2 }]
sites:
  - name: main
    hosts: [example.com, "*.example.com"]
    use: [request-id]
    routes:
      - { name: api, match: { path: "/api/*", method: [POST, PUT] }, use: [{ rewrite: { stripPrefix: /api } }], to: app }
      - { name: inside, match: { path: "/api/*", client: 10.0.0.0/8 }, to: app }
      - { name: user, match: "/users/:id", to: app }
      - { name: health, match: /health, use: [{ respond: { body: ok } }] }
    to: app
`;

test("without a command it shows what there is, and that this was no command", async () => {
  const { out, error, code } = await lintel([]);
  expect({ out, code }).toEqual({ out: "", code: 2 });
  expect(error).toContain("lintel run --to localhost:3000");
});

test.each(commands.map(({ name }) => name))("%s --help has an example and its exit codes", async (name) => {
  const { out, error, code } = await lintel([name, "--help"]);
  expect({ error, code }).toEqual({ error: "", code: 0 });
  expect(out).toContain(`Usage: lintel ${name}`);
  expect(out).toMatch(new RegExp(`Examples?:\\n\\n  lintel ${name}`));
  expect(out).toContain("Exit codes: 0");
  expect((await lintel(["help", name])).out).toBe(out);
});

test.each([
  [["chek"], 'lintel: there is no command "chek"\n      = did you mean "check"?\nTry: lintel --help\n'],
  [["check", "--shrot"], "lintel: there is no flag --shrot\n      = did you mean --short?\nTry: lintel check --help\n"],
  [["run", "--workers"], "lintel: --workers needs a value: --workers N\nTry: lintel run --help\n"],
  [
    ["run", "a.yaml"],
    "lintel: run takes no parameters: a.yaml\n      = did you mean --config a.yaml or --to a.yaml?\nTry: lintel run --help\n",
  ],
  [
    ["run", "--to", "a:1", "-c", "x"],
    "lintel: --to serves without a config: leave out --config\nTry: lintel run --help\n",
  ],
  [["explain"], "lintel: explain needs a URL, and may have a method before it\nTry: lintel explain --help\n"],
  [["explain", "ftp://x"], "lintel: ftp://x is not a URL with the scheme http or https\nTry: lintel explain --help\n"],
  [["explain", "x", "-H", "y"], "lintel: \"y\" is not a field: write 'name: value'\nTry: lintel explain --help\n"],
])("%j makes no sense: exit code 2 and the way out", async (words, error) => {
  expect(await lintel(words)).toEqual({ out: "", error, code: 2 });
});

test("a config is looked for in the working folder, TypeScript first", async () => {
  const none = await lintel(["check"]);
  expect(none.code).toBe(2);
  expect(none.error).toContain(
    "there is no config here: none of lintel.config.ts, lintel.yaml, lintel.yml, lintel.json",
  );
  const json = '{ "sites": [{ "to": "localhost:1" }] }';
  expect((await lintel(["check"], { "lintel.json": json })).out).toStartWith("lintel.json: fine");
  expect((await lintel(["check"], { "lintel.json": json, "lintel.yaml": json })).out).toStartWith("lintel.yaml: fine");
  const ts = `import { defineConfig } from "lintel";\nexport default defineConfig(${json});`;
  expect((await lintel(["check"], { "lintel.yaml": json, "lintel.config.ts": ts })).out).toStartWith(
    "lintel.config.ts: fine",
  );
});

test("check says what is fine", async () => {
  expect(await lintel(["check"], { "lintel.yaml": SHOP })).toEqual({
    out: "lintel.yaml: fine (2 listeners, 1 site, 5 routes, 1 upstream)\n",
    error: "",
    code: 0,
  });
});

test("check shows every problem with its place, without colour for a pipe", async () => {
  const files = { "bad.yaml": "sites:\n  - to: localhost:${PORT}\n    use:\n      - body-limit: { max_size: 10MB }\n" };
  expect(await lintel(["check", "bad.yaml"], files)).toEqual({
    out: [
      "bad.yaml:2:19: error[unset-variable]: environment variable PORT is not set",
      "    2 |   - to: localhost:${PORT}",
      "      |                   ^^^^^^^",
      "      = give a default: ${PORT:-…}",
      "",
      'bad.yaml:4:23: error[unknown-option]: middleware "body-limit" has no option "max_size"',
      "    4 |       - body-limit: { max_size: 10MB }",
      "      |                       ^^^^^^^^",
      '      = did you mean "max"? (options: max)',
      "",
      "2 errors",
      "",
    ].join("\n"),
    error: "",
    code: 1,
  });
  const short = await lintel(["check", "--short", "--config", "bad.yaml"], files, { PORT: "80" });
  expect(short).toEqual({
    out: 'bad.yaml:4:23: error[unknown-option]: middleware "body-limit" has no option "max_size" (did you mean "max"? (options: max))\n',
    error: "",
    code: 1,
  });
});

test("check finds routes that can never match, and names the one before them", async () => {
  const { out, code } = await lintel(["check", "--short"], {
    "lintel.yaml": `sites:
  - routes:
      - { name: all, match: "/shop/*", to: "localhost:1" }
      - { name: old, match: "/shop/*", to: "localhost:1" }
      - { name: rest, to: "localhost:1" }
    to: localhost:2
`,
  });
  expect({ out, code }).toEqual({
    out:
      'lintel.yaml:2:5: error[unreachable-route]: the "to" of site "site-1" can never match: route "rest" at line 5 takes every request first\n' +
      'lintel.yaml:4:9: error[unreachable-route]: route "old" can never match: route "all" at line 3 takes every request first\n',
    code: 1,
  });
});

test("check finds a host that the site does not take, and methods that others take together", async () => {
  const { out, code } = await lintel(["check"], {
    "lintel.yaml": `sites:
  - name: shop
    hosts: [shop.example, "*.shop.example"]
    routes:
      - { name: api, match: { host: api.example }, to: "localhost:1" }
      - { name: reads, match: { path: "/*", method: [GET, HEAD] }, to: "localhost:1" }
      - { name: writes, match: { path: "/*", method: POST }, to: "localhost:1" }
      - { name: both, match: { path: "/*", method: [POST, GET] }, to: "localhost:1" }
`,
  });
  expect({ out, code }).toEqual({
    out: `lintel.yaml:5:31: error[unreachable-route]: route "api" can never match: site "shop" does not take its host, "api.example"
    5 |       - { name: api, match: { host: api.example }, to: "localhost:1" }
      |                               ^^^^
      = hosts of the site: shop.example, *.shop.example

lintel.yaml:8:9: error[unreachable-route]: route "both" can never match: route "reads" at line 6 and route "writes" at line 7 take every request first
    8 |       - { name: both, match: { path: "/*", method: [POST, GET] }, to: "localhost:1" }
      |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

2 errors
`,
    code: 1,
  });
});

test("check finds what only shows when a middleware is made", async () => {
  const { out, code } = await lintel(["check", "--short"], {
    "lintel.yaml":
      "sites:\n  - to: localhost:1\n    use:\n      - error-pages: { pages: { '404': { file: missing.html } } }\n",
  });
  expect(out).toStartWith('lintel.yaml:4:9: error[middleware-failed]: middleware "error-pages": ');
  expect(code).toBe(1);
});

test("warnings fail only with --strict", async () => {
  const files = { "lintel.yaml": "upstreams: { old: 'localhost:1' }\nsites: [{ to: 'localhost:2' }]\n" };
  const lax = await lintel(["check"], files);
  expect(lax.out).toContain("warning[unused-upstream]");
  expect(lax.code).toBe(0);
  expect((await lintel(["check", "--strict"], files)).code).toBe(1);
});

test("routes shows the table in the order of matching", async () => {
  const { out, error, code } = await lintel(["routes"], { "lintel.yaml": SHOP });
  expect({ error, code }).toEqual({ error: "", code: 0 });
  expect(out).toBe(`site main: example.com, *.example.com, on :8080, admin
     PATH        CONDITIONS          DOES                       ROUTE
  1  /health                         request-id, respond        health
  2  /users/:id                      request-id → app           user
  3  /api/*      method POST or PUT  request-id, rewrite → app  api
  4  /api/*      client 10.0.0.0/8   request-id → app           inside
  5  *                               request-id → app           main/5
`);
  const listed = JSON.parse((await lintel(["routes", "--json"], { "lintel.yaml": SHOP })).out) as { route: string }[];
  expect(listed[2]).toEqual({
    site: "main",
    hosts: ["example.com", "*.example.com"],
    listeners: [":8080", "admin"],
    route: "api",
    path: "/api/*",
    conditions: ["method POST or PUT"],
    use: ["request-id", "rewrite"],
    to: "app",
  } as never);
});

test("explain shows who answers, and why those before do not", async () => {
  const { out, error, code } = await lintel(
    ["explain", "DELETE", "shop.example.com:9090/api/../api/x?y=1", "-H", "X-Forwarded-For: 10.1.2.3"],
    {
      "lintel.yaml": SHOP,
    },
  );
  expect({ error, code }).toEqual({ error: "", code: 0 });
  expect(out).toBe(`request   DELETE http://shop.example.com:9090/api/../api/x?y=1, matched as /api/x
client    10.1.2.3, by way of trusted proxy 127.0.0.1
listener  admin (127.0.0.1:9090): it listens on port 9090
site      main: its pattern *.example.com fits host "shop.example.com"
not       health (/health): needs path /health, found "/api/x"
not       user (/users/:id): needs path /users/:id, found "/api/x"
not       api (/api/*): needs method POST or PUT, found DELETE
route     inside: path /api/* and client 10.0.0.0/8 hold
params    *="x"
use       request-id (site)
upstream  app: round-robin over localhost:3000, localhost:3001 (weight 2)
retry     once after connect, reset, malformed
`);
});

test("explain says when nobody answers, with exit code 1", async () => {
  const { out, code } = await lintel(["explain", "http://nowhere.example/"], { "lintel.yaml": SHOP });
  expect(code).toBe(1);
  expect(out).toEndWith("answer    404: no site takes it\n");
  expect((await lintel(["explain", "http://example.com/../x"], { "lintel.yaml": SHOP })).error).toContain(
    "the request would be refused",
  );
});

test.each([
  ["https://a.test/x", /^listener +secure.*port 443\ntls +certificate a.pem \+ a.key\nsite +a: /m],
  ["http://a.test/x?y", /^answer +308 to https:\/\/a.test\/x\?y: there is a certificate for the host/m],
  ["https://staff.test/", /^tls +a client certificate is required$/m],
  ["https://b.test/", /^tls +no certificate for b.test: a.pem \+ a.key is shown, which browsers refuse$/m],
  ["http://b.test/", /^answer +by a middleware$/m],
  ["http://a.test:443/", /^answer +none: the listener has TLS/m],
])("explain knows of TLS: %s", async (url, says) => {
  const { cert, key } = new Authority().issue(["a.test", "staff.test"]);
  const config = `
listeners: [{ name: plain, address: ":80" }, { name: secure, address: ":443", tls: true }]
tls: { certificates: { cert: a.pem, key: a.key } }
sites:
  - { name: a, hosts: a.test, use: [{ respond: hello }] }
  - { name: staff, hosts: staff.test, tls: { clientAuth: { ca: a.pem } }, use: [{ respond: hello }] }
  - { name: rest, use: [{ respond: hello }] }
`;
  const { out } = await lintel(["explain", url], { "lintel.yaml": config, "a.pem": cert, "a.key": key });
  expect(out).toMatch(says);
});

test("commands that need a config that works show its problems on standard error", async () => {
  for (const command of [["routes"], ["explain", "http://a/"], ["run"]]) {
    const { out, error, code } = await lintel(command, { "lintel.yaml": "sites: [{ to: app }]" });
    expect({ out, code }).toEqual({ out: "", code: 1 });
    expect(error).toContain("error[unknown-upstream]");
  }
  const flag = await lintel(["run", "--to", "localhost"]);
  expect(flag.error).toContain(
    'command line: sites[0].to: error[unknown-upstream]: site 1 sends to upstream "localhost", which is not defined',
  );
});

test("schema is the JSON Schema of every middleware too", async () => {
  const { out, code } = await lintel(["schema"]);
  expect(code).toBe(0);
  for (const { name } of middlewares) expect(out).toContain(`"title": "${name}"`);
  expect(JSON.parse(out)).toHaveProperty("$defs.middleware");
});

test("the launcher works under Node and under Bun, and from any folder", async () => {
  for (const runtime of ["node", process.execPath]) {
    const child = Bun.spawn([runtime, LAUNCHER, "version"], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
    expect(await child.stdout.text()).toMatch(/^lintel \d+\.\d+\.\d+ \(bun \d/);
    expect(await child.exited).toBe(0);
  }
  expect(await Bun.spawn(["node", LAUNCHER, "chek"], { stdio: ["ignore", "ignore", "ignore"] }).exited).toBe(2);
});

test("run serves what the flags say, and the launcher hands SIGTERM on", async () => {
  const origin = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
  const path = folder({
    "lintel.yaml": "admin: off\nlisteners: [':1']\nsites: [{ listeners: [':1'], to: '127.0.0.1:${ORIGIN}' }]",
  });
  const child = Bun.spawn(["node", LAUNCHER, "run", "--listen", "127.0.0.1:0", "--workers", "1"], {
    cwd: path,
    env: { ...process.env, ORIGIN: String(origin.port), STATE_DIRECTORY: join(root, "state") },
    stdio: ["ignore", "ignore", "pipe"],
  });
  try {
    const url = await listening(child.stderr);
    expect(await (await fetch(url)).text()).toBe("hello");
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  } finally {
    child.kill("SIGKILL");
    await origin.stop(true);
  }
}, 20_000);

/** The URL in the program's log. */
async function listening(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const url = /listening on (\S+)/.exec(text)?.[1];
    if (url !== undefined) return url;
  }
  throw new Error(`it ended before it listened:\n${text}`);
}

needs(program("script")).test("colour is for terminals, and NO_COLOR turns it off", async () => {
  mkdirSync(join(root, "tty"), { recursive: true });
  const path = folder({ "lintel.yaml": "sites: 1" });
  const typescript = async (env: Record<string, string>) => {
    const command = `${process.execPath} ${MAIN} check`;
    const child = Bun.spawn(["script", "-qec", command, "/dev/null"], {
      cwd: path,
      env: { PATH: process.env["PATH"]!, TERM: "xterm", ...env },
      stdio: ["ignore", "pipe", "ignore"],
    });
    return child.stdout.text();
  };
  expect(await typescript({})).toContain("\x1b[31merror[bad-type]\x1b[0m");
  expect(await typescript({ NO_COLOR: "1" })).not.toContain("\x1b");
});
