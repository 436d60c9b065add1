/** Automatic HTTPS as its users see it: the real program, certificates from a real ACME server (pebble). */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Resolver } from "node:dns/promises";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { Knot, knotPath } from "../../src/acme/dns/testing.ts";
import { freePort, Pebble, pebblePath } from "../../src/acme/testing.ts";
import { needs, program } from "../../src/base/testing.ts";
import { Gateway, type GatewayOptions } from "../support/gateway.ts";
import { until } from "../support/until.ts";

const folder = mkdtempSync(join(tmpdir(), "lintel-https-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let storages = 0;
const newStorage = () => join(folder, String(++storages));

const running: { stop(): unknown }[] = [];
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop();
});

async function start(config: Parameters<typeof Gateway.start>[0], options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = await Gateway.start(config, options);
  running.push(gateway);
  return gateway;
}

/**
 * A program that sets records, as a user would write one. It waits while there is a file `wait`, and writes down how it
 * was called.
 */
const HOOK = `#!/usr/bin/env node
import { appendFileSync, existsSync } from "node:fs";
const [server, action, name, value] = process.argv.slice(2);
appendFileSync("calls", action + " " + name + "\\n");
while (existsSync("wait")) await new Promise((resolve) => setTimeout(resolve, 20));
const body = JSON.stringify({ host: name + ".", ...(action === "present" && { value }) });
const answer = await fetch(server + (action === "present" ? "/set-txt" : "/clear-txt"), { method: "POST", body });
if (!answer.ok) throw new Error("the DNS server answered " + answer.status);
`;

const answers = (text: string) => [{ respond: { body: text } }];

interface Ran {
  readonly out: string;
  readonly code: number;
}

/** A command of the program. */
async function lintel(args: readonly string[], cwd = folder, env: Record<string, string> = {}): Promise<Ran> {
  const program = join(import.meta.dir, "../../bin/lintel.mjs");
  const child = Bun.spawn(["node", program, ...args], {
    cwd,
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, NO_COLOR: "1", ...env },
  });
  return { out: await new Response(child.stdout).text(), code: await child.exited };
}

interface Shown {
  readonly names: string;
  readonly issuer: string;
  readonly fingerprint: string;
  readonly alpn: string | false;
}

/** The certificate a client is shown; refused if the CA has not signed it. */
async function shown(port: number, name: string | null, ca: string, host = "127.0.0.1"): Promise<Shown> {
  const socket: TLSSocket = connect({
    host,
    port,
    ca,
    ...(name === null ? {} : { servername: name }),
    ALPNProtocols: ["http/1.1"],
  });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve);
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("closed")));
    });
    const { subjectaltname = "", issuer, fingerprint256 } = socket.getPeerCertificate();
    return {
      names: subjectaltname,
      issuer: issuer.CN as string,
      fingerprint: fingerprint256,
      alpn: socket.alpnProtocol!,
    };
  } finally {
    socket.destroy();
  }
}

/** Waits until the name is served with a certificate that the CA has signed. */
async function secured(gateway: Gateway, port: number, name: string, ca: string): Promise<Shown> {
  let found: Shown | null = null;
  let why: unknown = null;
  await until(
    async () => {
      try {
        found = await shown(port, name, ca);
      } catch (thrown) {
        why = thrown;
        await Bun.sleep(100);
      }
      return found !== null;
    },
    () => `a certificate for ${name}: ${String(why)}\n${gateway.output}`,
    30_000,
  );
  return found!;
}

