/**
 * Reads HTTP/1 messages for both ends of the tests: the client's responses and the origin server's
 * requests. Written on its own, not from src/, so that a mistake there is not repeated here; and
 * strict: whatever Lintel writes must be canonical.
 */

export type Framing = "none" | "length" | "chunked" | "close";

export interface Head {
  /** The octets as they came, with the empty line. */
  readonly text: string;
  readonly startLine: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** Values of that name joined by ", "; undefined if there is none. */
  field(name: string): string | undefined;
  all(name: string): string[];
}

export interface Content {
  readonly octets: Buffer;
  readonly text: string;
  /** Sizes of the chunks, if it was chunked. */
  readonly chunks: readonly number[];
  readonly trailers: readonly (readonly [name: string, value: string])[];
}

/** Octets from a socket, which the readers below consume from the front. */
export class Inbox {
  #buffer: Buffer = Buffer.alloc(0);
  #waiting: (() => void)[] = [];
  /** null while open; "end" after a FIN, "reset" after an error. */
  ended: "end" | "reset" | null = null;

  push(octets: Uint8Array): void {
    this.#buffer = Buffer.concat([this.#buffer, octets]);
    this.#wake();
  }

  close(how: "end" | "reset"): void {
    this.ended ??= how;
    this.#wake();
  }

  get pending(): Buffer {
    return this.#buffer;
  }

  take(octets: number): Buffer {
    const taken = this.#buffer.subarray(0, octets);
    this.#buffer = this.#buffer.subarray(octets);
    return taken;
  }

  /** Resolves when `found` gives something other than null; rejects at the end of the octets or after `timeoutMs`. */
  async until<T>(found: () => T | null, what: string, timeoutMs = 15_000): Promise<T> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const value = found();
      if (value !== null) return value;
      if (this.ended !== null)
        throw new Error(`${this.ended} of the connection while waiting for ${what}; pending: ${show(this.#buffer)}`);
      const left = deadline - Date.now();
      if (left <= 0)
        throw new Error(`${timeoutMs} ms passed while waiting for ${what}; pending: ${show(this.#buffer)}`);
      await this.#change(left);
    }
  }

  /** Resolves when octets arrive, the connection ends, or the time has passed. */
  #change(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

export function show(octets: Uint8Array): string {
  const text = Buffer.from(octets).toString("latin1");
  return JSON.stringify(
    text.length > 400 ? `${text.slice(0, 200)} … ${text.slice(-150)} (${text.length} octets)` : text,
  );
}

export async function readHead(inbox: Inbox, timeoutMs: number, what = "a head"): Promise<Head> {
  const end = await inbox.until(
    () => {
      const at = inbox.pending.indexOf("\r\n\r\n");
      return at < 0 ? null : at + 4;
    },
    what,
    timeoutMs,
  );
  return parseHead(inbox.take(end).toString("latin1"));
}

export function parseHead(text: string): Head {
  const lines = text.slice(0, -4).split("\r\n");
  const startLine = lines[0]!;
  const fields = lines.slice(1).map(parseFieldLine);
  const all = (name: string) =>
    fields.filter(([n]) => n.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  return {
    text,
    startLine,
    fields,
    all,
    field: (name) => {
      const values = all(name);
      return values.length === 0 ? undefined : values.join(", ");
    },
  };
}

function parseFieldLine(line: string): readonly [string, string] {
  const match = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):(.*)$/.exec(line);
  if (match === null || line.includes("\n") || line.includes("\r"))
    throw new Error(`not a field line: ${JSON.stringify(line)}`);
  return [match[1]!, match[2]!.replace(/^[ \t]+|[ \t]+$/g, "")];
}

/** How the content after a head is framed (RFC 9112 §6.3). Throws on a framing that two parsers could read differently. */
export function framingOf(
  head: Head,
  about: { method: string; status: number | null },
): { framing: Framing; length: number } {
  const { method, status } = about;
  const coding = head.field("transfer-encoding");
  const lengths = head.all("content-length");
  if (coding !== undefined && lengths.length > 0)
    throw new Error(`both Transfer-Encoding and Content-Length:\n${head.text}`);
  if (lengths.length > 1) throw new Error(`more than one Content-Length:\n${head.text}`);
  if (coding !== undefined && coding !== "chunked") throw new Error(`Transfer-Encoding ${coding}`);
  const isContentless =
    status !== null &&
    (method === "HEAD" || status < 200 || status === 204 || status === 304 || (method === "CONNECT" && status < 300));
  if (isContentless) return { framing: "none", length: 0 };
  if (coding !== undefined) return { framing: "chunked", length: -1 };
  if (lengths.length === 1) {
    if (!/^\d+$/.test(lengths[0]!)) throw new Error(`Content-Length ${lengths[0]}`);
    return { framing: "length", length: Number(lengths[0]) };
  }
  return status === null ? { framing: "none", length: 0 } : { framing: "close", length: -1 };
}

export async function readContent(inbox: Inbox, framing: Framing, length: number, timeoutMs: number): Promise<Content> {
  switch (framing) {
    case "none":
      return content(Buffer.alloc(0));
    case "length":
      await inbox.until(() => (inbox.pending.length >= length ? true : null), `${length} octets of content`, timeoutMs);
      return content(Buffer.from(inbox.take(length)));
    case "close":
      await inbox
        .until(() => inbox.ended, "content up to the close", timeoutMs)
        .catch((why: unknown) => {
          if (inbox.ended !== "end") throw why;
        });
      if (inbox.ended === "reset")
        throw new Error(`reset within close-delimited content; pending: ${show(inbox.pending)}`);
      return content(Buffer.from(inbox.take(inbox.pending.length)));
    case "chunked":
      return readChunked(inbox, timeoutMs);
  }
}

async function readChunked(inbox: Inbox, timeoutMs: number): Promise<Content> {
  const pieces: Buffer[] = [];
  for (;;) {
    const line = await readLine(inbox, "a chunk size", timeoutMs);
    if (!/^[0-9A-Fa-f]{1,13}$/.test(line))
      throw new Error(`chunk size line ${JSON.stringify(line)}: Lintel writes no extensions`);
    const size = Number.parseInt(line, 16);
    if (size === 0) break;
    await inbox.until(() => (inbox.pending.length >= size + 2 ? true : null), `a chunk of ${size} octets`, timeoutMs);
    pieces.push(Buffer.from(inbox.take(size)));
    const after = inbox.take(2).toString("latin1");
    if (after !== "\r\n") throw new Error(`${JSON.stringify(after)} after a chunk`);
  }
  const trailers: (readonly [string, string])[] = [];
  for (;;) {
    const line = await readLine(inbox, "a trailer field line", timeoutMs);
    if (line === "") break;
    trailers.push(parseFieldLine(line));
  }
  return { ...content(Buffer.concat(pieces)), chunks: pieces.map((piece) => piece.length), trailers };
}

async function readLine(inbox: Inbox, what: string, timeoutMs: number): Promise<string> {
  const end = await inbox.until(
    () => {
      const at = inbox.pending.indexOf("\r\n");
      return at < 0 ? null : at;
    },
    what,
    timeoutMs,
  );
  return inbox
    .take(end + 2)
    .toString("latin1")
    .slice(0, -2);
}

function content(octets: Buffer): Content {
  return {
    octets,
    get text() {
      return octets.toString("latin1");
    },
    chunks: [],
    trailers: [],
  };
}
