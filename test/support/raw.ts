/**
 * A client that sends exactly the octets it is told to, and reads responses strictly.
 */
import net from "node:net";
import {
  type Content,
  type Framing,
  framingOf,
  type Head,
  Inbox,
  readContent,
  readHead,
  show,
} from "./message-reader.ts";

const PATIENCE_MS = 15_000;

export interface RawResponse extends Content {
  readonly status: number;
  readonly version: string;
  readonly reason: string;
  readonly head: Head;
  readonly framing: Framing;
  /** Interim responses that came before. */
  readonly interim: readonly Head[];
  field(name: string): string | undefined;
}

export class RawClient {
  readonly inbox = new Inbox();
  /** Octets received so far, also those that were read as responses or only counted. */
  receivedOctets = 0;
  /** Do not keep what arrives: for downloads larger than memory should hold. */
  countOnly = false;
  readonly #socket: net.Socket;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (octets: Buffer) => {
      this.receivedOctets += octets.length;
      if (!this.countOnly) this.inbox.push(octets);
    });
    socket.on("end", () => this.inbox.close("end"));
    socket.on("error", () => this.inbox.close("reset"));
    socket.on("close", () => this.inbox.close("end"));
    open.add(this);
  }

  /** @param to port on 127.0.0.1, "http://host:port", or { path } of a unix socket */
  static connect(
    to: number | string | { path: string } | { host: string; port: number; localAddress?: string },
  ): Promise<RawClient> {
    const target =
      typeof to === "number"
        ? { host: "127.0.0.1", port: to }
        : typeof to === "string"
          ? { host: new URL(to).hostname.replace(/^\[|\]$/g, ""), port: Number(new URL(to).port) }
          : to;
    return new Promise((resolve, reject) => {
      const socket = net.connect({ ...target, allowHalfOpen: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new RawClient(socket));
      });
    });
  }

  /** Sends octets; text is taken as latin1. Resolves when the kernel has them. */
  send(octets: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.write(typeof octets === "string" ? Buffer.from(octets, "latin1") : octets, () => resolve());
    });
  }

  /** Sends the pieces with a pause between them, so that each arrives by itself. */
  async sendPieces(pieces: readonly Uint8Array[], pauseMs = 2): Promise<void> {
    for (const piece of pieces) {
      await this.send(piece);
      await Bun.sleep(pauseMs);
    }
  }

  /** The next final response. @param method of the request it answers, since HEAD changes the framing */
  async response(method = "GET", timeoutMs = PATIENCE_MS): Promise<RawResponse> {
    const interim: Head[] = [];
    for (;;) {
      const head = await this.head(timeoutMs);
      const { status, version, reason } = statusLine(head);
      if (status < 200 && status !== 101) {
        interim.push(head);
        continue;
      }
      const { framing, length } = framingOf(head, { method, status });
      const read = await readContent(this.inbox, framing, length, timeoutMs);
      return { ...read, text: read.text, status, version, reason, head, framing, interim, field: head.field };
    }
  }

  /** The next response head, interim or final, without its content. */
  head(timeoutMs = PATIENCE_MS): Promise<Head> {
    return readHead(this.inbox, timeoutMs, "a response head");
  }

  /** Octets up to and with the text. */
  async until(text: string, timeoutMs = PATIENCE_MS): Promise<string> {
    const end = await this.inbox.until(
      () => {
        const at = this.inbox.pending.indexOf(text, 0, "latin1");
        return at < 0 ? null : at + text.length;
      },
      JSON.stringify(text),
      timeoutMs,
    );
    return this.inbox.take(end).toString("latin1");
  }

  /** Everything up to the close; fails on a reset or when the time has passed. */
  async untilClose(timeoutMs = PATIENCE_MS): Promise<string> {
    const how = await this.closed(timeoutMs);
    if (how === "reset") throw new Error(`reset instead of a close; pending: ${show(this.inbox.pending)}`);
    return this.inbox.take(this.inbox.pending.length).toString("latin1");
  }

  /** How the connection ended. */
  closed(timeoutMs = PATIENCE_MS): Promise<"end" | "reset"> {
    return this.inbox
      .until(() => this.inbox.ended, "the end of the connection", timeoutMs)
      .catch((why: unknown) => {
        if (this.inbox.ended !== null) return this.inbox.ended;
        throw why;
      });
  }

  get isOpen(): boolean {
    return this.inbox.ended === null;
  }

  /** Sends a FIN and goes on reading. */
  halfClose(): void {
    this.#socket.end();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  reset(): void {
    open.delete(this);
    this.#socket.resetAndDestroy();
  }

  destroy(): void {
    open.delete(this);
    this.#socket.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

const open = new Set<RawClient>();

/** For afterEach: no client outlives its test. */
export function closeClients(): void {
  for (const client of open) client.destroy();
}

export function statusLine(head: Head): { version: string; status: number; reason: string } {
  const match = /^(HTTP\/1\.[01]) (\d{3}) (.*)$/.exec(head.startLine);
  if (match === null) throw new Error(`not a status line: ${JSON.stringify(head.startLine)}`);
  return { version: match[1]!, status: Number(match[2]), reason: match[3]! };
}

/** One request on a connection of its own, and its response. The connection is closed after it. */
export async function exchange(
  to: number | string | { path: string },
  octets: string | Uint8Array,
  method = "GET",
  timeoutMs = PATIENCE_MS,
): Promise<RawResponse> {
  using client = await RawClient.connect(to);
  // Not awaited: an early answer may come while a large request is still being taken.
  void client.send(octets);
  return await client.response(method, timeoutMs);
}

/** Lines joined by CRLF: `wire("GET / HTTP/1.1", "Host: a", "", "")`. */
export function wire(...lines: string[]): string {
  return lines.join("\r\n");
}

/** A GET with the usual Host and these further field lines. */
export function get(path: string, ...fieldLines: string[]): string {
  return wire(`GET ${path} HTTP/1.1`, "Host: example.com", ...fieldLines, "", "");
}

/** A request with Content-Length. */
export function post(path: string, content: string, ...fieldLines: string[]): string {
  return wire(
    `POST ${path} HTTP/1.1`,
    "Host: example.com",
    `Content-Length: ${content.length}`,
    ...fieldLines,
    "",
    content,
  );
}

/** Every way to cut octets in two, and once octet by octet. */
export function* everySplit(octets: Uint8Array | string): Generator<Uint8Array[]> {
  const all = typeof octets === "string" ? Buffer.from(octets, "latin1") : octets;
  for (let at = 1; at < all.length; at++) yield [all.subarray(0, at), all.subarray(at)];
  yield Array.from(all, (_, at) => all.subarray(at, at + 1));
}
