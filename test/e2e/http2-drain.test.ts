/** Clients of HTTP/2 while the gateway gets another config, another program, or is told to end: no request is lost. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Code, data, Flag, headers, ping, Type } from "../conformance/http2/wire.ts";
import { Gateway, isAlive } from "../support/gateway.ts";
import { RawHttp2, requestTo } from "../support/http2-raw.ts";
import { CertificateFolder } from "../support/tls.ts";
import { until } from "../support/until.ts";

/** How often each target was asked for. */
const times = new Map<string, number>();
/** Ends what waits at `/held`. */
let letGo = Promise.withResolvers<void>();

const origin = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    const { pathname, search } = new URL(request.url);
    times.set(pathname + search, (times.get(pathname + search) ?? 0) + 1);
    if (pathname === "/held") await letGo.promise;
    const content = await request.text();
    if (pathname.startsWith("/slow")) await Bun.sleep(300);
    return new Response(pathname.endsWith("echo") ? content : "from origin");
  },
});
const folder = new CertificateFolder();
let certificate: { readonly cert: string; readonly key: string };
beforeAll(() => {
  certificate = folder.put("site", folder.authority.issue(["localhost"]));
});
afterAll(() => {
  origin.stop(true);
  folder.remove();
});

const MAX_STREAM = 2 ** 31 - 1;

type Kind = "plain" | "TLS";

const config = (kind: Kind, name: string) => ({
  workers: 2,
  listeners: [{ name: "main", address: "127.0.0.1:0", tls: kind === "TLS" }],
  admin: { address: "127.0.0.1:0" },
  telemetry: { accessLog: "off" },
  ...(kind === "TLS" ? { tls: { certificates: certificate } } : {}),
  sites: [{ use: [{ headers: { response: { set: { "x-config": name } } } }], to: `127.0.0.1:${origin.port}` }],
});

const start = (kind: Kind) => Gateway.start(config(kind, "one"));

const write = ({ directory }: Gateway, next: unknown): void => {
  const path = join(directory, "lintel.json");
  writeFileSync(`${path}.next`, JSON.stringify(next));
  renameSync(`${path}.next`, path);
};

interface Outcome {
  readonly connections: number;
  readonly answered: number;
  /** GOAWAY frames. */
  readonly goodbyes: number;
  /** Requests that the client took back when it heard GOAWAY, and that never left. */
  readonly takenBack: number;
  /** Answers by their X-Config. */
  readonly versions: Readonly<Record<string, number>>;
  /** What was not answered, and why. */
  readonly lost: readonly string[];
}

/** Clients in a process of their own. */
class Peers {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  #output = "";
  readonly #read: Promise<void>;

  /** @param mode once: they ask until the gateway says good-bye */
  constructor(url: string, clients: number, mode: "again" | "once") {
    const program = join(import.meta.dir, "http2-stay-peer.mjs");
    this.#child = Bun.spawn(["node", program, url, String(clients), mode], { stdin: "pipe", stdout: "pipe" });
    this.#read = this.#take();
  }

