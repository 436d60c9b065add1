/**
 * An origin server that behaves, or misbehaves, on cue: a script is called for each request head
 * and says octet by octet what goes back. It records every octet it received.
 */
import net from "node:net";
import { type Content, type Framing, framingOf, type Head, Inbox, readContent, readHead } from "./message-reader.ts";

const PATIENCE_MS = 15_000;

/** What happens after a request head arrived. Content the script did not read is read after it. */
export type Script = (request: OriginRequest) => void | Promise<void>;

export interface ReplyParts {
  readonly status?: number;
  readonly reason?: string;
  readonly fields?: Readonly<Record<string, string | readonly string[]>>;
  readonly content?: string | Uint8Array;
}

export class OriginRequest {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly framing: Framing;
  readonly #length: number;
  readonly #start: number;
  #content: Promise<Content> | null = null;

  constructor(
    readonly head: Head,
    readonly connection: OriginConnection,
  ) {
    const [method, target, version] = head.startLine.split(" ");
    this.method = method!;
    this.target = target!;
    this.version = version!;
    const { framing, length } = framingOf(head, { method: this.method, status: null });
    this.framing = framing;
    this.#length = length;
    this.#start = connection.receivedOctets - connection.inbox.pending.length;
  }

  /** What came on the connection after this request's head, as it came. */
  get received(): string {
    return this.connection.received.subarray(this.#start).toString("latin1");
  }

  field(name: string): string | undefined {
    return this.head.field(name);
  }

  /** The whole content; rejects if the connection ends before it does. */
  content(): Promise<Content> {
    this.#content ??= readContent(this.connection.inbox, this.framing, this.#length, PATIENCE_MS);
    return this.#content;
  }

  send(octets: string | Uint8Array): Promise<void> {
    return this.connection.send(octets);
  }

  /** A whole response with Content-Length. */
  reply({ status = 200, reason = "OK", fields = {}, content = "" }: ReplyParts = {}): Promise<void> {
    const octets = typeof content === "string" ? Buffer.from(content, "latin1") : content;
    const lines = Object.entries(fields).flatMap(([name, value]) =>
      (typeof value === "string" ? [value] : value).map((one) => `${name}: ${one}\r\n`),
    );
    const head = `HTTP/1.1 ${status} ${reason}\r\nContent-Length: ${octets.length}\r\n${lines.join("")}\r\n`;
    return this.send(Buffer.concat([Buffer.from(head, "latin1"), this.method === "HEAD" ? Buffer.alloc(0) : octets]));
  }
}

export class OriginConnection {
  readonly inbox = new Inbox();
  /** Every octet received, unless `countOnly`. */
  received: Buffer = Buffer.alloc(0);
  receivedOctets = 0;
  countOnly = false;
  readonly #socket: net.Socket;
  #isOver = false;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (octets: Buffer) => {
      this.receivedOctets += octets.length;
      if (this.countOnly) return;
      this.received = Buffer.concat([this.received, octets]);
      this.inbox.push(octets);
    });
    socket.on("end", () => this.inbox.close("end"));
    socket.on("error", () => this.inbox.close("reset"));
    socket.on("close", () => this.inbox.close("end"));
  }

  /** Sends octets; text is taken as latin1. Resolves when the kernel has them, or the connection is gone. */
  send(octets: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) return resolve();
      this.#socket.write(typeof octets === "string" ? Buffer.from(octets, "latin1") : octets, () => resolve());
    });
  }

  /** Sends octet by octet. */
  async drip(octets: string, pauseMs: number): Promise<void> {
    for (const octet of Buffer.from(octets, "latin1")) {
      await this.send(Uint8Array.of(octet));
      await Bun.sleep(pauseMs);
    }
  }

  /** True once the script ended the exchange for good: no further head is read. */
  get isOver(): boolean {
    return this.#isOver || this.inbox.ended !== null;
  }

  /** FIN after what was sent; still reads. */
  end(): void {
    this.#isOver = true;
    this.#socket.end();
  }

  /** RST. */
  reset(): void {
    this.#isOver = true;
    this.#socket.resetAndDestroy();
  }

  /** Leave the connection as it is: the script does the rest by itself. */
  detach(): void {
    this.#isOver = true;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  destroy(): void {
    this.#isOver = true;
    this.#socket.destroy();
  }

  /** How the gateway ended the connection. */
  closed(timeoutMs = PATIENCE_MS): Promise<"end" | "reset"> {
    return this.inbox.until(() => this.inbox.ended, "the end of the connection", timeoutMs);
  }
}

export class Origin {
  readonly #server: net.Server;
  readonly connections: OriginConnection[] = [];
  /** Every request head that came, in order. */
  readonly requests: OriginRequest[] = [];
  /** Called for each request head. */
  script: Script = (request) => request.reply({ content: "hello" });
  /** Called for each connection before anything is read; return false to take over. */
  onConnection: ((connection: OriginConnection) => boolean) | null = null;

  private constructor(server: net.Server) {
    this.#server = server;
    server.on("connection", (socket) => this.#accept(socket));
  }

  /** @param listen default: a free port on 127.0.0.1 */
  static start(listen: net.ListenOptions = { host: "127.0.0.1", port: 0 }): Promise<Origin> {
    return new Promise((resolve, reject) => {
      const server = net.createServer({ allowHalfOpen: true });
      server.once("error", reject);
      server.listen(listen, () => resolve(new Origin(server)));
    });
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** As it is written in a config. */
  get address(): string {
    const address = this.#server.address();
    if (typeof address === "string") return `unix:${address}`;
    return address!.family === "IPv6"
      ? `[${address!.address}]:${address!.port}`
      : `${address!.address}:${address!.port}`;
  }

  get last(): OriginRequest {
    return this.requests.at(-1)!;
  }

  /** Back to the default script, with nothing recorded. Connections stay open, as a pool expects. */
  clear(): void {
    this.script = (request) => request.reply({ content: "hello" });
    this.onConnection = null;
    this.requests.length = 0;
  }

  /** The next request head, at most `timeoutMs` from now. */
  async next(timeoutMs = PATIENCE_MS): Promise<OriginRequest> {
    const had = this.requests.length;
    const deadline = Date.now() + timeoutMs;
    while (this.requests.length === had) {
      if (Date.now() > deadline) throw new Error(`no request reached the origin server in ${timeoutMs} ms`);
      await Bun.sleep(2);
    }
    return this.requests[had]!;
  }

  stop(): void {
    for (const connection of this.connections) connection.destroy();
    this.#server.close();
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #accept(socket: net.Socket): void {
    const connection = new OriginConnection(socket);
    this.connections.push(connection);
    if (this.onConnection?.(connection) === false) return;
    this.#serve(connection).catch(() => connection.destroy());
  }

  async #serve(connection: OriginConnection): Promise<void> {
    while (!connection.isOver) {
      const head = await readHead(connection.inbox, 600_000);
      const request = new OriginRequest(head, connection);
      this.requests.push(request);
      await this.script(request);
      if (connection.isOver) break;
      await request.content();
    }
    // The gateway closed its half: answer in kind.
    if (connection.inbox.ended !== null) connection.destroy();
  }
}

/** A port where nothing listens, for refused connections. */
export async function closedPort(): Promise<number> {
  const origin = await Origin.start();
  const { port } = origin;
  origin.stop();
  await Bun.sleep(5);
  return port;
}
