/** The command-line clients of nghttp2 against the whole program, with TLS and without. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { findProgram, needs, program } from "../../src/base/testing.ts";
import { Gateway } from "../support/gateway.ts";
import { CertificateFolder } from "../support/tls.ts";

const content = Buffer.from(Array.from({ length: 300_000 }, (_, n) => n % 251));
const sha = (octets: Uint8Array): string => createHash("sha256").update(octets).digest("hex");

const LONG_FIELDS = [1, 2, 3, 4, 5, 6].map((n) => `continuation-test-${n}`);

let asked = 0;
const origin = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    asked++;
    const { pathname } = new URL(request.url);
    if (pathname === "/content") return new Response(content);
    if (pathname === "/echo") return new Response(await request.arrayBuffer());
    if (pathname === "/fields") return Response.json(Object.fromEntries(request.headers));
    return new Response("from origin");
  },
});
const folder = new CertificateFolder();
let gateway: Gateway;
beforeAll(async () => {
  writeFileSync(folder.file("upload"), content);
  const certificates = folder.put("site", folder.authority.issue(["localhost"]));
  gateway = await Gateway.start({
    workers: 2,
    listeners: [
      { name: "plain", address: "127.0.0.1:0" },
      { name: "secure", address: "127.0.0.1:0", tls: true },
    ],
    tls: { certificates, redirect: false },
    // nghttp --continuation sends 48 KiB of fields, which the origin server would not take.
    limits: { fieldLine: "16KiB", fieldSection: "64KiB" },
    sites: [{ use: [{ headers: { request: { remove: LONG_FIELDS } } }], to: `127.0.0.1:${origin.port}` }],
  });
});
afterAll(async () => {
  await gateway.stop();
  origin.stop(true);
  folder.remove();
});

const KINDS = ["plain", "secure"] as const;
type Kind = (typeof KINDS)[number];
const url = (kind: Kind, path: string): string =>
  `${kind === "secure" ? "https" : "http"}://localhost:${gateway.portOf(kind)}${path}`;

async function run(command: readonly string[]): Promise<{ readonly octets: Buffer; readonly text: string }> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 60_000 });
  const [octets, errors] = await Promise.all([child.stdout.bytes(), child.stderr.text()]);
  expect({ code: await child.exited, errors }).toEqual({ code: 0, errors: expect.any(String) });
  return { octets: Buffer.from(octets), text: Buffer.from(octets).toString("latin1") };
}

const nghttp = findProgram("nghttp");
const h2load = findProgram("h2load");

needs(program("nghttp", nghttp)).describe.each(KINDS)("nghttp, %s", (kind) => {
  const get = (path: string, ...options: string[]) => run([nghttp!, "--no-verify-peer", ...options, url(kind, path)]);
  /** Frames that it received, by name. */
  const received = (text: string) =>
    [...text.matchAll(/recv (?:\(stream_id=\d+\) )?([A-Z_]+) frame/g)].map(([, name]) => name);

  test("a response, octet for octet, whatever the windows", async () => {
    for (const options of [[], ["--window-bits=12", "--connection-window-bits=17"], ["--window-bits=24"]])
      expect(sha((await get("/content", ...options)).octets)).toBe(sha(content));
  });

  test("an upload comes back as it was, also padded, without a length, with trailers, after 100 Continue", async () => {
    const data = `--data=${folder.file("upload")}`;
    for (const options of [[], ["--padding=200"], ["--no-content-length", "--trailer=x-sum: 1"], ["--expect-continue"]])
      expect(sha((await get("/echo", data, ...options)).octets)).toBe(sha(content));
  });

  test("fields in several frames, and with no table on either side", async () => {
    const fields = ["--header=x-own: yes", `--header=x-long: ${"y".repeat(1000)}`];
    for (const options of [["--continuation"], ["--header-table-size=0", "--encoder-header-table-size=0"]]) {
      const said = JSON.parse((await get("/fields", ...fields, ...options)).text) as Record<string, string>;
      expect([said["x-own"], said["x-long"]?.length, said["x-forwarded-proto"]]).toEqual([
        "yes",
        1000,
        kind === "plain" ? "http" : "https",
      ]);
    }
  });

  test("many requests on one connection, which ends in order", async () => {
    const { text } = await get("/", "--multiply=100", "--null-out", "--verbose");
    expect([...text.matchAll(/:status: 200/g)]).toHaveLength(100);
    const frames = received(text);
    expect(frames.filter((name) => name === "HEADERS")).toHaveLength(100);
    expect(frames.filter((name) => name === "RST_STREAM" || name === "GOAWAY")).toEqual([]);
    if (kind === "secure") expect(text).toContain("The negotiated protocol: h2");
  });
});

needs(program("h2load", h2load)).describe.each(KINDS)("h2load, %s", (kind) => {
  const load = async (path: string, requests: number, ...options: string[]) => {
    const to = `--connect-to=127.0.0.1:${gateway.portOf(kind)}`;
    return (await run([h2load!, `--requests=${requests}`, to, ...options, url(kind, path)])).text;
  };
  const allOf = (requests: number) =>
    `requests: ${requests} total, ${requests} started, ${requests} done, ${requests} succeeded, 0 failed, 0 errored, 0 timeout`;

  test("many streams on many connections", async () => {
    const before = asked;
    const text = await load("/", 3000, "--clients=8", "--max-concurrent-streams=32");
    expect(text).toContain(allOf(3000));
    expect(text).toContain("status codes: 3000 2xx");
    expect(text).toContain(kind === "secure" ? "Application protocol: h2\n" : "Application protocol: h2c\n");
    expect(asked - before).toBe(3000);
  });

  test("long content in small windows, and uploads", async () => {
    const small = ["--clients=2", "--max-concurrent-streams=8", "--window-bits=14", "--connection-window-bits=16"];
    expect(await load("/content", 40, ...small)).toContain(allOf(40));
    const text = await load("/echo", 40, ...small, `--data=${folder.file("upload")}`);
    expect(text).toContain(allOf(40));
    expect(text).toContain("status codes: 40 2xx");
  });

  test("HTTP/1.1 on the same listener", async () => {
    expect(await load("/", 500, "--clients=4", "--h1")).toContain(allOf(500));
  });
});