  async #take(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) this.#output += decoder.decode(chunk, { stream: true });
  }

  get #answered(): number {
    return Number([...this.#output.matchAll(/^(\d+) answered$/gm)].at(-1)?.[1] ?? 0);
  }

  /** So many answers more than there were. */
  async more(count: number): Promise<void> {
    const before = this.#answered;
    const over = () => this.#child.exitCode !== null;
    await until(
      () => over() || this.#answered >= before + count,
      () => `${count} more answers:\n${this.#output}`,
      60_000,
    );
  }

  /** They end now. */
  outcome(): Promise<Outcome> {
    this.#child.stdin.end();
    return this.ended();
  }

  /** They end by themselves. */
  async ended(): Promise<Outcome> {
    await this.#read;
    return JSON.parse(this.#output.trimEnd().split("\n").at(-1)!) as Outcome;
  }
}

/** Targets that came to the origin server more than once. */
const askedAgain = () => [...times].filter(([, count]) => count > 1);
beforeEach(() => times.clear());

describe.each(["plain", "TLS"] as const)("clients of HTTP/2, %s", (kind) => {
  test("keep their connections over reloads, and get the new config on them", async () => {
    await using gateway = await start(kind);
    const peers = new Peers(gateway.url(), 4, "again");
    await peers.more(50);
    for (const name of ["two", "three"]) {
      write(gateway, config(kind, name));
      gateway.signal("SIGHUP");
      await gateway.says(new RegExp(`SIGHUP: .* is in force generation=${name === "two" ? 2 : 3}`));
      await peers.more(50);
    }
    const { lost, connections, goodbyes, versions } = await peers.outcome();
    expect(lost).toEqual([]);
    expect(askedAgain()).toEqual([]);
    expect([connections, goodbyes]).toEqual([4, 0]);
    expect(Object.keys(versions).sort()).toEqual(["one", "three", "two"]);
  }, 120_000);

  test("are told to go to the program that takes over, and lose nothing on the way", async () => {
    await using gateway = await start(kind);
    const peers = new Peers(gateway.url(), 6, "again");
    await peers.more(50);
    for (const name of ["two", "three"]) {
      const old = gateway.workers;
      write(gateway, config(kind, name));
      gateway.signal("SIGUSR2");
      await until(
        () => !old.some(isAlive),
        () => `the old workers end:\n${gateway.output}`,
        60_000,
      );
      await peers.more(50);
    }
    const { lost, connections, versions } = await peers.outcome();
    expect(lost).toEqual([]);
    expect(askedAgain()).toEqual([]);
    expect(connections).toBeGreaterThanOrEqual(18);
    expect(Object.keys(versions).sort()).toEqual(["one", "three", "two"]);
  }, 240_000);

  test("get an answer to all that they asked before they heard that the program ends", async () => {
    await using gateway = await start(kind);
    const peers = new Peers(gateway.url(), 8, "once");
    await peers.more(100);
    gateway.signal("SIGTERM");
    const { lost, connections, goodbyes } = await peers.ended();
    expect(lost).toEqual([]);
    expect(askedAgain()).toEqual([]);
    expect(connections).toBe(8);
    expect(goodbyes).toBeGreaterThanOrEqual(8);
    expect(await gateway.exited()).toBe(0);
  }, 120_000);
});

const ends = [
  ["SIGTERM", (gateway: Gateway) => gateway.signal("SIGTERM")],
  ["an upgrade", (gateway: Gateway) => gateway.signal("SIGUSR2")],
] as const;

test.each(ends)(
  "%s: a client that goes on asking is answered until it has heard of it",
  async (_, end) => {
    letGo = Promise.withResolvers<void>();
    await using gateway = await Gateway.start(config("plain", "one"));
    using client = await RawHttp2.connect(gateway.port);
    const held = () => times.get("/held") ?? 0;
    await client.get(1, "/held");
    await client.until(() => held() === 1, "the first request at the origin server");
    end(gateway);
    await client.until(() => client.goAways.length > 0, "GOAWAY");
    expect(client.goAways).toEqual([[MAX_STREAM, Code.noError]]);
    // It has not read GOAWAY yet, as far as the gateway knows.
    await client.get(3, "/held");
    await client.send(headers(5, requestTo("/echo", "POST"), Flag.endHeaders), data(5, "some "));
    await client.until(() => held() === 2, "the second request at the origin server");
    const [question] = client.of(Type.ping);
    await client.send(ping(question!.payload.toString("latin1"), Flag.ack));
    await client.until(() => client.goAways.length > 1, "the last GOAWAY");
    expect(client.goAways[1]).toEqual([5, Code.noError]);
    // What comes now is as if it had not come: the client has been told so.
    await client.get(7, "/held");
    await client.send(data(5, "content", Flag.endStream));
    await client.until(() => client.ended(5), "the end of the upload's answer");
    letGo.resolve();
    await client.until(() => client.isClosed, "the end of the connection");
    expect([1, 3, 5].map((id) => [client.status(id), client.content(id), client.ended(id)])).toEqual([
      [200, "from origin", true],
      [200, "from origin", true],
      [200, "some content", true],
    ]);
    expect([client.status(7), client.resetCode(7), held()]).toEqual([0, null, 2]);
    // SIGTERM is said once: a second one would not wait for anything.
    if (end === ends[0][1]) expect(await gateway.exited()).toBe(0);
  },
  60_000,
);
