/** The examples of docs/http.md, timeouts.md, retries.md and config.md, and the larger one of README.md, are served, and do what the pages say. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Script } from "./support/origin.ts";
import { PageReader, textOf } from "./support/page-reader.ts";
import { closeClients, exchange, get, RawClient, type RawResponse, wire } from "./support/raw.ts";
import { until } from "./support/until.ts";

setDefaultTimeout(60_000);
afterEach(closeClients);

/** To standard output. */
const withLog = (text: string): string => `telemetry: { accessLog: { format: json } }\n${text}`;

const x = (count: number): string => "x".repeat(count);

test("docs/http.md: every limit is where the page has it, and answered as it says", async () => {
  await using reader = await PageReader.open("http.md");
  await reader.next();
  reader.one.script = async (request) => {
    await request.content();
    await request.reply();
  };
  const status = async (octets: string) => (await exchange(reader.port, octets)).status;
  // Without the CRLF at its end.
  const line = (octets: number) => `GET /${x(octets - "GET / HTTP/1.1".length)} HTTP/1.1\r\nHost: a\r\n\r\n`;
  expect([await status(line(8192)), await status(line(8193))]).toEqual([200, 414]);

  const field = (octets: number) => `A: ${x(octets - 3)}`;
  expect([await status(get("/", field(8192))), await status(get("/", field(8193)))]).toEqual([200, 431]);

  // All field lines with their ends; `get` has a Host of its own.
  const section = (octets: number) => {
    const rest = octets - "Host: example.com\r\n".length - 4 * 8000;
    return get("/", ...Array.from({ length: 4 }, () => field(7998)), field(rest - 2));
  };
  expect([await status(section(32_768)), await status(section(32_769))]).toEqual([200, 431]);

  const many = (count: number) => get("/", ...Array<string>(count - 1).fill("A: b"));
  expect([await status(many(100)), await status(many(101))]).toEqual([200, 431]);

  const chunked = (chunks: string) => wire("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "", chunks);
  expect(await status(chunked(`0\r\n${field(4000)}\r\n${field(4000)}\r\n\r\n`))).toBe(200);
  expect(await status(chunked(`0\r\n${field(4000)}\r\n${field(4300)}\r\n\r\n`))).toBe(431);
  const extended = (octets: number) => chunked(`1;${x(octets - 1)}\r\na\r\n0\r\n\r\n`);
  expect([await status(extended(1000)), await status(extended(1100))]).toEqual([200, 400]);

  const upload = (octets: number) =>
    wire("POST / HTTP/1.1", "Host: a", `Content-Length: ${octets}`, "Expect: 100-continue", "", "");
  reader.one.script = (request) => request.reply({ content: "taken" });
  expect([await status(upload(100_000_000)), await status(upload(100_000_001))]).toEqual([200, 413]);
  expect(reader.left).toBe(0);
});

test("docs/timeouts.md: the nearest counts, and the others limit what the table says", async () => {
  await using reader = await PageReader.open("timeouts.md");
  const short = (text: string) =>
    withLog(text).replace("head: 10s, keepAlive: 20s, firstOctet: 30s", "head: 2s, keepAlive: 3s, firstOctet: 2s");
  const fleet = await reader.nextWithFleet(short);
  const silent: Script = (request) => request.connection.detach();
  const ask = async (path: string) => {
    const client = await RawClient.connect(reader.port);
    await client.send(get(path));
    return client;
  };

  // The gateway's for what has none of its own; the upstream's 5 minutes for the report, which is asked first.
  const answer = Promise.withResolvers<void>();
  fleet.script(async (request) => {
    await answer.promise;
    await request.reply({ content: "the report" });
  });
  reader.one.script = silent;
  const report = await ask("/reports/1");
  await until(() => fleet.asked("10.0.0.5:8080") === 1, "the report is asked for");
  expect((await (await ask("/x")).response()).status).toBe(504);
  await until(() => reader.output.includes('"code":"upstream-first-octet-timeout"'), "the log says which one it was");
  answer.resolve();
  expect((await report.response()).text).toBe("the report");

  const half = await RawClient.connect(reader.port);
  await half.send("GET / HTTP/1.1\r\nHost:");
  expect((await half.response()).status).toBe(408);
  await until(() => reader.output.includes('"code":"head-timeout"'), "the log says which one it was");

  reader.one.script = (request) => request.reply();
  const idle = await ask("/");
  expect((await idle.response()).field("connection")).toBeUndefined();
  await idle.untilClose();

  // `exchange` is for all of it, whatever the parts may take.
  await reader.again((text) => withLog(text).replace("exchange: 10m", "exchange: 300ms"));
  fleet.script(silent);
  expect((await (await ask("/reports/1")).response()).status).toBe(504);
  await until(() => reader.output.includes('"code":"exchange-timeout"'), "the log says which one it was");
  expect(reader.left).toBe(0);
});

test("docs/retries.md", async () => {
  await using reader = await PageReader.open("retries.md");
  const [a, b, c] = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"] as const;
  const calm = (text: string) =>
    withLog(text)
      .replace("after: 500ms", "after: 10m")
      .replace("circuit: {", "health: { passive: off }\n    circuit: {");
  const fleet = await reader.nextWithFleet(calm);
  const attempts = () => fleet.asked(a) + fleet.asked(b) + fleet.asked(c);
  const counted = async (ask: () => Promise<RawResponse>) => {
    const before = attempts();
    const { status, text } = await ask();
    return { status, text, attempts: attempts() - before };
  };
  const say =
    (status: number, text: string): Script =>
    (request) =>
      request.reply({ status, content: text });

  // A status of the list: further endpoints, and if all are busy the answer of the last one as it came.
  fleet.script(say(503, "busy"));
  expect(await counted(() => reader.ask("GET /all"))).toEqual({ status: 503, text: "busy", attempts: 3 });
  expect(await counted(() => reader.ask("POST /once", "Content-Length: 0"))).toMatchObject({
    attempts: 1,
    text: "busy",
  });
  fleet.script(say(502, "not of the list"));
  expect(await counted(() => reader.ask("GET /"))).toMatchObject({ attempts: 1, text: "not of the list" });

  // What is no response, and one that does not come in time.
  fleet.script((request) => request.send("nonsense\r\n\r\n"));
  fleet.behave(c);
  for (let i = 0; i < 3; i++) expect((await reader.ask("GET /malformed")).text).toBe(c);

  // Content that has been kept is sent again, all of it; what is longer is not.
  fleet.script(async (request) => {
    await request.content();
    await request.reply({ status: 503, content: "busy" });
  });
  fleet.at(c).script = async (request) => request.reply({ content: `${(await request.content()).text.length}` });
  const put = (octets: number) =>
    exchange(reader.port, wire("PUT / HTTP/1.1", "Host: a", `Content-Length: ${octets}`, "", x(octets)));
  const answers: string[] = [];
  for (let i = 0; i < 3; i++) answers.push((await put(65_536)).text);
  expect(answers).toEqual(["65536", "65536", "65536"]);
  answers.length = 0;
  for (let i = 0; i < 3; i++) answers.push((await put(65_537)).text);
  expect(answers.sort()).toEqual(["65537", "busy", "busy"]);

  // The log lists the attempts, with the keys that the page shows.
  fleet.script(say(503, "busy"));
  fleet.behave(c);
  for (let i = 0; i < 3; i++) await reader.ask(`GET /tried/${i}`);
  const tried = () => reader.output.split("\n").filter((line) => line.includes('"tries"') && line.includes("/tried/"));
  await until(() => tried().length > 0, "a line with the attempts");
  const { tries } = JSON.parse(tried()[0]!) as { tries: object[] };
  const shown = textOf("retries.md").match(/^ {6}(\{"endpoint".*\})[,\]]/m)![1]!;
  expect(Object.keys(tries[0]!)).toEqual(Object.keys(JSON.parse(shown) as object));

  // `perAttempt` is a `timeout`, which is of the list.
  await reader.again((text) => calm(text).replace("perAttempt: 2s", "perAttempt: 1s"));
  fleet.script((request) => request.connection.detach());
  fleet.behave(c);
  for (let i = 0; i < 3; i++) expect((await reader.ask("GET /slow")).text).toBe(c);

  // Whoever refuses the connection has done nothing: any method may go elsewhere.
  fleet.behave(a, b, c);
  fleet.at(a).stop();
  for (let i = 0; i < 3; i++) expect((await reader.ask("POST /", "Content-Length: 0")).text).toBeOneOf([b, c]);
  expect(reader.left).toBe(0);
});

