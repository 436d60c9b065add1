/** The examples of docs/health.md are served, and do what the page says. */
import { afterEach, expect, test } from "bun:test";
import type { AddressInfo, Socket } from "node:net";
import tls from "node:tls";
import { Authority } from "../src/tls/testing.ts";
import type { Fleet } from "./support/fleet.ts";
import { startGrpcOrigin } from "./support/grpc-origin.ts";
import { Origin, type Script } from "./support/origin.ts";
import { PageReader, textOf } from "./support/page-reader.ts";
import { closeClients } from "./support/raw.ts";
import { until } from "./support/until.ts";

afterEach(closeClients);

const page = textOf("health.md");

/** A line of the log as the page shows it, about another address and another time. */
function shown(start: string, fleet: Fleet, address: string): RegExp {
  const line = page.split("\n").find((one) => one.startsWith(start))!;
  const ours = line.replace(/endpoint=\S+/, `endpoint=${fleet.at(address).address}`).replace(/after=.*/, "after=");
  return new RegExp(RegExp.escape(ours).replaceAll("\\x20\\x20", "\\s+"));
}

const checksSay =
  (status: number, name: string): Script =>
  (request) =>
    request.reply(request.target === "/healthz" ? { status } : { content: name });

async function answers(reader: PageReader, count: number, path = "/"): Promise<Set<string>> {
  const seen = new Set<string>();
  for (let i = 0; i < count; i++) seen.add((await reader.ask(`GET ${path}`)).text);
  return seen;
}

async function checked(reader: PageReader): Promise<void> {
  const fleet = await reader.nextWithFleet((text) => text.replace("every: 5s", "every: 50ms"));
  const [a, b, c] = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"] as const;
  await until(async () => (await answers(reader, 3)).size === 3, "all three get traffic");
  fleet.script(checksSay(503, b), b);
  await reader.says(shown("warn  an endpoint is down", fleet, b));
  expect([...(await answers(reader, 6))].sort()).toEqual([a, c]);
  fleet.script(checksSay(200, b), b);
  await reader.says(shown("info  an endpoint is up", fleet, b));
  // With a tenth of its share at first.
  await until(async () => (await answers(reader, 6)).has(b), "it gets traffic again");

  // `try-all`: a check that is wrong about all costs nothing.
  for (const address of [a, b, c]) fleet.script(checksSay(503, address), address);
  const isDown = (address: string) =>
    [...reader.output.matchAll(/an endpoint is (down|up) .*?endpoint=(\S+)/g)].findLast(
      ([, , endpoint]) => endpoint === fleet.at(address).address,
    )?.[1] === "down";
  await until(() => [a, b, c].every(isDown), "all are down");
  expect((await reader.ask("GET /")).status).toBe(200);

  // `fail`: nobody is asked.
  await reader.again((text) => text.replace("try-all", "fail"));
  await until(async () => (await reader.ask("GET /")).status === 503, "503 while all are down");
}

/** Its path, Host, field and port; its statuses; its text. */
async function asked(reader: PageReader): Promise<void> {
  const [a, b] = ["10.0.0.1:8080", "10.0.0.2:8080"] as const;
  const doors: Origin[] = [];
  const fleet = await reader.nextWithFleet(async (text, here) => {
    doors.push(...(await doorsOf(here.at(a), here.at(b))));
    return text.replace("port: 9000", `port: ${doors[0]!.port}\n        every: 50ms`);
  });
  try {
    await until(() => doors.every(({ requests }) => requests.length > 0), "both are asked at the port");
    for (const { last } of doors) {
      expect([last.method, last.target]).toEqual(["GET", "/ready?deep=1"]);
      expect([last.field("host"), last.field("x-probe")]).toEqual(["app.example", "lintel"]);
    }
    expect((await answers(reader, 4)).size).toBe(2);
    const isDown = (address: string, reason: string) =>
      reader.says(`an endpoint is down upstream=app endpoint=${fleet.at(address).address} reason=${reason}`);
    const isUp = (address: string) =>
      reader.says(`an endpoint is up upstream=app endpoint=${fleet.at(address).address}`);
    doors[0]!.script = (request) => request.reply({ status: 302, content: "ready" });
    await isDown(a, '"answered 302, wanted 200 or 204"');
    expect([...(await answers(reader, 4))]).toEqual([b]);
    doors[0]!.script = ready;
    await isUp(a);
    doors[1]!.script = (request) => request.reply({ content: "not yet" });
    await isDown(b, '"the content does not contain \\"ready\\""');
    expect([...(await answers(reader, 4))]).toEqual([a]);
  } finally {
    for (const door of doors) door.stop();
  }
}

const ready: Script = (request) => request.reply({ content: "is ready" });

/** Where the checks of both go: one port, at the host of each. */
async function doorsOf(...endpoints: Origin[]): Promise<Origin[]> {
  const doors: Origin[] = [];
  for (const { address } of endpoints)
    doors.push(await Origin.start({ host: address.split(":")[0]!, port: doors[0]?.port ?? 0 }));
  for (const door of doors) door.script = ready;
  return doors;
}

