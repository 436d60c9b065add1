/**
 * The client end of one connection, octets by hand: sends what it is told, well-formed or not, and
 * reads responses with its own strict reader, so that a truncated response is never taken for a
 * complete one (RFC 9112 §6.3, §7.1). It reads only when asked; a slow reader is one that asks late.
 */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Check } from "./verdict.ts";

export interface Received {
  readonly status: number;
  /** Names in lower case; of repeated fields the last. */
  readonly fields: ReadonlyMap<string, string>;
  /** Octets of content. */
  readonly length: number;
  /** All octets that came are those expected at their place. */
  readonly matches: boolean;
  /** The framing says that nothing is missing. */
  readonly complete: boolean;
  /** The connection cannot be used again. */
  readonly closes: boolean;
  /** Interim responses before it. */
  readonly interim: readonly number[];
}

export interface Reading {
  readonly method?: string;
  /** Content of a 2xx response, or of `status`. */
  readonly expected: Buffer;
  readonly status?: number;
  /** Waited after each read, milliseconds. */
  readonly paceMs?: number;
}

/** The connection ended where a response should have begun. */
export class Closed extends Error {}
/** What came is no HTTP/1.1 response. */
export class Unreadable extends Error {}

const EMPTY = Buffer.alloc(0);

export class Wire {
  readonly socket: Socket;
  #rest: Buffer = EMPTY;
  #ended = false;
  #wake: () => void = () => {};

