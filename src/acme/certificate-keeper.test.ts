import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../test/support/until.ts";
import { createLog } from "../base/log.ts";
import { needs, program } from "../base/testing.ts";
import type { AcmeConfig } from "../config/gateway-config.ts";
import { Accounts } from "./account.ts";
import { CertificateKeeper, type KeeperOptions } from "./certificate-keeper.ts";
import { CertificateShelf } from "./certificate-shelf.ts";
import { ChallengeBoard } from "./challenge-board.ts";
import { FolderStore } from "./folder-store.ts";
import { acmeConfig, FrontCa, freePort, HttpAnswers, Pebble, pebblePath, problem } from "./testing.ts";

const root = mkdtempSync(join(tmpdir(), "lintel-acme-"));
let folders = 0;
const newFolder = () => join(root, String(++folders));
const running: { stop(): unknown }[] = [];
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A machine with a gateway's keeper: its certificates lie in the folder. */
function machine(config: AcmeConfig, answers: HttpAnswers, folder: string, more: Partial<KeeperOptions> = {}) {
  const lines: string[] = [];
  const log = createLog({ level: "debug", format: "text", write: (line) => lines.push(line.slice(25).trimEnd()) });
  const store = new FolderStore(folder, { lookMs: 20 });
  const accounts = new Accounts({ store, email: config.email, readFile: (path) => readFileSync(path, "utf8") });
  const board = new ChallengeBoard({ shared: null, publish: answers.publisher() });
  const orders: string[] = [];
  const keeper = new CertificateKeeper({
    config,
    shelf: new CertificateShelf(store, log),
    accounts,
    solvers: config.challenges.map((type) => (type === "http-01" ? board.http : board.tls)),
    log,
    onChange: () => {},
    onOrder: (ca, isObtained) => orders.push(`${ca} ${isObtained ? "obtained" : "failed"}`),
    ...more,
  });
  const stop = async () => {
    await keeper.stop();
    accounts.close();
  };
  running.push({ stop });
  const has = (name: string) => keeper.certificates().find((one) => one.name === name);
  const shows = (name: string) =>
    until(
      () => has(name) !== undefined,
      () => lines.join("\n"),
      30_000,
    );
  return { keeper, lines, orders, has, shows, stop };
}

