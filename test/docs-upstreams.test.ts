/** The examples of docs/upstreams.md are served, and do what the page says. That of `discover` stands in docs/discovery.md, too. */
import { afterEach, expect, test } from "bun:test";
import type { AddressInfo, Socket } from "node:net";
import tls from "node:tls";
import type { Fleet } from "./support/fleet.ts";
import type { Script } from "./support/origin.ts";
import { PageReader } from "./support/page-reader.ts";
import { closeClients, type RawResponse, wire } from "./support/raw.ts";
import { CertificateFolder } from "./support/tls.ts";
import { until } from "./support/until.ts";

afterEach(closeClients);

const status =
  (code: number): Script =>
  (request) =>
    request.reply({ status: code, content: `answered ${code}` });

const times = async (count: number, ask: () => Promise<RawResponse>): Promise<string[]> => {
  const answers: string[] = [];
  for (let i = 0; i < count; i++) answers.push((await ask()).text);
  return answers;
};

async function addresses(reader: PageReader): Promise<void> {
  const quick = (text: string) => text.replace("every: 5s", "every: 50ms").replace("firstOctet: 10s", "firstOctet: 2s");
  const fleet = await reader.nextWithFleet(quick);
  expect((await reader.ask("GET /x")).text).toBe("one /x");
  // IPv4, IPv6 and a unix socket, in turn.
  const api = ["10.0.0.1:8080", "[2001:db8::7]:8080", "unix:/run/api.sock"];
  expect((await times(3, () => reader.ask("GET /api/x"))).sort()).toEqual([...api].sort());

  // Weight 3 means three times as many in flight; the backup is for when the others are gone.
  const [light, heavy, backup] = ["10.0.1.1:8080", "10.0.1.2:8080", "10.0.2.1:8080"] as const;
  const held = Promise.withResolvers<void>();
  const hold = async (address: string): Promise<void> => {
    fleet.at(address).script = async (request) => {
      if (request.target !== "/healthz") await held.promise;
      await request.reply({ content: address });
    };
  };
  for (const address of [light, heavy, backup]) await hold(address);
  const waiting = Array.from({ length: 8 }, () => reader.ask("GET /shop/x"));
  const counts = () => [light, heavy, backup].map((address) => fleet.asked(address));
  await until(
    () => counts().reduce((sum, count) => sum + count) === 8,
    () => `8 requests at ${counts()}`,
  );
  expect(counts()).toEqual([2, 6, 0]);
  held.resolve();
  await Promise.all(waiting);
  fleet.behave(light, heavy, backup);

  // The check asks for its path: who says no there gets no traffic.
  fleet.script(status(503), light, heavy);
  for (const address of [light, heavy]) await reader.says(new RegExp(`is down .*${fleet.at(address).address}`));
  fleet.script((request) => request.reply({ status: request.target === "/healthz" ? 503 : 200 }), light, heavy);
  expect(await times(4, () => reader.ask("GET /shop/x"))).toEqual([backup, backup, backup, backup]);
  fleet.behave(light, heavy);
  for (const address of [light, heavy]) await reader.says(new RegExp(`is up .*${fleet.at(address).address}`));
  expect(await times(4, () => reader.ask("GET /shop/x"))).not.toContain(backup);

  // `retry: 1` is a second endpoint and not a third one; `firstOctet` is the upstream's own.
  fleet.script(
    (request) => (request.target === "/healthz" ? request.reply() : request.connection.reset()),
    light,
    heavy,
  );
  const before = counts();
  expect((await reader.ask("GET /shop/x")).status).toBe(502);
  expect(counts().map((count, i) => count > before[i]!)).toEqual([true, true, false]);
  fleet.behave(light);
  expect((await reader.ask("GET /shop/x")).text).toBe(light);
  fleet.script(
    (request) => (request.target === "/healthz" ? request.reply() : request.connection.detach()),
    light,
    heavy,
  );
  expect((await reader.ask("GET /shop/slow")).status).toBe(504);
}

async function failingOver(reader: PageReader): Promise<void> {
  const quick = (text: string) =>
    text.replace("openFor: 10s", "openFor: 300ms").replace("perAttempt: 2s", "perAttempt: 5s");
  const fleet = await reader.nextWithFleet(quick);
  const [a, b, c] = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"] as const;
  const all = () => [a, b, c].reduce((sum, address) => sum + fleet.asked(address), 0);
  const asksFor = async (ask: () => Promise<RawResponse>): Promise<{ answer: RawResponse; attempts: number }> => {
    const before = all();
    const answer = await ask();
    return { answer, attempts: all() - before };
  };

  // Two further attempts, each at another endpoint, for a 503 and an idempotent method.
  fleet.script(status(503), a, b);
  let most = 0;
  for (let i = 0; i < 3; i++) {
    const { answer, attempts } = await asksFor(() => reader.ask("GET /x"));
    expect(answer.text).toBe(c);
    most = Math.max(most, attempts);
  }
  expect(most).toBe(3);

  fleet.script(status(503));
  const posted = await asksFor(() => reader.ask("POST /x", "Content-Length: 0"));
  expect([posted.answer.text, posted.attempts]).toEqual(["answered 503", 1]);

  // A status that is not of the list is the answer.
  fleet.script(status(502));
  const other = await asksFor(() => reader.ask("GET /x"));
  expect([other.answer.text, other.attempts]).toEqual(["answered 502", 1]);

  await hedging(reader, fleet, [a, b, c]);
  await breaking(reader, fleet, all);
}