needs(program("pebble", pebblePath)).describe("against pebble", () => {
  let pebble: Pebble;
  let issuer: string;
  beforeAll(async () => {
    pebble = await Pebble.start({ nonceReject: 5 });
    issuer = await pebble.issuer();
  });
  afterAll(() => pebble.stop());

  const listeners = (http = pebble.httpPort, https = pebble.tlsPort) => [
    { name: "http", address: `127.0.0.1:${http}` },
    { name: "https", address: `127.0.0.1:${https}`, tls: true },
  ];
  const acme = (more: object = {}) => ({ ca: { directory: pebble.url, roots: pebble.rootsFile }, ...more });
  const site = (...hosts: string[]) => ({ hosts, use: answers(hosts[0]!) });

  test.each([["http-01"], ["tls-alpn-01"]])(
    "a site's hosts get certificates by %s, on several workers",
    async (challenge) => {
      const names = ["one", "two", "three"].map((word) => `${word}.${challenge}.test`);
      const gateway = await start({
        workers: 2,
        listeners: listeners(),
        sites: names.map((name) => site(name)),
        tls: { acme: acme({ challenges: challenge }) },
      });
      for (const name of names) {
        const { names: certified, issuer: by } = await secured(gateway, pebble.tlsPort, name, issuer);
        expect(certified).toBe(`DNS:${name}`);
        expect(by).toContain("Pebble");
      }
      const metrics = await gateway.metrics();
      expect(
        metrics.get(
          'lintel_acme_orders_total{ca="localhost:PORT",outcome="obtained"}'.replace("PORT", new URL(pebble.url).port),
        ),
      ).toBe(3);
      expect(metrics.get(`lintel_acme_failures{name="${names[0]}"}`)).toBe(0);
      expect(gateway.output).toContain("certificate obtained");
    },
    120_000,
  );

  test("certificates serve at once after a restart, and nothing is ordered again", async () => {
    const storage = newStorage();
    const config = {
      listeners: listeners(),
      sites: [site("restart.test")],
      tls: { storage, acme: acme({ challenges: "http-01" }) },
    };
    const first = await start(config);
    const before = await secured(first, pebble.tlsPort, "restart.test", issuer);
    await first.stop();
    const orders = pebble.orders;
    const second = await start(config);
    expect((await shown(pebble.tlsPort, "restart.test", issuer)).fingerprint).toBe(before.fingerprint);
    expect(second.output).not.toContain("certificate obtained");
    expect(pebble.orders).toBe(orders);
    for (const file of readdirSync(join(storage, "certificates")))
      expect(statSync(join(storage, "certificates", file)).mode & 0o777).toBe(0o600);
  }, 120_000);

  test("lintel cert tells who got a certificate, when it is renewed, and what is wrong with the others", async () => {
    const storage = newStorage();
    const gateway = await start({
      listeners: listeners(),
      sites: [site("shown.test")],
      tls: { storage, acme: acme({ challenges: "http-01" }) },
    });
    await secured(gateway, pebble.tlsPort, "shown.test", issuer);
    const listed = await lintel(["cert", "--admin", gateway.adminUrl]);
    expect(listed.code).toBe(0);
    const [head = "", ...lines] = listed.out.split("\n");
    const line = lines.find((one) => one.startsWith("shown.test"))!;
    expect(line.slice(head.indexOf("SOURCE"))).toStartWith("acme");
    expect(line.slice(head.indexOf("RENEWAL"))).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d/);
    const one = await lintel(["cert", "shown.test", "--admin", gateway.adminUrl]);
    expect(one.out).toContain("acme: from ");
    await gateway.stop();

    const lost = await start({
      listeners: [{ address: "127.0.0.1:0", tls: true }, "127.0.0.1:0"],
      sites: [site("lost.test")],
      tls: { storage, acme: acme({ challenges: "http-01" }) },
    });
    await lost.says("no certificate name=lost.test");
    const missing = await lintel(["cert", "--admin", lost.adminUrl]);
    expect(missing.code).toBe(1);
    expect(missing.out).toContain("lost.test: no certificate yet (acme): next try");
    expect(missing.out).toContain("1 failure: ");
  }, 120_000);

  test("requests for unknown challenges go to the site; an application may have its own", async () => {
    const gateway = await start({ listeners: listeners(), sites: [site("own.test")], tls: { acme: acme() } });
    const url = `http://127.0.0.1:${pebble.httpPort}/.well-known/acme-challenge/abcdefghijklmnopqrstuvwx`;
    const answer = await fetch(url, { headers: { host: "own.test" } });
    expect(await answer.text()).toBe("own.test");
    expect(gateway.output).not.toContain("error");
  }, 120_000);

  test("the CA may come to another machine than the one that orders", async () => {
    const storage = newStorage();
    const tls = (challenges: string) => ({ storage, acme: acme({ challenges }) });
    for (const challenge of ["http-01", "tls-alpn-01"]) {
      const name = `farm.${challenge}.test`;
      // It stands where the CA looks, and knows nothing of the site.
      const other = await start({ listeners: listeners(), sites: [site("other.invalid")], tls: tls(challenge) });
      const [http, https] = [await freePort(), await freePort()];
      const orders = await start({ listeners: listeners(http, https), sites: [site(name)], tls: tls(challenge) });
      expect((await secured(orders, https, name, issuer)).names).toBe(`DNS:${name}`);
      await orders.stop();
      await other.stop();
    }
  }, 120_000);

  test("a site that comes with a reload gets its certificate; the others keep theirs", async () => {
    const config = (...names: string[]) => ({
      listeners: listeners(),
      sites: names.map((name) => site(name)),
      tls: { acme: acme() },
      admin: { address: "127.0.0.1:0" },
      workers: 1,
    });
    const gateway = await start(config("reload-1.test"));
    const before = await secured(gateway, pebble.tlsPort, "reload-1.test", issuer);
    await Bun.write(join(gateway.directory, "lintel.json"), JSON.stringify(config("reload-1.test", "reload-2.test")));
    gateway.signal("SIGHUP");
    await secured(gateway, pebble.tlsPort, "reload-2.test", issuer);
    expect((await shown(pebble.tlsPort, "reload-1.test", issuer)).fingerprint).toBe(before.fingerprint);
  }, 120_000);

  /** Where the hook runs, and what its config says. */
  function dnsHook() {
    const place = newStorage();
    mkdirSync(place);
    const calls = join(place, "calls");
    writeFileSync(calls, "");
    writeFileSync(join(place, "hook.mjs"), HOOK, { mode: 0o700 });
    return {
      dns: {
        exec: {
          command: ["sh", "-c", 'cd "$0" && exec ./hook.mjs "$@"', place, pebble.dns.management],
          timeout: "60s",
        },
        resolvers: pebble.dns.server,
        propagation: "30s",
      },
      calls: () => readFileSync(calls, "utf8").split("\n").slice(0, -1),
      hold: () => writeFileSync(join(place, "wait"), ""),
      goOn: () => rmSync(join(place, "wait")),
    };
  }

  test("names with a wildcard get certificates by dns-01 with a program of the user's", async () => {
    const { dns, calls } = dnsHook();
    const https = await freePort();
    const gateway = await start({
      listeners: [{ address: `127.0.0.1:${https}`, tls: true }],
      sites: [site("*.hook.test")],
      tls: { acme: acme({ dns }) },
    });
    expect((await secured(gateway, https, "any.hook.test", issuer)).names).toBe("DNS:*.hook.test");
    await until(() => calls().length > 1, "the record to be taken away");
    expect(calls()).toEqual(["present _acme-challenge.hook.test", "cleanup _acme-challenge.hook.test"]);
    const resolver = new Resolver({ timeout: 5000, tries: 2 });
    resolver.setServers([pebble.dns.server]);
    await until(
      async () => (await resolver.resolveTxt("_acme-challenge.hook.test").catch(() => [])).length === 0,
      "no record",
    );
  }, 120_000);

  test("of machines that share a folder one orders, and the others take what it got", async () => {
    const { dns, calls, hold, goOn } = dnsHook();
    const storage = newStorage();
    const names = ["a.shared.test", "b.shared.test", "c.shared.test"];
    const before = pebble.orders;
    const startAt = (port: number) =>
      start({
        listeners: [{ address: `127.0.0.1:${port}`, tls: true }],
        sites: names.map((name) => site(name)),
        tls: { storage, acme: acme({ dns }) },
      });
    hold();
    const [one, two] = [await freePort(), await freePort()];
    const first = await startAt(one);
    await until(() => calls().length === names.length, "the first to order them all");
    const second = await startAt(two);
    // Long enough for it to order them as well, if it did.
    await Bun.sleep(2000);
    goOn();
    for (const name of names) {
      const { fingerprint } = await secured(first, one, name, issuer);
      expect((await secured(second, two, name, issuer)).fingerprint).toBe(fingerprint);
    }
    expect(pebble.orders - before).toBe(names.length);
    expect(calls().filter((call) => call.startsWith("present"))).toHaveLength(names.length);
    const told = (gateway: Gateway, what: string) => gateway.output.split(what).length - 1;
    expect(told(first, "certificate obtained")).toBe(names.length);
    expect(told(second, "another machine has got the certificate")).toBe(names.length);
  }, 120_000);

  test("on demand: allowed names get one while their client waits; others cost the CA nothing", async () => {
    const gateway = await start({
      listeners: [listeners()[0], { ...listeners()[1], tls: { unknownNames: "refuse", handshakeTimeout: "30s" } }],
      sites: [{ use: answers("any") }],
      tls: { acme: acme({ onDemand: { allow: "*.customers.test", rate: 2, per: "1h" } }) },
    });
    const before = pebble.orders;
    const found = await shown(pebble.tlsPort, "first.customers.test", issuer);
    expect(found.names).toBe("DNS:first.customers.test");
    expect((await shown(pebble.tlsPort, "first.customers.test", issuer)).fingerprint).toBe(found.fingerprint);
    await expect(shown(pebble.tlsPort, "stranger.test", issuer)).rejects.toThrow();
    expect(pebble.orders - before).toBe(1);
    await shown(pebble.tlsPort, "second.customers.test", issuer);
    await expect(shown(pebble.tlsPort, "third.customers.test", issuer)).rejects.toThrow();
    expect(pebble.orders - before).toBe(2);
    expect(gateway.output).toContain("on demand: a limit is reached");
  }, 120_000);
});

