/** What a parser makes of the octets of one connection: Lintel's decoders, and Node's. */
import { Failure } from "../../src/base/failure.ts";
import { ContentDecoder } from "../../src/protocol/http1/content-decoder.ts";
import { HeadDecoder } from "../../src/protocol/http1/head-decoder.ts";
import { resolveTarget } from "../../src/protocol/http1/request-target.ts";
import { RawClient } from "../support/raw.ts";

/** A request that was understood from its first octet to its last. */
export interface Message {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly fields: readonly string[];
  readonly content: string;
}

export interface Verdict {
  /** In order, up to the first that was not understood. */
  readonly messages: readonly Message[];
  /** Why it stopped there. */
  readonly end: string;
}

const HEAD_LIMITS = {
  requestLineOctets: 16_000,
  fieldLineOctets: 16_000,
  fieldSectionOctets: 16_000,
  fieldCount: 1000,
};
const CONTENT_LIMITS = { trailerOctets: 16_000, chunkExtensionOctets: 16_000 };

/** Lintel's decoders, put together as its server does. */
export function ourVerdict(octets: Buffer): Verdict {
  const decoder = new HeadDecoder("request");
  const contentDecoder = new ContentDecoder("request", CONTENT_LIMITS);
  const messages: Message[] = [];
  let at = 0;
  try {
    while (at < octets.length) {
      if (!decoder.decodeRequest(octets, at, octets.length, HEAD_LIMITS)) return { messages, end: "incomplete head" };
      at = decoder.end;
      const { method, target, version, contentLength, chunked, hasTransferEncoding, close, keepAlive, fields } =
        decoder;
      resolveTarget(method, target, decoder.host, version);
      if (hasTransferEncoding && (contentLength >= 0 || version < 11 || !chunked))
        return { messages, end: "Transfer-Encoding with Content-Length or in HTTP/1.0" };
      if (chunked) contentDecoder.startChunked();
      else contentDecoder.startFixed(Math.max(contentLength, 0));
      let content = "";
      const receiver = {
        stopped: false,
        onContent(piece: Uint8Array) {
          content += Buffer.from(piece).toString("latin1");
        },
      };
      if (!contentDecoder.done) at = contentDecoder.decode(octets, at, octets.length, receiver);
      if (!contentDecoder.done) return { messages, end: "incomplete content" };
      messages.push({
        method,
        target,
        version: version >= 11 ? "1.1" : "1.0",
        fields: [...fields].map(([name, value]) => `${name}: ${value}`),
        content,
      });
      if (close || (version < 11 && !keepAlive)) return { messages, end: "close" };
    }
    return { messages, end: "all" };
  } catch (thrown) {
    return { messages, end: Failure.from(thrown).message };
  }
}

interface NodeMessage {
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  readonly rawHeaders: readonly string[];
  readonly content: string;
}

/** Node's parser, by way of node-peer.mjs. */
export async function nodeVerdict(port: number, octets: Buffer): Promise<Verdict> {
  using client = await RawClient.connect(port);
  await client.send(octets);
  client.halfClose();
  const messages: Message[] = [];
  for (;;) {
    const response = await client.response("GET", 20_000).catch((why: Error) => why.message.split(";")[0]!);
    if (typeof response === "string") return { messages, end: response };
    if (response.status !== 200) return { messages, end: response.text || String(response.status) };
    const { method, url, httpVersion, rawHeaders, content } = JSON.parse(
      Buffer.from(response.field("x-seen")!, "base64").toString(),
    ) as NodeMessage;
    const fields = rawHeaders.flatMap((name, i) =>
      i % 2 === 0 ? [`${name.toLowerCase()}: ${rawHeaders[i + 1]}`] : [],
    );
    messages.push({ method, target: url, version: httpVersion, fields, content });
  }
}