needs(program("pebble", pebblePath)).describe("against pebble", () => {
  let pebble: Pebble;
  let answers: HttpAnswers;
  beforeAll(async () => {
    pebble = await Pebble.start({ nonceReject: 20 });
    answers = new HttpAnswers(pebble.httpPort);
  });
  afterAll(async () => {
    await answers.stop();
    await pebble.stop();
  });
  afterEach(() => {
    answers.isHijacked = false;
  });

  test("names get certificates by http-01, although every fifth nonce is refused (RFC 8555 §6.5, §8.3)", async () => {
    const { keeper, shows, has, orders } = machine(acmeConfig([pebble.ca()]), answers, newFolder());
    await keeper.keep(["one.test", "two.test", "three.test"]);
    for (const name of ["one.test", "two.test", "three.test"]) {
      await shows(name);
      const leaf = new X509Certificate(has(name)!.cert);
      expect(leaf.subjectAltName).toBe(`DNS:${name}`);
    }
    expect(orders).toEqual(["pebble obtained", "pebble obtained", "pebble obtained"]);
    expect(readdirSync(join(root, String(folders), "accounts"))).toHaveLength(1);
  }, 120_000);

  test("what was got serves after a restart, without another order", async () => {
    const folder = newFolder();
    const first = machine(acmeConfig([pebble.ca()]), answers, folder);
    await first.keeper.keep(["kept.test"]);
    await first.shows("kept.test");
    const { fingerprint } = first.has("kept.test")!;
    await first.stop();
    const before = pebble.orders;
    const second = machine(acmeConfig([pebble.ca()]), answers, folder);
    await second.keeper.keep(["kept.test"]);
    expect(second.has("kept.test")?.fingerprint).toBe(fingerprint);
    await until(() => second.keeper.views()[0]!.nextAt > Date.now(), "planned");
    expect(pebble.orders).toBe(before);
    expect(second.orders).toEqual([]);
  }, 120_000);

  test("keys lie in the store for their owner alone", async () => {
    const folder = newFolder();
    const { keeper, shows } = machine(acmeConfig([pebble.ca()]), answers, folder);
    await keeper.keep(["secret.test"]);
    await shows("secret.test");
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
    expect(files.map(({ name }) => name).some((name) => name === "secret.test")).toBe(true);
    for (const { parentPath, name } of files) expect(statSync(join(parentPath, name)).mode & 0o777).toBe(0o600);
  }, 120_000);

  test.each(["ecdsa-p384", "rsa-2048"] as const)(
    "the key is of the kind that is wanted: %s",
    async (keyKind) => {
      const { keeper, shows, has } = machine(acmeConfig([pebble.ca()], { keyKind }), answers, newFolder());
      await keeper.keep(["kind.test"]);
      await shows("kind.test");
      const { publicKey } = new X509Certificate(has("kind.test")!.cert);
      const details = publicKey.asymmetricKeyDetails;
      expect(keyKind === "rsa-2048" ? details?.modulusLength : details?.namedCurve).toBe(
        keyKind === "rsa-2048" ? 2048 : "secp384r1",
      );
    },
    120_000,
  );

  test("a challenge that fails is told with what to do, and tried again later, also after a restart", async () => {
    answers.isHijacked = true;
    const folder = newFolder();
    const { keeper, lines, orders, stop } = machine(acmeConfig([pebble.ca()]), answers, folder);
    await keeper.keep(["hijacked.test"]);
    await until(() => keeper.views()[0]!.failures === 1, "a failure");
    const [view] = keeper.views();
    expect(view).toMatchObject({ certificate: null, lastFailure: expect.stringContaining("http-01") });
    expect(view!.nextAt).toBeGreaterThan(Date.now());
    expect(lines.join("\n")).toContain("something else answers for the name: does its DNS lead here");
    expect(orders).toEqual(["pebble failed"]);
    await stop();

    answers.isHijacked = false;
    const before = pebble.orders;
    const again = machine(acmeConfig([pebble.ca()]), answers, folder);
    await again.keeper.keep(["hijacked.test"]);
    expect(again.keeper.views()[0]).toMatchObject({ failures: 1, nextAt: view!.nextAt });
    expect(pebble.orders).toBe(before);
    // Other settings may do better: they need not wait.
    const other = machine(acmeConfig([pebble.ca()], { orders: 1 }), answers, folder);
    await other.keeper.keep(["hijacked.test"]);
    await other.shows("hijacked.test");
  }, 120_000);

  test("after a failure the next kind of challenge is tried", async () => {
    const config = acmeConfig([pebble.ca()], { challenges: ["tls-alpn-01", "http-01"] });
    const backoff = { firstMs: 1, mostMs: 1 };
    const { keeper, shows, orders } = machine(config, answers, newFolder(), { backoff });
    await keeper.keep(["either.test"]);
    await shows("either.test");
    expect(orders).toEqual(["pebble failed", "pebble obtained"]);
  }, 120_000);

  test("the next CA is asked if one cannot be reached", async () => {
    const dead = pebble.ca({ name: "dead", directory: `https://localhost:${await freePort()}/dir` });
    const { keeper, shows, orders, lines } = machine(acmeConfig([dead, pebble.ca()]), answers, newFolder());
    await keeper.keep(["second.test"]);
    await shows("second.test");
    expect(orders).toEqual(["dead failed", "pebble obtained"]);
    expect(lines.join("\n")).toContain("the CA does not listen");
  }, 120_000);

  test("a certificate of a CA that is not asked any more serves until there is another", async () => {
    const trial = await Pebble.start();
    running.push(trial);
    const trialAnswers = new HttpAnswers(trial.httpPort);
    running.push(trialAnswers);
    const folder = newFolder();
    const first = machine(acmeConfig([trial.ca({ name: "trial" })]), trialAnswers, folder);
    await first.keeper.keep(["moved.test"]);
    await first.shows("moved.test");
    await first.stop();
    const second = machine(acmeConfig([pebble.ca()]), answers, folder);
    await second.keeper.keep(["moved.test"]);
    expect(second.has("moved.test")?.ca).toBe("trial");
    await until(
      () => second.has("moved.test")?.ca === "pebble",
      () => second.lines.join("\n"),
      30_000,
    );
    expect(second.orders).toEqual(["pebble obtained"]);
    await until(() => second.keeper.views()[0]!.nextAt > Date.now(), "planned");
  }, 120_000);

  test("a CA whose own certificate is not trusted gets nothing", async () => {
    const { keeper, lines } = machine(acmeConfig([pebble.ca({ roots: null })]), answers, newFolder());
    await keeper.keep(["untrusted.test"]);
    await until(
      () => keeper.views()[0]!.failures === 1,
      () => lines.join("\n"),
    );
    expect(lines.join("\n")).toContain("the CA's own certificate is not trusted");
  }, 120_000);

  test("two machines that share a folder order once", async () => {
    const folder = newFolder();
    const before = pebble.orders;
    const names = ["shared-1.test", "shared-2.test"];
    const machines = [0, 1, 2].map(() => machine(acmeConfig([pebble.ca()]), answers, folder));
    await Promise.all(machines.map(({ keeper }) => keeper.keep(names)));
    for (const { shows } of machines) for (const name of names) await shows(name);
    expect(pebble.orders - before).toBe(2);
    for (const name of names) expect(new Set(machines.map(({ has }) => has(name)!.fingerprint)).size).toBe(1);
    expect(readdirSync(join(folder, "accounts"))).toHaveLength(1);
  }, 120_000);

  test("an account that the CA has forgotten is made anew with the same key", async () => {
    const other = await Pebble.start();
    running.push(other);
    const elsewhere = new HttpAnswers(other.httpPort);
    running.push(elsewhere);
    const folder = newFolder();
    const front = new FrontCa(other, await freePort());
    running.push(front);
    const ca = other.ca({ directory: front.url, roots: join(root, "front.pem") });
    writeFileSync(ca.roots!, front.roots);
    const first = machine(acmeConfig([ca]), elsewhere, folder);
    await first.keeper.keep(["before.test"]);
    await first.shows("before.test");
    await first.stop();
    const [file] = readdirSync(join(folder, "accounts"));
    const path = join(folder, "accounts", file!);
    const account = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify({ ...account, url: `${new URL(front.url).origin}/my-account/gone` }));
    const second = machine(acmeConfig([ca]), elsewhere, folder);
    await second.keeper.keep(["after.test"]);
    await second.shows("after.test");
    const { key, url } = JSON.parse(readFileSync(path, "utf8"));
    expect({ key, url }).toEqual({ key: account.key, url: account.url });
  }, 120_000);

  test("a rate limit is respected for as long as the CA says (RFC 8555 §6.6)", async () => {
    const front = new FrontCa(pebble, await freePort());
    running.push(front);
    front.interfere = (_request, path) =>
      path === "/order-plz" ? problem("rateLimited", "too many certificates", 429, { "retry-after": "86400" }) : null;
    const ca = pebble.ca({ directory: front.url, roots: join(root, "front.pem") });
    writeFileSync(ca.roots!, front.roots);
    const { keeper, lines } = machine(acmeConfig([ca]), answers, newFolder(), { backoff: { firstMs: 1, mostMs: 1 } });
    const begun = Date.now();
    await keeper.keep(["limited.test"]);
    await until(
      () => keeper.views()[0]!.failures === 1,
      () => lines.join("\n"),
    );
    expect(keeper.views()[0]!.nextAt).toBeGreaterThanOrEqual(begun + 86_400_000);
    expect(lines.join("\n")).toContain("the CA's limit is reached");
    expect(front.requests.filter((one) => one === "POST /order-plz")).toHaveLength(1);
  }, 120_000);

  test.each([
    ["a server error", () => new Response("oops", { status: 500 })],
    ["something that is no JSON", () => new Response("<html>", { headers: { "content-type": "text/html" } })],
    ["a nonce that is refused each time", () => problem("badNonce", "stale", 400, { "replay-nonce": "abc" })],
    ["more than it may", () => new Response("x".repeat(2_000_000))],
  ])(
    "a CA that answers with %s fails in an orderly way",
    async (_what, answer) => {
      const front = new FrontCa(pebble, await freePort());
      running.push(front);
      front.interfere = (_request, path) => (path === "/order-plz" ? answer() : null);
      const ca = pebble.ca({ directory: front.url, roots: join(root, "front.pem") });
      writeFileSync(ca.roots!, front.roots);
      const { keeper, lines, orders } = machine(acmeConfig([ca]), answers, newFolder());
      await keeper.keep(["moody.test"]);
      await until(
        () => keeper.views()[0]!.failures === 1,
        () => lines.join("\n"),
      );
      expect(orders).toEqual(["pebble failed"]);
      // The library tries five times more after a bad nonce.
      const tries = front.requests.filter((one) => one === "POST /order-plz").length;
      expect(tries).toBeGreaterThanOrEqual(1);
      expect(tries).toBeLessThanOrEqual(6);
    },
    120_000,
  );

  test("an order that does not come to its end is given up", async () => {
    const front = new FrontCa(pebble, await freePort());
    running.push(front);
    front.interfere = (_request, path) => (path === "/order-plz" ? new Promise(() => {}) : null);
    const ca = pebble.ca({ directory: front.url, roots: join(root, "front.pem") });
    writeFileSync(ca.roots!, front.roots);
    const { keeper, lines } = machine(acmeConfig([ca], { timeout: 200 }), answers, newFolder());
    await keeper.keep(["slow.test"]);
    await until(
      () => keeper.views()[0]!.failures === 1,
      () => lines.join("\n"),
    );
    expect(lines.join("\n")).toContain("it was not there after 0.2 s");
  }, 120_000);

  test("a certificate is renewed when the CA says so, and the order names the one it replaces (RFC 9773)", async () => {
    const front = new FrontCa(pebble, await freePort());
    running.push(front);
    const far = [86_400_000, 2 * 86_400_000].map((ms) => new Date(Date.now() + ms).toISOString());
    front.window = { start: far[0]!, end: far[1]! };
    const ca = pebble.ca({ directory: front.url, roots: join(root, "front.pem") });
    writeFileSync(ca.roots!, front.roots);
    const folder = newFolder();
    const first = machine(acmeConfig([ca]), answers, folder);
    await first.keeper.keep(["advised.test"]);
    await first.shows("advised.test");
    await until(() => front.requests.some((one) => one.startsWith("GET /renewal-info/")), "asked");
    await until(() => first.keeper.views()[0]!.nextAt < Date.now() + 3 * 86_400_000, "by the window");
    const { fingerprint } = first.has("advised.test")!;
    await first.stop();

    front.window = {
      start: new Date(Date.now() - 7_200_000).toISOString(),
      end: new Date(Date.now() - 3_600_000).toISOString(),
    };
    front.interfere = (_request, path) => {
      if (path === "/order-plz") front.window = { start: far[0]!, end: far[1]! };
      return null;
    };
    const second = machine(acmeConfig([ca]), answers, folder);
    await second.keeper.keep(["advised.test"]);
    await until(
      () => second.has("advised.test")!.fingerprint !== fingerprint,
      () => second.lines.join("\n"),
    );
    const asked = front.requests
      .find((one) => one.startsWith("GET /renewal-info/"))!
      .split("/")
      .pop();
    expect(front.orders.at(-1)).toMatchObject({ replaces: asked });
    expect(second.lines.join("\n")).toContain("certificate renewed");
  }, 120_000);

  test("a name that is not wanted any more is not renewed; others stay", async () => {
    const { keeper, shows } = machine(acmeConfig([pebble.ca()]), answers, newFolder());
    await keeper.keep(["stays.test", "goes.test"]);
    await shows("stays.test");
    await shows("goes.test");
    await keeper.keep(["stays.test"]);
    expect(keeper.views().map(({ name }) => name)).toEqual(["stays.test"]);
  }, 120_000);
});