needs(program("pebble", pebblePath)).test(
  "renewals change what is served, not the connections; challenges go before the redirect",
  async () => {
    const pebble = await Pebble.start({ lifetimeSeconds: 12 });
    running.push(pebble);
    const issuer = await pebble.issuer();
    const gateway = await start({
      listeners: [
        { name: "http", address: `127.0.0.1:${pebble.httpPort}` },
        { name: "https", address: `127.0.0.1:${pebble.tlsPort}`, tls: true },
      ],
      sites: [{ hosts: ["renewed.test"], use: answers("renewed") }],
      tls: { acme: { ca: { directory: pebble.url, roots: pebble.rootsFile }, challenges: "http-01" } },
    });
    const first = await secured(gateway, pebble.tlsPort, "renewed.test", issuer);
    const plain = await fetch(`http://127.0.0.1:${pebble.httpPort}/x`, {
      headers: { host: "renewed.test" },
      redirect: "manual",
    });
    expect(plain.status).toBe(308);
    const kept = connect({ host: "127.0.0.1", port: pebble.tlsPort, servername: "renewed.test", ca: issuer });
    await new Promise<void>((resolve, reject) => kept.once("secureConnect", resolve).once("error", reject));
    let received = "";
    kept.setEncoding("latin1").on("data", (text: string) => (received += text));
    await until(
      async () => (await secured(gateway, pebble.tlsPort, "renewed.test", issuer)).fingerprint !== first.fingerprint,
      () => gateway.output,
      60_000,
    );
    expect(gateway.output).toContain("certificate renewed");
    kept.write("GET / HTTP/1.1\r\nHost: renewed.test\r\n\r\n");
    await until(
      () => received.endsWith("renewed"),
      () => `an answer on the connection from before: ${received}`,
    );
    kept.destroy();
  },
  120_000,
);