  constructor(port: number) {
    this.socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
    this.socket.on("readable", () => this.#wake());
    this.socket.on("error", () => {});
    for (const event of ["end", "close"]) {
      this.socket.on(event, () => {
        this.#ended = true;
        this.#wake();
      });
    }
  }

  get usable(): boolean {
    return !this.#ended && !this.socket.destroyed;
  }

  /** Resolves once the octets are on their way, or the connection is gone. */
  send(octets: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.destroyed) return resolve();
      this.socket.write(typeof octets === "string" ? Buffer.from(octets, "latin1") : octets, () => resolve());
    });
  }

  /** Nothing more will be sent; responses are still read. */
  halfClose(): void {
    this.socket.end();
  }

  close(): void {
    this.socket.destroy();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** True once something can be read; false if nothing comes in that time. */
  async arrives(withinMs: number): Promise<boolean> {
    for (const end = Date.now() + withinMs; Date.now() < end && !this.#ended; await sleep(2)) {
      if (this.#rest.length > 0 || this.socket.readableLength > 0) return true;
    }
    return false;
  }

  /** The next octets, or null at the end of the connection. */
  async #more(): Promise<Buffer | null> {
    for (;;) {
      const octets = this.socket.read() as Buffer | null;
      if (octets !== null) return octets;
      if (this.#ended || this.socket.destroyed) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Reads up to a line end; without it. null at the end of the connection. */
  async #line(): Promise<string | null> {
    for (;;) {
      const end = this.#rest.indexOf("\r\n");
      if (end >= 0) {
        const line = this.#rest.toString("latin1", 0, end);
        this.#rest = this.#rest.subarray(end + 2);
        if (line.includes("\n") || line.includes("\r"))
          throw new Unreadable(`bare CR or LF in ${JSON.stringify(line)}`);
        return line;
      }
      if (this.#rest.length > 65_536) throw new Unreadable("a line of more than 64 KiB");
      const more = await this.#more();
      if (more === null) return null;
      this.#rest = this.#rest.length === 0 ? more : Buffer.concat([this.#rest, more]);
    }
  }

  /** null: the connection ended in it. */
  async #fields(): Promise<Map<string, string> | null> {
    const fields = new Map<string, string>();
    for (;;) {
      const line = await this.#line();
      if (line === null) return null;
      if (line === "") return fields;
      const colon = line.indexOf(":");
      if (colon < 1) throw new Unreadable(`field line ${JSON.stringify(line)}`);
      const name = line.slice(0, colon).toLowerCase();
      if (name === "content-length" && fields.has(name)) throw new Unreadable("two Content-Length fields");
      fields.set(name, line.slice(colon + 1).trim());
    }
  }

  /**
   * @throws {Closed} if the connection ends before the head is complete
   * @throws {Unreadable} if it is none
   */
  async response({ method = "GET", expected, status: wanted = 200, paceMs = 0 }: Reading): Promise<Received> {
    const interim: number[] = [];
    for (;;) {
      const line = await this.#line();
      if (line === null) throw new Closed("closed before a response");
      const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1] ?? Number.NaN);
      if (Number.isNaN(status)) throw new Unreadable(`status line ${JSON.stringify(line)}`);
      const fields = await this.#fields();
      if (fields === null) throw new Closed("closed in a response head");
      if (status >= 100 && status < 200) {
        interim.push(status);
        continue;
      }
      const check = new Check(status === wanted ? expected : null);
      const framing = framingOf(method, status, fields);
      const complete = await this.#content(framing, check, paceMs);
      const closes = !complete || framing === "close" || /\bclose\b/i.test(fields.get("connection") ?? "");
      return { status, fields, length: check.length, matches: check.matches, complete, closes, interim };
    }
  }

  async #content(framing: number | "chunked" | "close", check: Check, paceMs: number): Promise<boolean> {
    if (typeof framing === "number") return this.#octets(framing, check, paceMs);
    if (framing === "close") {
      // Complete if the connection ends in order, which a reset does not.
      await this.#octets(Number.POSITIVE_INFINITY, check, paceMs);
      return this.socket.readableEnded;
    }
    for (;;) {
      const line = await this.#line();
      if (line === null) return false;
      if (!/^[0-9a-fA-F]{1,8}$/.test(line)) throw new Unreadable(`chunk size ${JSON.stringify(line)}`);
      const size = Number.parseInt(line, 16);
      if (size === 0) return (await this.#fields()) !== null;
      if (!(await this.#octets(size, check, paceMs))) return false;
      const end = await this.#line();
      if (end === null) return false;
      if (end !== "") throw new Unreadable(`a chunk longer than its size`);
    }
  }

  /** False if the connection ends first. */
  async #octets(count: number, check: Check, paceMs: number): Promise<boolean> {
    while (count > 0) {
      if (this.#rest.length === 0) {
        const more = await this.#more();
        if (more === null) return false;
        this.#rest = more;
        if (paceMs > 0) await sleep(paceMs);
      }
      const taken = this.#rest.subarray(0, count);
      this.#rest = this.#rest.subarray(taken.length);
      check.add(taken);
      count -= taken.length;
    }
    return true;
  }

  /** All octets up to the end of the connection. */
  async untilEnd(): Promise<Buffer> {
    const pieces = [this.#rest];
    this.#rest = EMPTY;
    for (let more = await this.#more(); more !== null; more = await this.#more()) pieces.push(more);
    return Buffer.concat(pieces);
  }

  /** True if the connection ends with nothing more to read; for use after the last response. */
  async endsHere(): Promise<boolean> {
    return this.#rest.length === 0 && (await this.#more()) === null;
  }
}

function framingOf(method: string, status: number, fields: ReadonlyMap<string, string>): number | "chunked" | "close" {
  const coding = fields.get("transfer-encoding");
  const length = fields.get("content-length");
  if (method === "HEAD" || status === 204 || status === 304) return 0;
  if (coding !== undefined) {
    if (coding.toLowerCase() !== "chunked") throw new Unreadable(`Transfer-Encoding ${coding}`);
    if (length !== undefined) throw new Unreadable("Content-Length beside Transfer-Encoding");
    return "chunked";
  }
  if (length === undefined) return "close";
  if (!/^\d+$/.test(length)) throw new Unreadable(`Content-Length ${length}`);
  return Number(length);
}
