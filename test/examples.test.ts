/** Every config in examples/ is started as it is, with free ports from the environment, and driven. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needs, program } from "../src/base/testing.ts";
import { prepare } from "../src/cli/prepare.ts";
import { curl, curlPath } from "./support/curl.ts";
import { Gateway } from "./support/gateway.ts";
import { closedPort, Origin } from "./support/origin.ts";
import { closeClients, exchange, type RawResponse, wire } from "./support/raw.ts";
import { CertificateFolder } from "./support/tls.ts";
import { Wire } from "./support/wire.ts";

const folder = join(import.meta.dir, "../examples");
const configs = readdirSync(folder).filter((name) => /\.ya?ml$|\.config\.ts$/.test(name));

let one: Origin;
let two: Origin;
let copy = "";
beforeAll(async () => {
  copy = mkdtempSync(join(tmpdir(), "lintel-examples-"));
  cpSync(folder, copy, { recursive: true });
  one = await Origin.start();
  two = await Origin.start();
});
afterEach(() => {
  for (const [origin, name] of [
    [one, "one"],
    [two, "two"],
  ] as const) {
    origin.clear();
    origin.script = (request) => request.reply({ content: `${name} ${request.target}` });
  }
  closeClients();
});
afterAll(() => {
  rmSync(copy, { recursive: true });
  one.stop();
  two.stop();
});

/** A copy that leaves port 2020 alone; TypeScript examples stay where "lintel" can be imported. */
function withFreeAdmin(name: string): string {
  if (name.endsWith(".ts")) return join(folder, name);
  const text = readFileSync(join(folder, name), "utf8");
  const file = join(copy, name);
  writeFileSync(file, /^admin:/m.test(text) ? text : `${text}admin: { address: "127.0.0.1:0" }\n`);
  return file;
}

/** Runs an example; the first origin server is "one", the second "two". */
async function run(
  name: string,
  env: Record<string, string>,
): Promise<
  {
    gateway: Gateway;
    ask: (host: string, line: string, ...fields: string[]) => Promise<RawResponse>;
  } & AsyncDisposable
> {
  const file = withFreeAdmin(name);
  for (const [origin, say] of [
    [one, "one"],
    [two, "two"],
  ] as const)
    origin.script = (request) => request.reply({ content: `${say} ${request.target}` });
  const gateway = Gateway.launch(
    {},
    {
      args: ["run", "--config", file, ...(name === "smallest.yaml" ? ["--listen", "127.0.0.1:0"] : [])],
      env: { LISTEN: "127.0.0.1:0", ADMIN: "127.0.0.1:0", ...env },
    },
  );
  await gateway.says("listening on");
  return {
    gateway,
    ask: (host, line, ...fields) =>
      exchange(gateway.url(), wire(`${line} HTTP/1.1`, `Host: ${host}`, ...fields, "", "")),
    [Symbol.asyncDispose]: () => gateway.stop(),
  };
}

test.each(configs)("%s has neither errors nor warnings", async (name) => {
  const { diagnostics } = await prepare({ file: join(folder, name) });
  expect(diagnostics.map(({ line, message }) => `${line}: ${message}`)).toEqual([]);
});