needs(program("pebble", pebblePath), program("knotd", knotPath)).describe("against pebble and knot", () => {
  test("names with a wildcard get certificates by dns-01, and cover what is below", async () => {
    const knot = await Knot.start();
    running.push(knot);
    const pebble = await Pebble.start({ dns: knot.address });
    running.push(pebble);
    const issuer = await pebble.issuer();
    const port = await freePort();
    const { name, secret } = knot.key;
    const gateway = await start({
      listeners: [{ address: `127.0.0.1:${port}`, tls: true }],
      sites: [{ hosts: ["*.example.test", "example.test", "shop.example.test"], use: answers("wild") }],
      tls: {
        acme: {
          ca: { directory: pebble.url, roots: pebble.rootsFile },
          dns: { rfc2136: { server: knot.address, key: { name, secret } } },
        },
      },
    });
    expect((await secured(gateway, port, "example.test", issuer)).names).toBe("DNS:example.test");
    expect((await secured(gateway, port, "shop.example.test", issuer)).names).toBe("DNS:*.example.test");
    expect(await knot.lookUp("TXT", "_acme-challenge.example.test")).toEqual([]);
    expect(pebble.orders).toBe(2);
  }, 120_000);
});

describe("with the local CA", () => {
  const rootOf = (directory: string): string =>
    JSON.parse(readFileSync(join(directory, "local/root"), "utf8")).cert as string;

  test("development names and addresses are served by certificates of one root, which is kept", async () => {
    const port = await freePort();
    const storage = newStorage();
    const config = {
      listeners: [{ address: `127.0.0.1:${port}`, tls: true }],
      sites: [
        { hosts: ["localhost", "app.test", ".wild.test"], use: answers("local") },
        { hosts: ["public.example.com"], tls: { issuer: "local" }, use: answers("mine") },
      ],
      tls: { storage, local: true },
    };
    const gateway = await start(config);
    const root = rootOf(storage);
    expect(statSync(join(storage, "local/root")).mode & 0o777).toBe(0o600);
    for (const name of ["localhost", "app.test", "a.b.wild.test", "public.example.com"])
      expect((await shown(port, name, root)).names).toContain(`DNS:${name}`);
    expect((await shown(port, null, root)).names).toContain("IP Address:127.0.0.1");
    const answer = await fetch(`https://localhost:${port}/`, { tls: { ca: root } });
    expect(await answer.text()).toBe("local");
    await gateway.stop();
    await start(config);
    expect(rootOf(storage)).toBe(root);
    expect((await shown(port, "localhost", root)).names).toContain("DNS:localhost");
  }, 120_000);

  test("one command is enough", async () => {
    const [plain, secure] = [await freePort(), await freePort()];
    const origin = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("origin") });
    running.push({ stop: () => origin.stop(true) });
    const at = ["--listen", `127.0.0.1:${plain}`, "--listen-tls", `127.0.0.1:${secure}`];
    const gateway = Gateway.launch(
      {},
      { args: ["run", "--to", `127.0.0.1:${origin.port}`, "--tls", "localhost", "--tls", "app.test", ...at] },
    );
    running.push(gateway);
    await gateway.says("listening on https");
    const state = { STATE_DIRECTORY: join(gateway.directory, "state") };
    // It finds the gateway that runs in this folder without a config.
    rmSync(join(gateway.directory, "lintel.json"));
    const { out: root } = await lintel(["trust", "--print"], gateway.directory, state);
    expect(root).toStartWith("-----BEGIN CERTIFICATE-----");
    const answer = await fetch(`https://localhost:${secure}/`, { tls: { ca: root } });
    expect(await answer.text()).toBe("origin");
    expect((await shown(secure, "app.test", root)).names).toBe("DNS:app.test");
    const sent = await fetch(`http://localhost:${plain}/a`, { redirect: "manual" });
    expect(sent.headers.get("location")).toBe(`https://localhost:${secure}/a`);
  }, 120_000);
});
