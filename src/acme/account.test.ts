/** Against pebble; where it is to answer late or to fail, a server of ours stands in front of it (`FrontCa`). */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../test/support/until.ts";
import { needs, program } from "../base/testing.ts";
import type { AcmeCaConfig } from "../config/gateway-config.ts";
import { Accounts } from "./account.ts";
import type { CaProblem } from "./ca-problem.ts";
import { FolderStore } from "./folder-store.ts";
import { FrontCa, freePort, Pebble, pebblePath, problem } from "./testing.ts";

const root = mkdtempSync(join(tmpdir(), "lintel-accounts-"));
let folders = 0;
const newFolder = () => join(root, String(++folders));
const never = new AbortController().signal;
const running: { stop(): unknown }[] = [];
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

needs(program("pebble", pebblePath)).describe("against pebble", () => {
  let pebble: Pebble;
  let front: FrontCa;
  let ca: AcmeCaConfig;
  beforeAll(async () => {
    pebble = await Pebble.start();
    front = new FrontCa(pebble, await freePort());
    ca = pebble.ca({ directory: front.url, roots: "front" });
  });
  afterAll(async () => {
    await front.stop();
    await pebble.stop();
  });
  afterEach(() => {
    front.interfere = () => null;
    front.requests.length = 0;
  });

  /** Of a machine that has the folder. */
  function accountsIn(folder: string, email: string | null = "ops@example.com"): Accounts {
    const store = new FolderStore(folder, { lookMs: 10 });
    const readFile = (path: string) => (path === "front" ? front.roots : readFileSync(path, "utf8"));
    const accounts = new Accounts({ store, email, readFile });
    running.push({ stop: () => accounts.close() });
    return accounts;
  }

  const registrations = () => front.requests.filter((one) => one === "POST /sign-me-up").length;
  const fileIn = (folder: string) => join(folder, "accounts", readdirSync(join(folder, "accounts"))[0]!);
  const keptIn = (folder: string) => JSON.parse(readFileSync(fileIn(folder), "utf8"));

  test("there is one account for all who ask, on all machines that share the store, and after a restart", async () => {
    const folder = newFolder();
    const machines = [accountsIn(folder), accountsIn(folder)];
    const clients = await Promise.all([0, 1, 0, 1].map((i) => machines[i]!.client(ca, never)));
    expect(new Set(clients.map(({ accountUrl }) => accountUrl)).size).toBe(1);
    expect(new Set(clients).size).toBe(2);
    expect((await accountsIn(folder).client(ca, never)).accountUrl).toBe(clients[0]!.accountUrl);
    expect(registrations()).toBe(1);
    expect(keptIn(folder).url).toBe(clients[0]!.accountUrl);
    // It works.
    for (const client of clients) expect((await client.order("a.test", null, never)).status).toBe("pending");
  }, 120_000);

  test("the key is for the owner alone, and nobody else enters its folder", async () => {
    const folder = newFolder();
    await accountsIn(folder).client(ca, never);
    expect(createPrivateKey(keptIn(folder).key).asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
    expect(statSync(fileIn(folder)).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "accounts")).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(folder, "locks"))).toEqual([]);
  }, 120_000);

  test("if the key is lost, another account is made; who has it in memory goes on", async () => {
    const folder = newFolder();
    const accounts = accountsIn(folder);
    const client = await accounts.client(ca, never);
    const before = keptIn(folder);
    rmSync(fileIn(folder));
    expect(await accounts.client(ca, never)).toBe(client);
    expect((await client.order("a.test", null, never)).status).toBe("pending");
    const other = await accountsIn(folder).client(ca, never);
    expect((await other.order("a.test", null, never)).status).toBe("pending");
    expect(keptIn(folder).key).not.toBe(before.key);
    expect(other.accountUrl).not.toBe(client.accountUrl);
  }, 120_000);

  test.each(["", "{}", "null", '{"key":"","url":null}', '{"key":"-----BEGIN","url":"https://localhost/1"}'])(
    "a file that holds no account is told, and left as it is: %j",
    async (text) => {
      const folder = newFolder();
      await accountsIn(folder).client(ca, never);
      writeFileSync(fileIn(folder), text);
      front.requests.length = 0;
      await expect(accountsIn(folder).client(ca, never)).rejects.toThrow("is broken: remove it");
      expect(readFileSync(fileIn(folder), "utf8")).toBe(text);
      expect(front.requests).toEqual([]);
    },
    120_000,
  );

  test.each(["ops@example.com", null])(
    "a CA that has forgotten the account is told the same key once, however many have noticed (email: %s)",
    async (email) => {
      const folder = newFolder();
      await accountsIn(folder, email).client(ca, never);
      const before = keptIn(folder);
      // One that pebble does not know.
      writeFileSync(
        fileIn(folder),
        JSON.stringify({ ...before, url: `${new URL(ca.directory).origin}/my-account/gone` }),
      );
      front.requests.length = 0;
      const accounts = accountsIn(folder, email);
      const order = async () => {
        const client = await accounts.client(ca, never);
        try {
          return await client.order("a.test", null, never);
        } catch (thrown) {
          expect((thrown as CaProblem).kind).toBe("accountDoesNotExist");
          await accounts.forget(ca, client);
          return await (await accounts.client(ca, never)).order("a.test", null, never);
        }
      };
      const orders = await Promise.all([order(), order(), order()]);
      expect(orders.map(({ status }) => status)).toEqual(["pending", "pending", "pending"]);
      expect(registrations()).toBe(1);
      expect(keptIn(folder)).toEqual(before);
    },
    120_000,
  );

  test("who is late to notice does no harm to the account that is new by then", async () => {
    const accounts = accountsIn(newFolder());
    const old = await accounts.client(ca, never);
    await accounts.forget(ca, old);
    const next = await accounts.client(ca, never);
    expect([next === old, registrations()]).toEqual([false, 2]);
    await accounts.forget(ca, old);
    expect(await accounts.client(ca, never)).toBe(next);
    // The late one's own client still answers: its connections were not cut.
    expect((await old.order("a.test", null, never)).status).toBe("pending");
  }, 120_000);

  test("the key is kept before the CA is told of it: a failure costs no account", async () => {
    const folder = newFolder();
    const accounts = accountsIn(folder, null);
    // It has registered the key, and nobody hears of it.
    front.alter = () => null;
    await expect(accounts.client(ca, never)).rejects.toThrow("the account: the CA's answer is no JSON object");
    front.alter = (answer) => answer;
    const { key, url } = keptIn(folder);
    expect(url).toBeNull();
    const client = await accounts.client(ca, never);
    expect(keptIn(folder)).toMatchObject({ key, url: client.accountUrl });
    expect((await client.order("a.test", null, never)).status).toBe("pending");
    expect(readdirSync(join(folder, "locks"))).toEqual([]);
  }, 120_000);

  test("who gives up while the account is made does not give up for others", async () => {
    const accounts = accountsIn(newFolder());
    const arrived = Promise.withResolvers<void>();
    const held = Promise.withResolvers<Response>();
    front.interfere = (_request, path) => {
      if (path !== "/sign-me-up") return null;
      arrived.resolve();
      return held.promise;
    };
    const reason = new Error("enough");
    const impatient = new AbortController();
    const first = accounts.client(ca, impatient.signal);
    await arrived.promise;
    const second = accounts.client(ca, never);
    front.interfere = () => null;
    impatient.abort(reason);
    await expect(first).rejects.toBe(reason);
    expect((await second).accountUrl).toContain("/my-account/");
    held.resolve(new Response(""));
  }, 120_000);

  test("a CA's refusal is shown, and the next who asks is not told the old one", async () => {
    const accounts = accountsIn(newFolder());
    front.interfere = (_request, path) =>
      path === "/sign-me-up" ? problem("rateLimited", "too many new accounts", 429, { "retry-after": "60" }) : null;
    const refused = await Promise.all(
      [0, 1].map(() => accounts.client(ca, never).then(String, (thrown: CaProblem) => thrown)),
    );
    expect(refused.map(String)).toEqual(Array(2).fill("Error: the account: too many new accounts (rateLimited)"));
    front.interfere = () => null;
    expect((await accounts.client(ca, never)).accountUrl).not.toBeNull();
  }, 120_000);

  test("of another customer's binding, and at another CA, it is another account", async () => {
    const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    const strict = await Pebble.start({ accountKeys: { one: key, two: key } });
    running.push(strict);
    const folder = newFolder();
    const accounts = accountsIn(folder);
    const bound = (id: string, secret = key) => strict.ca({ accountBinding: { id, key: secret } });
    const urls = [];
    for (const one of [ca, bound("one"), bound("two"), bound("one")])
      urls.push((await accounts.client(one, never)).accountUrl);
    expect(new Set(urls).size).toBe(3);
    expect(urls[3]).toBe(urls[1]!);
    const keys = readdirSync(join(folder, "accounts")).map((name) => {
      const pem = JSON.parse(readFileSync(join(folder, "accounts", name), "utf8")).key;
      return createPublicKey(pem).export({ type: "spki", format: "pem" });
    });
    expect(new Set(keys).size).toBe(3);
    // RFC 8555 §7.3.4: one that does not know the secret, and one that has none.
    const wrong = accountsIn(newFolder()).client(bound("one", Buffer.from("another").toString("base64url")), never);
    await expect(wrong).rejects.toThrow(/^the account: .*\(unauthorized\)$/);
    await expect(accountsIn(newFolder()).client(strict.ca(), never)).rejects.toMatchObject({
      kind: "externalAccountRequired",
    });
  }, 120_000);

  test("who waits for another machine to make the account can be called off", async () => {
    const folder = newFolder();
    const arrived = Promise.withResolvers<void>();
    const held = Promise.withResolvers<null>();
    front.interfere = (_request, path) => {
      if (path !== "/sign-me-up") return null;
      arrived.resolve();
      return held.promise;
    };
    const first = accountsIn(folder).client(ca, never);
    await arrived.promise;
    const reason = new Error("the gateway stops");
    const stopping = new AbortController();
    const second = accountsIn(folder).client(ca, stopping.signal);
    stopping.abort(reason);
    await expect(second).rejects.toBe(reason);
    held.resolve(null);
    expect((await first).accountUrl).toBe(keptIn(folder).url);
    await until(() => readdirSync(join(folder, "locks")).length === 0, "the lock is released");
  }, 120_000);
});
