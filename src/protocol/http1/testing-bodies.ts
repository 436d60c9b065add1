/** For the tests of this room: both ends of content, worked by hand, and a reader of messages that shares nothing with the decoders. */
import type { Failure } from "../../base/failure.ts";
import type { BodySink, BodySource, Flow } from "../../http/body.ts";
import type { FieldSection } from "../../http/field-section.ts";
import { latin1 } from "./testing.ts";

/** Content that the test sends piece by piece. */
export class HandSource implements BodySource, Flow {
  readonly length: number | null;
  paused = false;
  cancelled: Failure | null = null;
  #sink: BodySink | null = null;

  constructor(length: number | null = null) {
    this.length = length;
  }

  get taken(): boolean {
    return this.#sink !== null;
  }

  sendTo(sink: BodySink): void {
    if (this.#sink !== null) throw new Error("sent twice");
    this.#sink = sink;
    sink.begin(this);
  }

  write(text: string): this {
    if (this.cancelled !== null) throw new Error("written after it was cancelled");
    // Borrowed until the call returns, and no longer.
    const octets = latin1(text);
    this.#sink!.write(octets);
    octets.fill(0xee);
    return this;
  }

  end(trailers: FieldSection | null = null): void {
    this.#sink!.end(trailers);
  }

  abort(why: Failure): void {
    this.#sink!.abort(why);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  cancel(why: Failure): void {
    this.cancelled ??= why;
  }
}

/** Takes content and checks that it comes as the contract says (http/body.ts). */
export class HandSink implements BodySink {
  text = "";
  /** "end" or the code of the failure that cut it; "" while it flows. */
  ended = "";
  trailers = "";
  flow!: Flow;
  /** What the taker does at each piece. */
  onWrite: (sink: HandSink) => void = () => {};
  #begun = false;
  #cancelled = false;

  begin(flow: Flow): void {
    if (this.#begun) throw new Error("begun twice");
    this.#begun = true;
    this.flow = {
      pause: () => flow.pause(),
      resume: () => flow.resume(),
      cancel: (why) => {
        this.#cancelled = true;
        flow.cancel(why);
      },
    };
  }

  write(octets: Uint8Array): void {
    this.#expectFlowing("write");
    this.text += Buffer.from(octets).toString("latin1");
    this.onWrite(this);
  }

  end(trailers: FieldSection | null): void {
    this.#expectFlowing("end");
    this.ended = "end";
    this.trailers = trailers?.toString() ?? "";
  }

  abort(why: Failure): void {
    this.#expectFlowing("abort");
    this.ended = why.code;
  }

  #expectFlowing(call: string): void {
    if (!this.#begun || this.#cancelled || this.ended !== "") throw new Error(`${call} out of order`);
  }
}

export interface ReadMessage {
  readonly startLine: string;
  /** Names in lower case; of several lines the last counts. */
  readonly fields: Readonly<Record<string, string>>;
  readonly content: string;
  readonly trailers: string;
}

/**
 * Splits octets into messages, the naive way. What is not a whole message is left in `rest`.
 * @param methods of the requests the messages answer, in order; without them they are requests
 */
export function readMessages(
  octets: string,
  methods: readonly string[] | null = null,
): { messages: ReadMessage[]; rest: string } {
  const messages: ReadMessage[] = [];
  let rest = octets;
  let answered = 0;
  for (;;) {
    const headEnd = rest.indexOf("\r\n\r\n");
    if (headEnd < 0) return { messages, rest };
    const [startLine = "", ...lines] = rest.slice(0, headEnd).split("\r\n");
    const fields = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(": ");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 2)];
      }),
    );
    const status = methods === null ? 0 : Number(startLine.split(" ")[1]);
    const isFinal = status >= 200;
    const method = methods?.[answered];
    let content = "";
    let trailers = "";
    let after = rest.slice(headEnd + 4);
    if ((methods !== null && !isFinal) || status === 204 || status === 304 || method === "HEAD") {
      // No content whatever the fields say.
    } else if (fields["transfer-encoding"] !== undefined) {
      for (;;) {
        const lineEnd = after.indexOf("\r\n");
        const size = Number.parseInt(after, 16);
        if (lineEnd < 0) return { messages, rest };
        if (size === 0) {
          const end = after.indexOf("\r\n\r\n");
          if (end < 0) return { messages, rest };
          trailers = after.slice(lineEnd + 2, end + 2);
          after = after.slice(end + 4);
          break;
        }
        const chunk = after.slice(lineEnd + 2, lineEnd + 2 + size);
        const chunkEnd = lineEnd + 2 + size;
        if (after.slice(chunkEnd, chunkEnd + 2) !== "\r\n") return { messages, rest };
        content += chunk;
        after = after.slice(chunkEnd + 2);
      }
    } else if (fields["content-length"] !== undefined) {
      const length = Number(fields["content-length"]);
      if (after.length < length) return { messages, rest };
      content = after.slice(0, length);
      after = after.slice(length);
    } else if (methods !== null) {
      content = after;
      after = "";
    }
    if (isFinal) answered++;
    messages.push({ startLine, fields, content, trailers });
    rest = after;
  }
}
