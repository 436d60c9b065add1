/** Node's parser and Lintel's decoders on the same octets, requests and responses, in one form. */
import { join } from "node:path";
import { Failure } from "../../src/base/failure.ts";
import type { FieldSection } from "../../src/http/field-section.ts";
import { ContentDecoder } from "../../src/protocol/http1/content-decoder.ts";
import { HeadDecoder } from "../../src/protocol/http1/head-decoder.ts";
import { resolveTarget } from "../../src/protocol/http1/request-target.ts";

export type Kind = "request" | "response";

export interface ParsedMessage {
  /** "GET / 1.1" or "200 1.1" */
  readonly start: string;
  /** "name: value" with names in lower case, in the order they came. */
  readonly fields: readonly string[];
  readonly content: string;
  readonly trailers: readonly string[];
}

export interface Parsed {
  /** Whole messages, up to the first that was not understood or not complete. */
  readonly messages: readonly ParsedMessage[];
  /** Why it stopped there: "all", or what was wrong. */
  readonly end: string;
}

const HEAD_LIMITS = {
  requestLineOctets: 16_000,
  fieldLineOctets: 16_000,
  fieldSectionOctets: 16_000,
  fieldCount: 1000,
};
const CONTENT_LIMITS = { trailerOctets: 16_000, chunkExtensionOctets: 16_000 };

const lines = (fields: FieldSection | null): string[] =>
  fields === null ? [] : Array.from(fields, ([name, value]) => `${name}: ${value}`);

/** Lintel's decoders, put together as its engines do it (RFC 9112 §6.3). */
export function ourParse(kind: Kind, octets: Buffer): Parsed {
  const head = new HeadDecoder(kind);
  const framing = new ContentDecoder(kind, CONTENT_LIMITS);
  const messages: ParsedMessage[] = [];
  let at = 0;
  try {
    while (at < octets.length) {
      const complete =
        kind === "request"
          ? head.decodeRequest(octets, at, octets.length, HEAD_LIMITS)
          : head.decodeResponse(octets, at, octets.length, HEAD_LIMITS);
      if (!complete) return { messages, end: "incomplete head" };
      at = head.end;
      if (kind === "request") resolveTarget(head.method, head.target, head.host, head.version);
      startContent(kind, head, framing);
      const version = head.version >= 11 ? "1.1" : "1.0";
      const start = kind === "request" ? `${head.method} ${head.target} ${version}` : `${head.status} ${version}`;
      const fields = lines(head.fields);
      let content = "";
      const onContent = (piece: Uint8Array): void => {
        content += Buffer.from(piece).toString("latin1");
      };
      if (!framing.done) at = framing.decode(octets, at, octets.length, { stopped: false, onContent });
      if (!framing.done && !framing.untilClose) return { messages, end: "incomplete content" };
      messages.push({ start, fields, content, trailers: lines(framing.trailers) });
    }
    return { messages, end: "all" };
  } catch (thrown) {
    return { messages, end: Failure.from(thrown).message };
  }
}

function startContent(kind: Kind, head: HeadDecoder, framing: ContentDecoder): void {
  const { status, chunked, contentLength } = head;
  if (kind === "response" && (status < 200 || status === 204 || status === 304)) framing.startFixed(0);
  else if (head.hasTransferEncoding) {
    if (contentLength >= 0) throw new Failure("request-malformed", "both Transfer-Encoding and Content-Length");
    if (!chunked || (kind === "request" && head.version < 11))
      throw new Failure("request-malformed", "Transfer-Encoding in HTTP/1.0");
    framing.startChunked();
  } else if (contentLength >= 0 || kind === "request") framing.startFixed(Math.max(contentLength, 0));
  else framing.startUntilClose();
}

interface NodeMessage {
  readonly version: string;
  readonly method: string;
  readonly target: string;
  readonly status: number;
  readonly fields: readonly string[];
  readonly content: string;
  readonly trailers: readonly string[];
}

const pairs = (raw: readonly string[]): string[] =>
  raw.flatMap((name, i) => (i % 2 === 0 ? [`${name.toLowerCase()}: ${raw[i + 1]}`] : []));

/** Node's parser in a child process, by way of parser-peer.mjs. */
export class NodeParser {
  readonly #child = Bun.spawn(["node", join(import.meta.dir, "parser-peer.mjs")], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  readonly #reader = this.#child.stdout.getReader();
  readonly #decoder = new TextDecoder();
  #received = "";

  /** One at a time: the next call waits for the answer to this one. */
  async parse(kind: Kind, octets: Buffer): Promise<Parsed> {
    const frame = Buffer.alloc(5 + octets.length);
    frame[0] = kind === "request" ? 0x71 : 0x73;
    frame.writeUInt32BE(octets.length, 1);
    octets.copy(frame, 5);
    this.#child.stdin.write(frame);
    await this.#child.stdin.flush();
    const { messages, end } = JSON.parse(await this.#line()) as { messages: NodeMessage[]; end: string };
    return {
      messages: messages.map(({ version, method, target, status, fields, content, trailers }) => ({
        start: kind === "request" ? `${method} ${target} ${version}` : `${status} ${version}`,
        fields: pairs(fields),
        content,
        trailers: pairs(trailers),
      })),
      end,
    };
  }

  async #line(): Promise<string> {
    let end = this.#received.indexOf("\n");
    while (end < 0) {
      const { done, value } = await this.#reader.read();
      if (done) throw new Error("the other parser has ended");
      this.#received += this.#decoder.decode(value, { stream: true });
      end = this.#received.indexOf("\n");
    }
    const line = this.#received.slice(0, end);
    this.#received = this.#received.slice(end + 1);
    return line;
  }

  stop(): void {
    this.#child.kill();
  }
}