const accessLog = (text: string): string => text.replace("/var/log/lintel/access.log", "./access.log");

async function logged(reader: PageReader, target: string): Promise<void> {
  const file = join(reader.folder, "access.log");
  const has = () => existsSync(file) && readFileSync(file, "utf8").includes(`"target":"${target}"`);
  await until(has, () => `a line for ${target} in ${existsSync(file) ? readFileSync(file, "utf8") : "no file"}`);
}

const upload = (reader: PageReader, path: string, octets: number): Promise<RawResponse> =>
  reader.askOf("www.example.com", `POST ${path}`, `Content-Length: ${octets}`, "Expect: 100-continue");

test("docs/config.md: the order of a config", async () => {
  await using reader = await PageReader.open("config.md");
  reader.skip();
  reader.put("public/assets/a.css", "body {}");
  const fleet = await reader.nextWithFleet(accessLog);
  const of = (line: string) => reader.askOf("www.example.com", line);
  const seen = new Set([(await of("GET /x")).text, (await of("GET /x")).text]);
  expect([...seen].sort()).toEqual(["10.0.0.1:3000", "10.0.0.2:3000"]);
  const { last } = fleet.at("10.0.0.1:3000");
  expect(last.field("x-request-id")).toMatch(/^[0-9a-f]{32}$/);
  expect(await of("GET /assets/a.css")).toMatchObject({ status: 200, text: "body {}" });
  expect([
    (await upload(reader, "/api/x", 1_000_000)).status,
    (await upload(reader, "/api/x", 1_000_001)).status,
  ]).toEqual([200, 413]);
  expect((await upload(reader, "/other", 1_000_001)).status).toBe(200);
  await logged(reader, "/assets/a.css");
});

