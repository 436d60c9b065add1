/** For tests of automatic HTTPS: Let's Encrypt's test server (Debian's pebble) with a DNS server that says 127.0.0.1. */
import { randomInt, randomUUID } from "node:crypto";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../test/support/until.ts";
import { findProgram } from "../base/testing.ts";
import type { AcmeCaConfig, AcmeConfig } from "../config/gateway-config.ts";
import { Authority } from "../tls/testing.ts";
import type { BoardView } from "./challenge-board.ts";

export const pebblePath = findProgram("pebble");
const challtestsrvPath = findProgram("pebble-challtestsrv");

/**
 * A port that nobody has, neither for TCP nor for UDP. Not one of those that the system gives to
 * connections: between now and its use somebody would get it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(12_000, 32_000);
    if ((await isFreeForTcp(port)) && (await isFreeForUdp(port))) return port;
  }
}

async function isFreeForTcp(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.once("error", () => resolve(false)).once("listening", () => server.close(() => resolve(true)));
  server.listen(port, "127.0.0.1");
  return promise;
}

async function isFreeForUdp(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = createSocket("udp4");
  socket.once("error", () => resolve(false)).once("listening", () => socket.close(() => resolve(true)));
  socket.bind(port, "127.0.0.1");
  return promise;
}

export interface PebbleOptions {
  /** Keys of external accounts, by their ids; with any, all accounts need one. */
  readonly accountKeys?: Readonly<Record<string, string>>;
  /** Share of good nonces that are refused; percent. */
  readonly nonceReject?: number;
  /** Share of names that need no second challenge; percent. With 0, one in a hundred still does not. */
  readonly authorizationReuse?: number;
  readonly lifetimeSeconds?: number;
  /** "host:port"; default: a server that says 127.0.0.1 to every name. */
  readonly dns?: string;
  /** Where challenges are looked for; default: free ports. */
  readonly httpPort?: number;
  readonly tlsPort?: number;
}

export class Pebble {
  readonly #directory = mkdtempSync(join(tmpdir(), "lintel-pebble-"));
  readonly #children: Bun.Subprocess[] = [];
  /** PEM of the CA that certifies pebble's own API. */
  roots = "";
  rootsFile = "";
  url = "";
  httpPort = 0;
  tlsPort = 0;
  /** Address of the DNS server that it asks, unless it was told another, and of how to set records there. */
  dns = { server: "", management: "" };
  #managementPort = 0;
  /** What it said. */
  output = "";

  /** If somebody else has got one of its ports meanwhile, it ends: it is started again, on others. */
  static async start(options: PebbleOptions = {}): Promise<Pebble> {
    for (let tried = 1; ; tried++) {
      const pebble = new Pebble();
      try {
        await pebble.#start(options);
        return pebble;
      } catch (thrown) {
        await pebble.stop();
        if (tried === 5) throw thrown;
      }
    }
  }

  async #start(options: PebbleOptions): Promise<void> {
    const port = await freePort();
    this.#managementPort = await freePort();
    this.httpPort = options.httpPort ?? (await freePort());
    this.tlsPort = options.tlsPort ?? (await freePort());
    this.url = `https://localhost:${port}/dir`;
    const authority = new Authority("pebble's API");
    const { cert, key } = authority.issue(["localhost", "127.0.0.1"]);
    this.roots = authority.cert;
    this.rootsFile = this.#file("roots.pem", authority.cert);
    const config = {
      pebble: {
        listenAddress: `127.0.0.1:${port}`,
        managementListenAddress: `127.0.0.1:${this.#managementPort}`,
        certificate: this.#file("cert.pem", cert),
        privateKey: this.#file("key.pem", key),
        httpPort: this.httpPort,
        tlsPort: this.tlsPort,
        ocspResponderURL: "",
        externalAccountBindingRequired: options.accountKeys !== undefined,
        externalAccountMACKeys: options.accountKeys ?? {},
        ...(options.lifetimeSeconds === undefined ? {} : { certificateValidityPeriod: options.lifetimeSeconds }),
      },
    };
    const dns = options.dns ?? (await this.#startDns());
    const args = ["-strict", "-dnsserver", dns, "-config", this.#file("config.json", JSON.stringify(config))];
    await this.#spawn([pebblePath!, ...args], "ACME directory available", {
      PEBBLE_VA_NOSLEEP: "1",
      PEBBLE_AUTHZREUSE: String(options.authorizationReuse ?? 0),
      PEBBLE_WFE_NONCEREJECT: String(options.nonceReject ?? 0),
    });
    // It says so a moment before it listens.
    for (const url of [this.url, this.#issuerUrl])
      await until(
        () =>
          this.#fetch(url).then(
            ({ ok }) => ok,
            () => false,
          ),
        () => `${url}: ${this.output}`,
      );
  }

