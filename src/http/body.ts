/**
 * Content on its way: a source pushes octets into a sink, in one call stack, with no promise and
 * no copy in between.
 *
 * `begin` → `write`* → exactly one of `end` | `abort`. After `flow.cancel` nothing more is called.
 * Octets given to `write` are only valid until it returns (they lie in the buffer of the event
 * loop's last read): a sink that keeps them copies them. A sink that is full calls `flow.pause()`
 * from within `write`, still takes what it was given, and calls `flow.resume()` later.
 */
import type { Failure } from "../base/failure.ts";
import type { FieldSection } from "./field-section.ts";

/** The sink's handle on its source. */
export interface Flow {
  /** Stop soon: at most what is already read may still arrive. */
  pause(): void;
  resume(): void;
  /** The content is not wanted any more. The source calls nothing after this. */
  cancel(why: Failure): void;
}

/** Octets that stay in the kernel: they can be counted and handed to a socket, not looked at. */
export interface UnseenOctets {
  readonly length: number;
}

export interface BodySink {
  begin(flow: Flow): void;
  write(octets: Uint8Array): void;
  /**
   * As `write`, for octets that the sink need not see. A sink without it gets them all by `write`:
   * a transform has none, so nothing passes it unseen.
   */
  writeUnseen?(octets: UnseenOctets): void;
  /** False: it would have to look at them after all (to encrypt them), so it had better get them by `write`. */
  readonly takesUnseen?: boolean;
  /** The content is complete. */
  end(trailers: FieldSection | null): void;
  /** The content is truncated: it must never look complete to whoever reads it. */
  abort(why: Failure): void;
}

export interface BodySource {
  /** Octets of content if known before it is sent, else null. */
  readonly length: number | null;
  /** Starts sending. May be called once. */
  sendTo(sink: BodySink): void;
}

const NO_FLOW: Flow = { pause() {}, resume() {}, cancel() {} };

/** No content at all. Engines compare with it by identity to skip the body's path. */
export const NO_BODY: BodySource = {
  length: 0,
  sendTo(sink) {
    sink.begin(NO_FLOW);
    sink.end(null);
  },
};

/** No content, but the length it would have: for HEAD and 304 (RFC 9110 §8.6). */
export class DeclaredLength implements BodySource {
  readonly length: number;

  constructor(length: number) {
    this.length = length;
  }

  sendTo(sink: BodySink): void {
    NO_BODY.sendTo(sink);
  }
}

/** Content that is already in memory. */
export class MemoryBody implements BodySource {
  constructor(readonly octets: Uint8Array) {}

  get length(): number {
    return this.octets.length;
  }

  sendTo(sink: BodySink): void {
    let cancelled = false;
    sink.begin({
      pause() {},
      resume() {},
      cancel() {
        cancelled = true;
      },
    });
    if (this.octets.length > 0) sink.write(this.octets);
    if (!cancelled) sink.end(null);
  }

  static text(text: string): MemoryBody {
    return new MemoryBody(Buffer.from(text));
  }
}

/**
 * Content that changes on its way: a sink for the source it wraps and a source for the next sink.
 * Overriding one method is enough; the others hand on.
 */
export abstract class BodyTransform implements BodySource, BodySink {
  readonly #source: BodySource;
  protected sink!: BodySink;
  protected flow!: Flow;

  constructor(source: BodySource) {
    this.#source = source;
  }

  get length(): number | null {
    return this.#source.length;
  }

  sendTo(sink: BodySink): void {
    this.sink = sink;
    this.#source.sendTo(this);
  }

  begin(flow: Flow): void {
    this.flow = flow;
    this.sink.begin(flow);
  }

  write(octets: Uint8Array): void {
    this.sink.write(octets);
  }

  end(trailers: FieldSection | null): void {
    this.sink.end(trailers);
  }

  abort(why: Failure): void {
    this.sink.abort(why);
  }
}

/** Takes content and throws it away. */
export const DISCARD: BodySink = { begin() {}, write() {}, end() {}, abort() {} };

/**
 * Collects content into one buffer.
 * @throws the failure the source aborted with, or `tooLarge()` beyond `maxOctets`
 */
export function collect(source: BodySource, maxOctets: number, tooLarge: () => Failure): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let octets = 0;
    let flow: Flow = NO_FLOW;
    source.sendTo({
      begin(f) {
        flow = f;
      },
      write(chunk) {
        octets += chunk.length;
        if (octets > maxOctets) {
          const failure = tooLarge();
          flow.cancel(failure);
          reject(failure);
        } else chunks.push(Uint8Array.from(chunk));
      },
      end() {
        resolve(Buffer.concat(chunks));
      },
      abort: reject,
    });
  });
}
