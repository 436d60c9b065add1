/**
 * The engine on real sockets with clients that others wrote: curl, node:http2, and those of nghttp2
 * where they are installed.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { needs, program } from "../../base/testing.ts";
import { timerList } from "../../base/timer.ts";
import { MemoryBody } from "../../http/body.ts";
import type { Exchange } from "../../http/exchange.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpResponse } from "../../http/message.ts";
import { libc } from "../../net/libc.ts";
import { Listener } from "../../net/listener.ts";
import { listening } from "../../net/testing.ts";
import type { ExchangeHooks } from "../exchange-hooks.ts";
import { Http2ServerConnection } from "./server.ts";
import { CLIENT, SETTINGS } from "./testing.ts";

const faults: unknown[] = [];
let finished = 0;
const large = Buffer.alloc(3 * 1024 * 1024);
for (let i = 0; i < large.length; i++) large[i] = (i * 31) ^ (i >> 8);

function handle({ path, request }: Exchange): HttpResponse {
  if (path === "/echo") return new HttpResponse(200, FieldSection.of({ "x-method": request.method }), request.body);
  if (path === "/large") return new HttpResponse(200, undefined, new MemoryBody(large));
  if (path === "/fields") return new HttpResponse(200, undefined, MemoryBody.text(request.fields.toString()));
  return new HttpResponse(200, FieldSection.of({ "content-type": "text/plain" }), MemoryBody.text("x".repeat(100)));
}

const hooks: ExchangeHooks = {
  handle,
  draining: false,
  finish() {
    finished++;
  },
  malformed(_client, failure) {
    faults.push(failure);
  },
  closed() {
    listener.released();
  },
  fault(thrown) {
    faults.push(thrown);
  },
};

const { fd, address } = listening();
const url = `http://127.0.0.1:${(address as { port: number }).port}`;
const settings = {
  ...SETTINGS,
  streamWindowOctets: 256 * 1024,
  connectionWindowOctets: 1024 * 1024,
  maxAgeTimes: [timerList(3_600_000)!],
};
const listener = new Listener(fd, 100, {
  onConnection(connection) {
    connection.handler = new Http2ServerConnection(connection, CLIENT, settings, hooks);
  },
  onAcceptPaused() {},
  fault(thrown) {
    faults.push(thrown);
  },
});

beforeAll(() => listener.start());
afterAll(() => {
  listener.stop();
  libc.close(fd);
  expect(faults).toEqual([]);
});

async function run(command: string[], input?: Buffer): Promise<Buffer> {
  const child = Bun.spawn(command, { stdin: input ?? "ignore", stdout: "pipe", stderr: "inherit" });
  const output = Buffer.from(await new Response(child.stdout).arrayBuffer());
  expect(await child.exited).toBe(0);
  return output;
}

const sha = (octets: Uint8Array): string => createHash("sha256").update(octets).digest("hex");

needs(program("curl")).describe("curl", () => {
  const curl = (...more: string[]) => ["curl", "-s", "--http2-prior-knowledge", "--max-time", "20", ...more];

  // One request each: curl 7.88 takes the second one on such a connection for a framing error, with any server.
  test("a request", async () => {
    const output = await run(curl("-w", "%{http_version} %{http_code}", "-o", "/dev/null", `${url}/`));
    expect(output.toString()).toBe("2 200");
  });

  test("a large response", async () => {
    expect(sha(await run(curl(`${url}/large`)))).toBe(sha(large));
  });

  test("a large request, that goes back as it comes", async () => {
    expect(sha(await run(curl("-T", "-", `${url}/echo`), large))).toBe(sha(large));
  });

  test("fields reach us as they were sent", async () => {
    const output = await run(curl("-H", "X-Thing: Value", "-b", "a=1; b=2", `${url}/fields`));
    expect(output.toString()).toContain("x-thing: Value\r\n");
    expect(output.toString()).toContain("cookie: a=1; b=2\r\n");
  });
});

needs(program("h2load")).describe("h2load", () => {
  test("many streams on many connections", async () => {
    const before = finished;
    const output = await run(["h2load", "-n", "4000", "-c", "8", "-m", "32", `${url}/`]);
    expect(output.toString()).toContain("4000 succeeded, 0 failed");
    expect(finished - before).toBe(4000);
  });

  test("small windows, and content both ways", async () => {
    const output = await run(["h2load", "-n", "64", "-c", "2", "-m", "8", "-w", "16", "-W", "17", `${url}/large`]);
    expect(output.toString()).toContain("64 succeeded, 0 failed");
  });
});

/** Done by Node in a process of its own: Bun's node:http2 is not Node's. */
const SCRIPT = `
const http2 = require("node:http2");
const { createHash } = require("node:crypto");
const session = http2.connect(process.argv[1], { peerMaxConcurrentStreams: 50 });
session.on("error", (error) => { console.error(error); process.exit(1); });
const ask = (fields, content) => new Promise((resolve, reject) => {
  const stream = session.request(fields);
  const hash = createHash("sha256");
  let head; let octets = 0;
  stream.on("response", (fields) => { head = fields; });
  stream.on("data", (chunk) => { octets += chunk.length; hash.update(chunk); });
  stream.on("end", () => resolve({ status: head[":status"], octets, sha: hash.digest("hex"), method: head["x-method"] }));
  stream.on("error", reject);
  if (content) stream.end(content); else stream.end();
});
(async () => {
  const content = Buffer.alloc(700_000, "abc");
  const results = await Promise.all([
    ...Array.from({ length: 40 }, (_, i) => ask({ ":path": "/n" + i, "x-number": String(i) })),
    ...Array.from({ length: 5 }, () => ask({ ":path": "/echo", ":method": "POST" }, content)),
    ask({ ":path": "/large" }),
  ]);
  await new Promise((resolve, reject) => session.ping((error) => error ? reject(error) : resolve()));
  console.log(JSON.stringify({ results, sent: createHash("sha256").update(content).digest("hex") }));
  session.close();
})().catch((error) => { console.error(error); process.exit(1); });
`;

needs(program("node")).test("node:http2: many streams at once, both ways", async () => {
  const output = JSON.parse((await run(["node", "-e", SCRIPT, url])).toString());
  const { results, sent } = output as {
    results: { status: number; octets: number; sha: string; method?: string }[];
    sent: string;
  };
  expect(results.every(({ status }) => status === 200)).toBe(true);
  expect(results.slice(0, 40).every(({ octets }) => octets === 100)).toBe(true);
  expect(results.slice(40, 45).every((one) => one.sha === sent && one.method === "POST")).toBe(true);
  expect(results[45]!.sha).toBe(sha(large));
});
