/** For tests of discovery by DNS: a real server (Debian's dnsmasq), and one that says what it is told, right or wrong. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server as TcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog, type Log } from "../../../base/log.ts";
import { findProgram } from "../../../base/testing.ts";
import type { EndpointSpec } from "../../endpoint-spec.ts";
import type { Provider, ProviderScope } from "../provider.ts";
import { encodeQuery, RecordType } from "./message.ts";

export const dnsmasqPath = findProgram("dnsmasq");

/** Waits until something holds. */
export async function until(holds: () => boolean, what = "what was waited for", withinMs = 10_000): Promise<void> {
  for (const end = performance.now() + withinMs; !holds(); await Bun.sleep(5)) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
  }
}

/** Lines of a log, for tests; without the time. */
export function memoryLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const write = (line: string) => lines.push(line.slice(line.indexOf(" ") + 1).trimEnd());
  return { log: createLog({ level: "info", format: "text", write }), lines };
}

/** A provider at work: all it published, and its log. */
export class Watched {
  readonly sets: (readonly EndpointSpec[])[] = [];
  readonly lines: string[];
  readonly #provider: Provider;

  constructor(create: (scope: ProviderScope) => Provider, directory = tmpdir()) {
    const { log, lines } = memoryLog();
    this.lines = lines;
    this.#provider = create({ log, directory, upstream: "app" });
    this.#provider.start((endpoints) => this.sets.push(endpoints));
  }

  /** Addresses of the last set; null before the first. */
  get addresses(): readonly string[] | null {
    return this.sets.at(-1)?.map(({ address }) => address) ?? null;
  }

  /** Waits for a set of these addresses, in this order. */
  async shows(...addresses: string[]): Promise<void> {
    const what = `${JSON.stringify(addresses)}, last ${JSON.stringify(this.sets.at(-1))}, ${this.lines.join("\n")}`;
    await until(() => Bun.deepEquals(this.addresses, addresses), what);
  }

  async logs(text: string): Promise<void> {
    await until(() => this.lines.some((line) => line.includes(text)), text);
  }

  [Symbol.dispose](): void {
    this.#provider.stop();
  }
}

/** A port that is free for both UDP and TCP. */
async function freePort(): Promise<number> {
  for (;;) {
    const udp = createSocket("udp4");
    await new Promise<void>((resolve) => udp.bind(0, "127.0.0.1", resolve));
    const { port } = udp.address();
    const tcp = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      tcp.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true));
    });
    if (isFree) await new Promise((resolve) => tcp.close(resolve));
    udp.close();
    if (isFree) return port;
  }
}

/** dnsmasq with the zone `test`, which it answers for by itself. */
export class Dnsmasq {
  readonly #directory = mkdtempSync(join(tmpdir(), "lintel-dnsmasq-"));
  #child: Bun.Subprocess | null = null;
  #options: readonly string[] = [];
  /** Questions it was asked, as "A app.test". */
  readonly questions: string[] = [];

  private constructor(readonly port: number) {}

  /** @param options more of its options, such as "--local-ttl=2" */
  static async start(hosts: string, ...options: string[]): Promise<Dnsmasq> {
    const dnsmasq = new Dnsmasq(await freePort());
    await dnsmasq.restart(hosts, ...options);
    return dnsmasq;
  }