const drivers: Record<string, () => Promise<void>> = {
  "smallest.yaml": async () => {
    await using gateway = await run("smallest.yaml", { APP: one.address });
    expect((await gateway.ask("any.example", "GET /a")).text).toBe("one /a");
  },

  "application.yaml": async () => {
    await using gateway = await run("application.yaml", { APP: one.address, APP2: two.address });
    const www = "www.example.com";
    const answers = await Promise.all(Array.from({ length: 8 }, () => gateway.ask(www, "GET /")));
    expect(new Set(answers.map(({ text }) => text))).toEqual(new Set(["one /", "two /"]));
    expect((await gateway.ask(www, "GET /assets/letters.txt", "Range: bytes=0-2")).text).toBe("abc");
    expect((await gateway.ask(www, "GET /articles/2026/hello")).field("location")).toBe("/blog/hello");
    expect((await gateway.ask(www, "GET /health")).text).toBe("ok\n");
    expect((await gateway.ask(www, "POST /api/x", "Content-Length: 1000001")).status).toBe(413);
    expect((await gateway.ask("example.com", "GET /a?b")).field("location")).toBe("http://www.example.com/a?b");
    one.script = (request) => request.connection.reset();
    two.script = (request) => request.connection.reset();
    const down = await gateway.ask(www, "GET /");
    expect(down.status).toBe(502);
    expect(down.text).toContain(down.field("x-request-id")!);
    expect(down.field("x-frame-options")).toBe("DENY");
  },

  "static-site.yaml": async () => {
    await using gateway = await run("static-site.yaml", {});
    expect((await gateway.ask("www.example.com", "GET /")).text).toContain("A static file, served by Lintel");
    expect((await gateway.ask("www.example.com", "GET /<nothing>")).status).toBe(400);
    expect(await gateway.ask("www.example.com", "GET /no%3Cb%3E")).toMatchObject({
      status: 404,
      text: "<h1>There is nothing at /no&lt;b&gt;</h1>",
    });
    expect((await gateway.ask("other.example.com", "GET /")).status).toBe(404);
  },

  "several-applications.yaml": async () => {
    await using gateway = await run("several-applications.yaml", {
      SHOP: one.address,
      BLOG: two.address,
      CUSTOMERS: one.address,
    });
    expect((await gateway.ask("shop.example.com", "GET /")).text).toBe("one /");
    expect((await gateway.ask("en.blog.example.com", "GET /")).text).toBe("two /");
    expect((await gateway.ask("acme.app.example.com", "GET /")).status).toBe(200);
    expect(one.last.field("x-customer-host")).toBe("acme.app.example.com");
    expect((await gateway.ask("nobody.example.com", "GET /")).status).toBe(404);
  },

  "behind-a-load-balancer.yaml": async () => {
    await using gateway = await run("behind-a-load-balancer.yaml", { APP: one.address });
    expect((await gateway.ask("a", "GET /admin/x", "X-Forwarded-For: 198.51.100.1")).status).toBe(403);
    expect((await gateway.ask("a", "GET /admin/x", "X-Forwarded-For: 192.0.2.1, 198.51.100.1")).status).toBe(403);
    expect((await gateway.ask("a", "GET /admin/x", "X-Forwarded-For: 192.0.2.1")).status).toBe(200);
    expect(one.last.field("x-real-ip")).toBe("192.0.2.1");
  },

  "external-shop.yaml": async () => {
    await using gateway = await run("external-shop.yaml", { SHOP: one.address });
    one.script = (request) =>
      request.reply({
        status: 302,
        fields: { Location: "http://shop.vendor.example/cart", "Set-Cookie": "a=b; Domain=shop.vendor.example" },
      });
    const response = await gateway.ask("shop.example.com", "GET /");
    expect(one.last.field("host")).toBe("shop.vendor.example");
    expect(response.field("location")).toBe("http://shop.example.com/cart");
    expect(response.field("set-cookie")).toBe("a=b");
  },

  "canary.config.ts": async () => {
    await using gateway = await run("canary.config.ts", { STABLE: one.address, CANARY: two.address });
    const { length: workers } = gateway.gateway.workers;
    const answers = await Promise.all(Array.from({ length: 20 * workers }, () => gateway.ask("a", "GET /cart/1")));
    expect(new Set(answers.map(({ text }) => text))).toEqual(new Set(["one /cart/1", "two /cart/1"]));
    // Of n turns that a worker takes the canary has n / 10, rounded either way.
    const canary = answers.filter(({ text }) => text.startsWith("two")).length;
    expect(canary).toBeGreaterThanOrEqual(1.1 * workers);
    expect(canary).toBeLessThanOrEqual(2.9 * workers);
    expect((await gateway.ask("a", "GET /search/x", "Cookie: early=yes")).text).toBe("two /search/x");
    expect((await gateway.ask("a", "GET /other")).status).toBe(404);
  },

  "automatic-https.yaml": async () => {
    const env = { APP: one.address, API: two.address, API2: two.address };
    // Nobody of the outside world is to be asked by a test.
    const ca = { CA: "https://127.0.0.1:1/directory", LISTEN_TLS: "127.0.0.1:0" };
    await using running = await run("automatic-https.yaml", { ...env, ...ca });
    for (const name of ["example.com", "www.example.com", "api.example.com"])
      await running.gateway.says(`no certificate name=${name}`);
    await running.gateway.says("the CA does not listen");
    // Without a certificate nobody is sent to HTTPS.
    expect((await running.ask("example.com", "GET /a")).text).toBe("one /a");
    expect((await running.ask("api.example.com", "GET /a")).text).toBe("two /a");
  },

  "own-certificates.yaml": async () => {
    const port = await closedPort();
    const files = new CertificateFolder();
    const { path, authority } = files;
    try {
      const names = ["example.com", "www.example.com", "staff.example.com"];
      for (const kind of ["ecdsa", "rsa"] as const) files.put(kind, authority.issue(names, { kind }));
      files.write("staff-ca.pem", authority.cert);
      const env = { APP: one.address, STAFF: two.address, CERTS: path, LISTEN_TLS: `127.0.0.1:${port}` };
      await using running = await run("own-certificates.yaml", env);
      await running.gateway.says("listener=https");
      expect((await running.ask("example.com", "GET /a")).field("location")).toBe(`https://example.com:${port}/a`);
      const client = authority.issue([], { subject: "alice", use: "client" });
      const ask = (host: string, more: object = {}) =>
        fetch(`https://127.0.0.1:${port}/a`, {
          headers: { host },
          tls: { ca: authority.cert, serverName: host, checkServerIdentity: () => undefined, ...more },
        } as RequestInit);
      expect(await (await ask("www.example.com")).text()).toBe("one /a");
      expect(await (await ask("staff.example.com", client)).text()).toBe("two /a");
      expect(two.last.field("x-client-subject")).toBe("CN=alice");
      expect((await ask("staff.example.com").catch(() => null))?.status ?? 0).toBe(0);
    } finally {
      files.remove();
    }
  },

  "development-https.yaml": async () => {
    const port = await closedPort();
    const env = { APP: one.address, API: two.address, LISTEN_TLS: `127.0.0.1:${port}` };
    await using running = await run("development-https.yaml", env);
    const { gateway } = running;
    await gateway.says("listener=https");
    const state = join(gateway.directory, "state");
    const root = readdirSync(state, { recursive: true })
      .map(String)
      .find((path) => path.endsWith("local/root"))!;
    const { cert } = JSON.parse(readFileSync(join(state, root), "utf8")) as { cert: string };
    const answer = await fetch(`https://localhost:${port}/a`, { tls: { ca: cert } });
    expect(await answer.text()).toBe("one /a");
    expect((await running.ask("api.test", "GET /a")).field("location")).toBe(`https://api.test:${port}/a`);
  },

  // Both tiers: what the edge relays it does not look at.
  "two-tier-edge.yaml": async () => {
    await using first = await run("two-tier-web.yaml", { APP: one.address, EDGE: "127.0.0.0/8" });
    await using second = await run("two-tier-web.yaml", { APP: two.address, EDGE: "127.0.0.0/8" });
    const address = ({ gateway }: { gateway: Gateway }) => new URL(gateway.url()).host;
    await using edge = await run("two-tier-edge.yaml", { WEB1: address(first), WEB2: address(second) });
    const port = edge.gateway.portOf("edge");
    const said = new Set<string>();
    for (let i = 0; i < 8; i++) {
      const client = await Wire.connect(port, `127.0.0.${10 + i}`);
      client.send(wire("GET / HTTP/1.1", "Host: a", "", ""));
      await client.hears(" /");
      said.add(client.text.slice(-5));
      client.send(wire("GET /whoami HTTP/1.1", "Host: a", "", ""));
      await client.hears(`127.0.0.${10 + i}\n`);
      client.close();
    }
    expect(said).toEqual(new Set(["one /", "two /"]));
    const told = [one, two].flatMap(({ requests }) => requests.map((request) => request.field("x-forwarded-for")));
    expect(told.sort()).toEqual(Array.from({ length: 8 }, (_, i) => `127.0.0.${10 + i}`));
  },

  "two-tier-web.yaml": async () => {
    await using web = await run("two-tier-web.yaml", { APP: one.address, EDGE: "127.0.0.7" });
    const port = Number(new URL(web.gateway.url()).port);
    const behind = await Wire.connect(port, "127.0.0.7");
    behind.send(`PROXY TCP4 192.0.2.9 192.0.2.1 4000 80\r\n${wire("GET /whoami HTTP/1.1", "Host: a", "", "")}`);
    await behind.hears("192.0.2.9\n");
    behind.close();
    // Who is not the edge is believed nothing.
    const direct = await Wire.connect(port, "127.0.0.8");
    direct.send(wire("GET /whoami HTTP/1.1", "Host: a", "X-Forwarded-For: 192.0.2.9", "", ""));
    await direct.hears("127.0.0.8\n");
    direct.close();
  },

  "start.yaml": async () => {
    await using gateway = await run("start.yaml", { ONE: one.address, TWO: two.address, THREE: one.address });
    expect((await gateway.ask("two.localhost", "GET /x")).text).toBe("two /x");
    expect((await gateway.ask("any", "GET /two/x")).text).toBe("two /x");
    expect((await gateway.ask("any", "GET /hello")).text).toBe("hello 127.0.0.1, this is Lintel itself\n");
  },
};