/** Whoever is asked first says nothing: another one is asked beside it. */
async function hedging(reader: PageReader, fleet: Fleet, addresses: readonly string[]): Promise<void> {
  fleet.behave(...addresses);
  let first = "";
  for (const address of addresses)
    fleet.at(address).script = (request) => {
      if (first !== "") return request.reply({ content: address });
      first = address;
      request.connection.detach();
    };
  const response = await reader.ask("GET /slow");
  expect(response.status).toBe(200);
  expect(addresses.filter((address) => address !== first)).toContain(response.text);
}

async function breaking(reader: PageReader, fleet: Fleet, all: () => number): Promise<void> {
  fleet.script(status(503));
  const isOpen = async () => {
    const before = all();
    const response = await reader.ask("POST /x", "Content-Length: 0");
    return all() === before && response.status === 503 && response.field("retry-after") !== undefined;
  };
  await until(isOpen, "the circuit is open: 503 at once, and nobody is asked");
  fleet.script((request) => request.reply({ content: "well again" }));
  const probed = async () => {
    await reader.ask("GET /x");
    return reader.output.includes("the circuit is closed");
  };
  await until(probed, "probes find it well again");
  expect((await reader.ask("GET /x")).text).toBe("well again");
}

async function host(reader: PageReader): Promise<void> {
  const fleet = await reader.nextWithFleet();
  await reader.askOf("files.example.com", "GET /x");
  const { last } = fleet.at("10.0.0.9:9000");
  expect([last.field("host"), last.field("x-forwarded-host")]).toEqual([
    "storage.internal.example",
    "files.example.com",
  ]);
}

/** Somebody else's server: it shows the certificate of the name that it is asked for, and knows no other Host. */
async function branding(reader: PageReader): Promise<void> {
  const files = new CertificateFolder();
  const sockets = new Set<Socket>();
  const vendor = "shop.vendor.example";
  const server = tls.createServer(files.authority.issue(["hosting.example"]), (socket) => {
    socket.on("error", () => {});
    socket.on("data", (octets) => {
      const text = octets.toString("latin1");
      const field = (name: string) => new RegExp(`^${name}: (.*)\r$`, "im").exec(text)?.[1];
      const isOurs = field("host") === vendor && field("referer") === `https://${vendor}/from`;
      const line = isOurs ? "302 Found" : "421 Misdirected Request";
      const cookies = [
        `Set-Cookie: sid=1; Domain=vendor.example; Path=/; Secure; HttpOnly`,
        "Set-Cookie: theme=dark; Path=/; Secure; SameSite=None; Partitioned",
      ];
      const places = [
        `Location: https://${vendor}/cart?a`,
        `Content-Location: http://${vendor}/x`,
        `Refresh: 5; url=https://${vendor}/later`,
        "Link: <https://elsewhere.example/>",
      ];
      socket.write(wire(`HTTP/1.1 ${line}`, ...places, ...cookies, "Content-Length: 0", "", ""));
    });
  });
  server.on("connection", (socket: Socket) => sockets.add(socket));
  server.on("tlsClientError", () => {});
  server.addContext(vendor, files.authority.issue([vendor]));
  try {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const here = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const trusting = `tls: { ca: "${files.file("ca.pem")}" }`;
    await reader.next({}, (text) => text.replace("192.0.2.80:443", here).replace("tls: true", trusting));
    const response = await reader.askOf("shop.example.com", "GET /x", "Referer: http://shop.example.com/from");
    expect(response.status).toBe(302);
    expect(["location", "content-location", "refresh", "link"].map((name) => response.field(name))).toEqual([
      "http://shop.example.com/cart?a",
      "http://shop.example.com/x",
      "5; url=http://shop.example.com/later",
      "<https://elsewhere.example/>",
    ]);
    expect(response.head.all("set-cookie")).toEqual(["sid=1; Path=/; HttpOnly", "theme=dark; Path=/"]);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
    files.remove();
  }
}

test("docs/upstreams.md", async () => {
  await using reader = await PageReader.open("upstreams.md");
  await addresses(reader);
  reader.skip();
  await failingOver(reader);
  await host(reader);
  await branding(reader);
  expect(reader.left).toBe(0);
}, 120_000);