test("README.md: the larger config", async () => {
  await using reader = await PageReader.open("../README.md");
  await reader.next();
  expect((await reader.ask("GET /x")).text).toBe("one /x");
  reader.put("public/assets/a.css", "body {}");
  const fleet = await reader.nextWithFleet(accessLog);
  const page = await reader.askOf("www.example.com", "GET /x");
  expect(["10.0.0.1:3000", "10.0.0.2:3000"]).toContain(page.text);
  expect(page.field("x-frame-options")).toBe("DENY");
  expect(fleet.at(page.text).last.field("x-request-id")).toMatch(/^[0-9a-f]{32}$/);
  const asset = await reader.askOf("www.example.com", "GET /assets/a.css");
  expect([asset.text, asset.field("x-frame-options")]).toEqual(["body {}", "DENY"]);
  expect([
    (await upload(reader, "/api/x", 1_000_000)).status,
    (await upload(reader, "/api/x", 1_000_001)).status,
  ]).toEqual([200, 413]);
  expect((await reader.askOf("www.example.com", "GET /old/a/b")).field("location")).toBe("/new/a/b");
  expect((await reader.askOf("example.com", "GET /a?b")).field("location")).toBe("http://www.example.com/a?b");
  await logged(reader, "/old/a/b");
  expect(reader.left).toBe(0);
});