test("a certificate that cannot be read is tried again later, and keeps no other from being ordered", async () => {
  const folder = newFolder();
  for (const name of ["certificates/broken.test", "failures/noted.test"])
    mkdirSync(join(folder, name), { recursive: true });
  const ca = {
    name: "none",
    directory: `http://127.0.0.1:${await freePort()}/`,
    roots: null,
    accountBinding: null,
    preferredChain: null,
  };
  const answers = new HttpAnswers(await freePort());
  running.push(answers);
  const { keeper, lines, orders } = machine(acmeConfig([ca]), answers, folder);
  await keeper.keep(["broken.test", "noted.test", "fine.test"]);
  expect(lines.filter((line) => line.includes("the store cannot be read"))).toEqual([
    expect.stringContaining("name=broken.test"),
    expect.stringContaining("name=noted.test"),
  ]);
  await until(() => keeper.views().every(({ failures }) => failures === 1), "each has been tried");
  expect(keeper.view("broken.test")?.lastFailure).toContain("EISDIR");
  expect(orders).toEqual(["none failed"]);
});

test("a client whose name cannot be read is told, and nothing is ordered", async () => {
  const folder = newFolder();
  mkdirSync(join(folder, "certificates/broken.test"), { recursive: true });
  const answers = new HttpAnswers(await freePort());
  running.push(answers);
  const { keeper } = machine(acmeConfig([]), answers, folder);
  await expect(keeper.fetch("broken.test")).rejects.toThrow("EISDIR");
  expect(keeper.views()).toEqual([]);
});