  get server(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Lines as in /etc/hosts. */
  setHosts(hosts: string): void {
    this.#writeHosts(hosts);
    // It reads its hosts files again.
    this.#child!.kill("SIGHUP");
  }

  async restart(hosts: string, ...options: string[]): Promise<void> {
    await this.stop();
    this.#options = options;
    this.#writeHosts(hosts);
    const child = Bun.spawn(
      [
        dnsmasqPath!,
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        `--addn-hosts=${this.#hostsFile}`,
        `--pid-file=${join(this.#directory, "pid")}`,
        `--port=${this.port}`,
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--local=/test/",
        "--log-queries",
        "--log-facility=-",
        ...(process.getuid?.() === 0 ? ["--user=root"] : []),
        ...this.#options,
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    this.#child = child;
    let log = "";
    let isUp = false;
    void (async () => {
      const decoder = new TextDecoder();
      let rest = "";
      for await (const chunk of child.stderr) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop()!;
        for (const line of lines) {
          log = `${log}${line}\n`.slice(-4000);
          if (line.includes("started, version")) isUp = true;
          const question = /query\[(\w+)\] (\S+) from/.exec(line);
          if (question !== null) this.questions.push(`${question[1]} ${question[2]}`);
        }
      }
    })();
    await until(() => isUp || child.exitCode !== null, "dnsmasq to start");
    if (child.exitCode !== null) throw new Error(`dnsmasq ended: ${log}`);
  }

  /** It is gone from the network, and its port refuses. */
  async stop(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
    this.#child = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  get #hostsFile(): string {
    return join(this.#directory, "hosts");
  }

  #writeHosts(hosts: string): void {
    writeFileSync(`${this.#hostsFile}.new`, hosts);
    renameSync(`${this.#hostsFile}.new`, this.#hostsFile);
  }
}

/** What a query was, as far as a test cares. */
export interface Asked {
  readonly id: number;
  readonly name: string;
  readonly type: number;
  readonly octets: Buffer;
  readonly over: "udp" | "tcp";
}

/** Answers each query with these datagrams (or messages, over TCP); none: silence. */
export type Script = (asked: Asked) => readonly Uint8Array[];

/** A DNS server that does what a test tells it. */
export class ScriptedDns {
  script: Script;
  readonly asked: Asked[] = [];
  /** Of the client's sockets, in the order of the queries. */
  readonly clientPorts: number[] = [];
  readonly #udp: UdpSocket = createSocket("udp4");
  readonly #tcp: TcpServer;

  private constructor(
    readonly port: number,
    script: Script,
  ) {
    this.script = script;
    this.#udp.on("message", (octets, { port: from, address }) => {
      this.clientPorts.push(from);
      for (const answer of this.#answers(octets, "udp")) this.#udp.send(answer, from, address);
    });
    this.#tcp = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (octets: Buffer) => {
        for (const answer of this.#answers(octets.subarray(2), "tcp"))
          socket.write(Buffer.concat([Buffer.from([answer.length >> 8, answer.length & 255]), answer]));
      });
    });
  }

  static async start(script: Script, { tcp = true } = {}): Promise<ScriptedDns> {
    const peer = new ScriptedDns(await freePort(), script);
    await new Promise<void>((resolve) => peer.#udp.bind(peer.port, "127.0.0.1", resolve));
    if (tcp) await new Promise<void>((resolve) => peer.#tcp.listen(peer.port, "127.0.0.1", resolve));
    return peer;
  }

  /** Sends a datagram from the server's port. */
  say(octets: Uint8Array, port: number): void {
    this.#udp.send(octets, port, "127.0.0.1");
  }

  get server(): string {
    return `127.0.0.1:${this.port}`;
  }

  [Symbol.dispose](): void {
    this.#udp.close();
    this.#tcp.close();
  }

  #answers(octets: Buffer, over: "udp" | "tcp"): readonly Uint8Array[] {
    const asked = readQuery(octets, over);
    this.asked.push(asked);
    return this.script(asked);
  }
}

function readQuery(octets: Buffer, over: "udp" | "tcp"): Asked {
  const labels: string[] = [];
  let at = 12;
  for (let length = octets[at]!; length > 0; length = octets[at]!) {
    labels.push(octets.toString("latin1", at + 1, at + 1 + length));
    at += length + 1;
  }
  return { id: octets.readUInt16BE(0), name: labels.join("."), type: octets.readUInt16BE(at + 1), octets, over };
}

export interface AnswerParts {
  readonly id?: number;
  readonly name?: string;
  readonly type?: number;
  readonly code?: number;
  readonly truncated?: boolean;
  readonly answers?: readonly Uint8Array[];
  readonly additional?: readonly Uint8Array[];
  /** Leave the question out. */
  readonly bare?: boolean;
}

/** An answer to a query, with parts of it as a test wants them. */
export function answerTo(asked: Pick<Asked, "id" | "name" | "type">, parts: AnswerParts = {}): Buffer {
  const { id = asked.id, name = asked.name, type = asked.type, code = 0, truncated = false, bare = false } = parts;
  const { answers = [], additional = [] } = parts;
  const query = encodeQuery(id, { name, type: type as 1 }, false);
  const message = bare ? Buffer.from(query.subarray(0, 12)) : query;
  message[2] = 0x81 | (truncated ? 0x02 : 0);
  message[3] = 0x80 | code;
  message.writeUInt16BE(bare ? 0 : 1, 4);
  message.writeUInt16BE(answers.length, 6);
  message.writeUInt16BE(additional.length, 10);
  return Buffer.concat([message, ...answers, ...additional]);
}

export function nameOctets(name: string): Buffer {
  const labels = name === "" ? [] : name.split(".");
  return Buffer.concat([
    ...labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])),
    Buffer.from([0]),
  ]);
}

/** A record of class IN. @param name octets, or text that is written without compression */
export function record(name: string | Uint8Array, type: number, ttl: number, data: Uint8Array): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(1, 2);
  head.writeUInt32BE(ttl, 4);
  head.writeUInt16BE(data.length, 8);
  return Buffer.concat([typeof name === "string" ? nameOctets(name) : name, head, data]);
}

export const a = (name: string, address: string, ttl = 60): Buffer =>
  record(name, RecordType.A, ttl, Uint8Array.from(address.split(".").map(Number)));

/** @param last octets of the address 2001:db8::… */
export const aaaa = (name: string, last: number, ttl = 60): Buffer =>
  record(name, RecordType.AAAA, ttl, Uint8Array.from([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]));

export const cname = (name: string, target: string, ttl = 60): Buffer =>
  record(name, RecordType.CNAME, ttl, nameOctets(target));

export function srv(name: string, priority: number, weight: number, port: number, target: string, ttl = 60): Buffer {
  const head = Buffer.alloc(6);
  head.writeUInt16BE(priority, 0);
  head.writeUInt16BE(weight, 2);
  head.writeUInt16BE(port, 4);
  return record(name, RecordType.SRV, ttl, Buffer.concat([head, nameOctets(target)]));
}