/** A server of gRPC is asked in its own protocol; the other one, of HTTP/1.1, is found down. */
async function grpc(reader: PageReader): Promise<void> {
  using server = await startGrpcOrigin();
  const fleet = await reader.nextWithFleet((text) =>
    text.replace("10.0.0.5:50051", server.address).replace("service: shop.Cart", 'service: ""').replace("5s", "50ms"),
  );
  await reader.says(`an endpoint is down upstream=shop endpoint=${fleet.at("10.0.0.6:50051").address}`);
  expect(reader.output).not.toContain(`an endpoint is down upstream=shop endpoint=${server.address}`);
  // HTTP/2 it is for requests, too: what is no call is answered, if not as one.
  expect((await reader.ask("GET /")).status).toBe(415);
}

/** `verify: false` takes a certificate of nobody we know, `minDays: 7` none that ends before. */
async function overTls(reader: PageReader): Promise<void> {
  const authority = new Authority();
  const names: unknown[] = [];
  const sockets = new Set<Socket>();
  const serve = (days: number): tls.Server => {
    const server = tls.createServer(authority.issue(["other.example"], { until: days }));
    server.on("connection", (socket: Socket) => sockets.add(socket));
    server.on("secureConnection", (socket) => {
      names.push((socket as { servername?: unknown }).servername);
      socket.on("error", () => {});
    });
    return server;
  };
  const [fine, short] = [serve(10), serve(6)];
  const listen = (server: tls.Server) =>
    new Promise<string>((resolve) =>
      server.listen(0, "127.0.0.1", () => resolve(`127.0.0.1:${(server.address() as AddressInfo).port}`)),
    );
  try {
    const [good, bad] = [await listen(fine), await listen(short)];
    await reader.next({}, (text) => text.replace('"10.0.0.5:8443"', `"${good}", "${bad}"`).replace("1m", "50ms"));
    await reader.says(`an endpoint is down upstream=mail endpoint=${bad}`);
    await until(() => names.length > 3, "both are asked again");
    expect(new Set(names)).toEqual(new Set(["mail.internal.example"]));
    expect(reader.output).not.toContain(`an endpoint is down upstream=mail endpoint=${good}`);
  } finally {
    for (const socket of sockets) socket.destroy();
    fine.close();
    short.close();
  }
}

async function watched(reader: PageReader): Promise<void> {
  const fleet = await reader.nextWithFleet((text) =>
    text.replace("ejectFor: 5s", "ejectFor: 10m").replace("2m", "20m").replace("10s", "10m"),
  );
  const all = [1, 2, 3, 4].map((i) => `10.0.0.${i}:8080`);
  const [a, b] = all as [string, string];
  const busy: Script = (request) => request.reply({ status: 429, content: "busy" });
  fleet.script(busy, a);
  while (fleet.asked(a) < 5) await reader.ask("GET /");
  await reader.says(
    new RegExp(`an endpoint is ejected .*${fleet.at(a).address} .*failed 5 times in a row: answered 429`),
  );
  expect([...(await answers(reader, 8))].sort()).toEqual(all.slice(1));
  expect(fleet.asked(a)).toBe(5);
  // A quarter is out: never more.
  fleet.script(busy, b);
  const before = fleet.asked(b);
  await answers(reader, 40);
  expect(fleet.asked(b) - before).toBeGreaterThan(9);
  expect((await answers(reader, 6)).has("busy")).toBe(true);

  // `passive: off`: whatever it answers, it is asked.
  const single = "10.0.0.9:8080";
  fleet.script((request) => request.reply({ status: 503, content: "always" }), single);
  expect([...(await answers(reader, 12, "/single/x"))]).toEqual(["always"]);
  expect(fleet.asked(single)).toBe(12);
}

/** 49 failures of 49 exchanges are too few to say anything, 50 of 50 are not. */
async function broken(reader: PageReader): Promise<void> {
  // Under another name: the circuit of `app` remembers what the other examples had.
  const edit = (text: string) =>
    text
      .replaceAll(/\bapp\b/g, "fresh")
      .replace("window: 30s", "window: 10m")
      .replace("openFor: 5s", "openFor: 300ms");
  const fleet = await reader.nextWithFleet(edit);
  const asked = () => fleet.asked("10.0.0.1:8080") + fleet.asked("10.0.0.2:8080");
  // Answers of an application, which passive health does not look at.
  fleet.script((request) => request.reply({ status: 504, content: "late" }));
  for (let i = 0; i < 49; i++) expect((await reader.ask("POST /", "Content-Length: 0")).text).toBe("late");
  expect(asked()).toBe(49);
  await reader.ask("POST /", "Content-Length: 0");
  await reader.says(/the circuit is open .*upstream=fresh .*50 of 50/);
  const refused = await reader.ask("GET /");
  const before = asked();
  expect([refused.status, refused.field("retry-after")]).toEqual([503, "1"]);
  fleet.behave("10.0.0.1:8080", "10.0.0.2:8080");
  const closed = async () => {
    await reader.ask("GET /");
    return /the circuit is closed .*upstream=fresh/.test(reader.output);
  };
  await until(closed, "the probes succeed");
  // As many as it needs, and not one less.
  expect(asked() - before).toBeGreaterThanOrEqual(5);
}

test("docs/health.md", async () => {
  await using reader = await PageReader.open("health.md");
  await checked(reader);
  await asked(reader);
  await grpc(reader);
  await overTls(reader);
  await watched(reader);
  await broken(reader);
  expect(reader.left).toBe(0);
}, 120_000);