  /** The CA that signs what is ordered; PEM. */
  async issuer(): Promise<string> {
    return (await this.#fetch(this.#issuerUrl)).text();
  }

  get #issuerUrl(): string {
    return `https://localhost:${this.#managementPort}/roots/0`;
  }

  #fetch(url: string): Promise<Response> {
    return fetch(url, { tls: { ca: this.roots } });
  }

  /** Orders it has seen. */
  get orders(): number {
    return this.output.split("Added order").length - 1;
  }

  ca(more: Partial<AcmeCaConfig> = {}): AcmeCaConfig {
    return {
      name: "pebble",
      directory: this.url,
      roots: this.rootsFile,
      accountBinding: null,
      preferredChain: null,
      ...more,
    };
  }

  async stop(): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(this.#children.map(({ exited }) => exited));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** It goes on without the port if somebody else has it: it is there once it answers. */
  async #startDns(): Promise<string> {
    for (;;) {
      const address = await this.#spawnDns();
      const resolver = new Resolver({ timeout: 1000, tries: 2 });
      resolver.setServers([address]);
      if ((await resolver.resolve4("a.test").catch((): string[] => [])).includes("127.0.0.1")) return address;
    }
  }

  async #spawnDns(): Promise<string> {
    const address = `127.0.0.1:${await freePort()}`;
    const management = `127.0.0.1:${await freePort()}`;
    const said = ["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""];
    const off = ["-http01", "", "-https01", "", "-tlsalpn01", ""];
    const args = ["-dns01", address, "-management", management, ...said, ...off];
    this.dns = { server: address, management: `http://${management}` };
    await this.#spawn([challtestsrvPath!, ...args], "Starting management server", {});
    return address;
  }

  async #spawn(command: string[], whenReady: string, env: Record<string, string>): Promise<void> {
    const child = Bun.spawn(command, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    this.#children.push(child);
    const before = this.output.length;
    const drain = async (stream: ReadableStream<Uint8Array>) => {
      for await (const piece of stream) this.output += Buffer.from(piece).toString();
    };
    void drain(child.stdout);
    void drain(child.stderr);
    await until(
      () => this.output.slice(before).includes(whenReady) || child.exitCode !== null,
      () => `${command[0]}: ${this.output}`,
    );
    if (child.exitCode !== null) throw new Error(`${command[0]} ended: ${this.output}`);
  }

  #file(name: string, text: string): string {
    const path = join(this.#directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }
}

/** Stands at port 80 and answers http-01 as a worker would. */
export class HttpAnswers {
  readonly #server: Bun.Server<undefined>;
  /** What each machine has published. */
  readonly #views = new Map<number, BoardView>();
  /** While it is set, the CA finds another site. */
  isHijacked = false;

  constructor(port: number) {
    this.#server = Bun.serve({
      port,
      hostname: "127.0.0.1",
      fetch: ({ url }) => {
        const token = new URL(url).pathname.split("/").pop()!;
        const answer = [...this.#views.values()].find(({ tokens }) => tokens[token] !== undefined)?.tokens[token];
        if (this.isHijacked) return new Response("parked");
        return answer === undefined ? new Response("", { status: 404 }) : new Response(answer);
      },
    });
  }

  /** Of one machine. */
  publisher(): (view: BoardView) => Promise<void> {
    const id = this.#views.size;
    this.#views.set(id, { tokens: {}, challenges: [] });
    return async (view) => void this.#views.set(id, view);
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }
}