needs(program("pebble", pebblePath)).test(
  "a certificate is renewed after two thirds of its life, again and again",
  async () => {
    const pebble = await Pebble.start({ lifetimeSeconds: 6 });
    running.push(pebble);
    const answers = new HttpAnswers(pebble.httpPort);
    running.push(answers);
    const { keeper, has, shows, lines } = machine(acmeConfig([pebble.ca()]), answers, newFolder());
    await keeper.keep(["short.test"]);
    await shows("short.test");
    const seen = new Set<string>();
    await until(
      () => {
        const certificate = has("short.test");
        if (certificate !== undefined) seen.add(certificate.fingerprint);
        return seen.size >= 3;
      },
      () => lines.join("\n"),
      60_000,
    );
  },
  120_000,
);

needs(program("pebble", pebblePath)).test(
  "a CA that knows its customers gets the account's binding (RFC 8555 §7.3.4)",
  async () => {
    const id = "kid-1";
    const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    const pebble = await Pebble.start({ accountKeys: { [id]: key } });
    running.push(pebble);
    const answers = new HttpAnswers(pebble.httpPort);
    running.push(answers);
    const bound = machine(acmeConfig([pebble.ca({ accountBinding: { id, key } })]), answers, newFolder());
    await bound.keeper.keep(["bound.test"]);
    await bound.shows("bound.test");
    const unbound = machine(acmeConfig([pebble.ca()]), answers, newFolder());
    await unbound.keeper.keep(["unbound.test"]);
    await until(
      () => unbound.keeper.views()[0]!.failures === 1,
      () => unbound.lines.join("\n"),
    );
    expect(unbound.lines.join("\n")).toContain("accountBinding");
  },
  120_000,
);