test.each(configs)(
  "%s does what it says",
  async (name) => {
    const drive = drivers[name];
    if (drive === undefined) throw new Error(`nothing here drives examples/${name}`);
    await drive();
  },
  60_000,
);

needs(program("curl", curlPath)).test(
  "two tiers let HTTP/2 and TLS through as they are, and the second one knows the client",
  async () => {
    await using plain = await run("two-tier-web.yaml", { APP: one.address, EDGE: "127.0.0.0/8" });
    const web = new URL(plain.gateway.url()).host;
    await using edge = await run("two-tier-edge.yaml", { WEB1: web, WEB2: web });
    const at = `http://127.0.0.1:${edge.gateway.portOf("edge")}/whoami`;
    const known = await curl("--http2-prior-knowledge", "--interface", "127.0.0.31", at);
    expect(known.heads).toStartWith("HTTP/2 200");
    expect(known.text).toBe("127.0.0.31\n");

    // A second tier that ends TLS: the first one has no key, and needs none.
    const files = new CertificateFolder();
    await using secure = await Gateway.start({
      workers: 1,
      listeners: [{ address: "127.0.0.1:0", tls: true, proxyProtocol: ["127.0.0.0/8"] }],
      tls: { certificates: files.put("web", files.authority.issue(["web.test"])) },
      sites: [{ use: [{ respond: "{client.address} {tls.alpn}\n" }] }],
    });
    const behind = new URL(secure.url()).host;
    await using outside = await run("two-tier-edge.yaml", { WEB1: behind, WEB2: behind });
    const port = outside.gateway.portOf("edge");
    const answer = await files.curl("web.test", port, "/", "--http2", "--interface", "127.0.0.32");
    expect(answer.text).toBe("127.0.0.32 h2\n");
    files.remove();
  },
  60_000,
);
