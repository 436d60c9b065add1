/** The examples and the tables of docs/balancing.md are served, and do what the page says. */
import { afterEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { Fleet } from "./support/fleet.ts";
import { PageReader, textOf } from "./support/page-reader.ts";
import { closeClients, type RawResponse } from "./support/raw.ts";
import { until } from "./support/until.ts";

afterEach(closeClients);

const page = textOf("balancing.md");

async function texts(reader: PageReader, count: number, ...fields: string[]): Promise<string[]> {
  const answers: string[] = [];
  for (let i = 0; i < count; i++) answers.push((await reader.ask("GET /", ...fields)).text);
  return answers;
}

/** What a browser would send back. */
const cookieOf = (response: RawResponse): string => response.field("set-cookie")!.split(";")[0]!;

const md5 = (text: string): string => createHash("md5").update(text).digest("hex");

async function order(reader: PageReader): Promise<void> {
  const fleet = await reader.nextWithFleet();
  const [a, b, backup] = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.9.1:8080"] as const;
  const held = Promise.withResolvers<void>();
  for (const address of [a, b])
    fleet.at(address).script = async (request) => {
      await held.promise;
      await request.reply({ content: address });
    };
  const waiting = Array.from({ length: 8 }, () => reader.ask("GET /"));
  const counts = () => [a, b, backup].map((address) => fleet.asked(address));
  await until(
    () => counts().reduce((sum, count) => sum + count) === 8,
    () => `8 requests at ${counts()}`,
  );
  expect(counts()).toEqual([2, 6, 0]);
  held.resolve();
  await Promise.all(waiting);

  // Bound ones come back, with nginx's id: the MD5 of the address.
  fleet.behave(a, b);
  const first = await reader.ask("GET /");
  const bound = first.text;
  expect(cookieOf(first)).toBe(`lintel=${md5(fleet.at(bound).address)}`);
  const again = await reader.ask("GET /", `Cookie: ${cookieOf(first)}`);
  expect([again.text, again.field("set-cookie")]).toEqual([bound, undefined]);
  expect(new Set(await texts(reader, 6, `Cookie: ${cookieOf(first)}`))).toEqual(new Set([bound]));
  // To a backup as well.
  const toBackup = `Cookie: lintel=${md5(fleet.at(backup).address)}`;
  expect(new Set(await texts(reader, 3, toBackup))).toEqual(new Set([backup]));
  // An id that nobody knows counts as none.
  const unknown = await reader.ask("GET /", "Cookie: lintel=00000000000000000000000000000000");
  expect<string[]>([a, b]).toContain(unknown.text);
  expect(cookieOf(unknown)).toBe(`lintel=${md5(fleet.at(unknown.text).address)}`);

  // Whose endpoint is gone is balanced anew and bound to another one.
  const other = bound === a ? b : a;
  fleet.at(bound).stop();
  const moved = await reader.ask("GET /", `Cookie: ${cookieOf(first)}`);
  expect([moved.text, cookieOf(moved)]).toEqual([other, `lintel=${md5(fleet.at(other).address)}`]);
  fleet.at(other).stop();
  expect((await reader.ask("GET /")).text).toBe(backup);
}

/** Every balancer of the table has traffic, and those of which it can be seen from outside pick as the table says. */
async function balancers(reader: PageReader): Promise<void> {
  const names = [...page.matchAll(/^\| `([a-z-]+)`[^|]*\|/gm)].map(([, name]) => name!);
  expect(names.length).toBe(8);
  const [a, b, c] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"] as const;
  const all = [a, b, c];
  const seen: Record<string, string[]> = {};
  for (const name of names) {
    await reader.again((text) =>
      text
        .replace(/balance:\n.*\n/, `balance: ${name === "hash" ? '{ hash: { key: "{client.address}" } }' : name}\n`)
        .replace(`"${a}", "${b}", "${c}"`, `{ address: "${a}", weight: 5 }, "${b}", "${c}"`),
    );
    seen[name] = await texts(reader, 14);
    expect(all).toEqual(expect.arrayContaining([...new Set(seen[name])]));
  }
  const sequence = /5, 1, 1 give ([a ]+b a c a a)/.exec(page)![1]!.split(" ");
  const told = sequence.map((letter) => all["abc".indexOf(letter)]!);
  // A worker begins anywhere in it.
  expect(`${seen["round-robin"]!.join(" ")} `.repeat(2)).toContain(told.join(" "));
  expect(seen["round-robin"]!.filter((address) => address === a)).toHaveLength(10);
  expect(new Set(seen["first"])).toEqual(new Set([a]));
  expect(new Set(seen["hash"]).size).toBe(1);
  expect(new Set(seen["ip-hash"]).size).toBe(1);
}

async function hash(reader: PageReader): Promise<void> {
  const fleet = await reader.nextWithFleet();
  const paths = Array.from({ length: 60 }, (_, i) => `/article/${i}`);
  const placed = async (): Promise<Map<string, string>> => {
    const places = new Map<string, string>();
    for (const path of paths) places.set(path, (await reader.ask(`GET ${path}?${Math.random()}`)).text);
    return places;
  };
  const before = await placed();
  expect(new Set(before.values()).size).toBe(3);
  expect(await placed()).toEqual(before);
  // The keys of one that is gone go elsewhere, all others stay.
  await balancers(reader);
  await reader.again((text) => text);
  const gone = before.get(paths[0]!)!;
  fleet.at(gone).stop();
  for (const [path, address] of await placed()) {
    if (before.get(path) === gone) expect(address).not.toBe(gone);
    else expect(address).toBe(before.get(path)!);
  }
}

/** They go one after the other, in the order that the comments of the example give them. */
async function tiers(reader: PageReader): Promise<void> {
  const lines = [...page.matchAll(/address: "([\d.:]+)".*# (\d)/g)].map(([, address, place]) => [
    Number(place),
    address!,
  ]);
  const inOrder = lines.sort(([a], [b]) => Number(a) - Number(b)).map(([, address]) => address as string);
  expect(inOrder).toHaveLength(4);
  const fleet = await reader.nextWithFleet();
  for (const [i, address] of inOrder.entries()) {
    await until(
      async () => (await reader.ask("GET /")).text === address,
      () => `${address} is the next one`,
    );
    expect(await texts(reader, 4)).toEqual([address, address, address, address]);
    for (const later of inOrder.slice(i + 1)) expect(fleet.asked(later)).toBe(0);
    fleet.at(address).stop();
  }
}

async function sticky(reader: PageReader): Promise<void> {
  const fleet = await reader.nextWithFleet();
  const first = await reader.ask("GET /");
  const written = first.field("set-cookie")!;
  expect(written).toMatch(/^shop=[^;]+/);
  const attributes = written.toLowerCase().split("; ").slice(1).sort();
  expect(attributes).toEqual(expect.arrayContaining(["httponly", "max-age=3600", "samesite=strict"]));
  expect(attributes).not.toContain("secure");
  // A secret makes an id that tells nothing of the address.
  expect(cookieOf(first)).not.toBe(`shop=${md5(fleet.at(first.text).address)}`);
  // With `ttl` each response renews it.
  const again = await reader.ask("GET /", `Cookie: ${cookieOf(first)}`);
  expect([again.text, again.field("set-cookie")]).toEqual([first.text, written]);
  expect(new Set(await texts(reader, 6, `Cookie: ${cookieOf(first)}`))).toEqual(new Set([first.text]));
  await bySession(reader, fleet);
}

/** `field: x-session`. */
async function bySession(reader: PageReader, fleet: Fleet): Promise<void> {
  await reader.again((text) => text.replace(/sticky:\n(?: {6}.*\n)+/, "sticky: { field: x-session }\n"));
  const first = await reader.ask("GET /");
  const session = first.field("x-session")!;
  expect(session).toBe(md5(fleet.at(first.text).address));
  expect(new Set(await texts(reader, 6, `X-Session: ${session}`))).toEqual(new Set([first.text]));
  expect(new Set(await texts(reader, 6)).size).toBe(2);
}

test("docs/balancing.md", async () => {
  await using reader = await PageReader.open("balancing.md");
  await order(reader);
  await hash(reader);
  await tiers(reader);
  await sticky(reader);
  expect(reader.left).toBe(0);
}, 120_000);