export function acmeConfig(cas: readonly AcmeCaConfig[], more: Partial<AcmeConfig> = {}): AcmeConfig {
  return {
    email: "ops@example.com",
    cas,
    challenges: ["http-01"],
    dns: null,
    keyKind: "ecdsa-p256",
    onDemand: null,
    orders: 4,
    timeout: 60_000,
    ...more,
  };
}

/** What a CA in front of pebble does to a request, instead of handing it on. */
export type Interference = (request: Request, path: string) => Response | null | Promise<Response | null>;

/** A CA that is pebble, with advice on renewals (RFC 9773), which Debian's pebble has not, and moods of its own. */
export class FrontCa {
  readonly #server: Bun.Server<undefined>;
  readonly #pebble: Pebble;
  /** PEM of the CA that certifies its own API. */
  readonly roots: string;
  /** null: pebble answers. */
  interfere: Interference = () => null;
  /** What pebble has answered, before it is handed on. */
  alter: (answer: Record<string, unknown>, path: string) => unknown = (answer) => answer;
  /** What Retry-After says in pebble's answers to a path; null: none. */
  later: (path: string) => string | null = () => null;
  /** What it answers who asks when to renew; null: it has no such service. */
  window: { start: string; end: string } | null = null;
  /** Paths that were asked for, without their last part where that is an id. */
  readonly requests: string[] = [];
  /** Payloads of new orders. */
  readonly orders: Record<string, unknown>[] = [];

  constructor(pebble: Pebble, port: number) {
    this.#pebble = pebble;
    const authority = new Authority(randomUUID());
    const { cert, key } = authority.issue(["localhost"]);
    this.roots = authority.cert;
    this.#server = Bun.serve({
      port,
      hostname: "127.0.0.1",
      tls: { cert, key },
      fetch: (request) => this.#answer(request),
    });
  }

  get url(): string {
    return `https://localhost:${this.#server.port}/dir`;
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname, host } = new URL(request.url);
    this.requests.push(`${request.method} ${pathname}`);
    const own = await this.interfere(request, pathname);
    if (own !== null) return own;
    if (pathname.startsWith("/renewal-info/")) {
      if (this.window === null) return new Response("", { status: 404 });
      return Response.json({ suggestedWindow: this.window }, { headers: { "retry-after": "3600" } });
    }
    const body = request.method === "POST" ? await request.text() : undefined;
    if (pathname === "/order-plz") {
      const { payload } = JSON.parse(body!) as { payload: string };
      this.orders.push(JSON.parse(Buffer.from(payload, "base64url").toString()));
    }
    const answer = await fetch(`${new URL(this.#pebble.url).origin}${pathname}`, {
      method: request.method,
      headers: { host, "content-type": request.headers.get("content-type") ?? "" },
      ...(body === undefined ? {} : { body }),
      tls: { ca: this.#pebble.roots },
    });
    const headers = new Headers(answer.headers);
    headers.delete("content-length");
    const later = this.later(pathname);
    if (later !== null) headers.set("retry-after", later);
    const text = await answer.text();
    if (pathname !== "/dir") {
      const isObject = headers.get("content-type")?.includes("json") === true;
      const content = isObject ? JSON.stringify(this.alter(JSON.parse(text), pathname)) : text;
      return new Response(content, { status: answer.status, headers });
    }
    const directory = JSON.parse(text) as object;
    const renewalInfo = this.window === null ? {} : { renewalInfo: `https://${host}/renewal-info` };
    return Response.json({ ...directory, ...renewalInfo });
  }
}

/** A problem document. */
export function problem(kind: string, detail: string, status: number, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify({ type: `urn:ietf:params:acme:error:${kind}`, detail, status }), {
    status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}
