/**
 * The client side of one HTTP/1.1 connection to an endpoint: encodes a request, decodes its
 * responses, and says when the connection can carry the next one.
 *
 * It is the sink of the request's content and (through `IncomingContent`) the source of the
 * response's. What it writes is made here from the parsed message, never the client's octets.
 *
 * RFC 9112; RFC 9110 §7.8 (Upgrade), §15.2 (1xx).
 */
import { drainMicrotasks } from "bun:jsc";
import { Failure } from "../../base/failure.ts";
import { clock, Timer, type TimerList } from "../../base/timer.ts";
import {
  type BodySink,
  type BodySource,
  DeclaredLength,
  type Flow,
  NO_BODY,
  type UnseenOctets,
} from "../../http/body.ts";
import type { FieldSection } from "../../http/field-section.ts";
import { type HttpRequest, HttpResponse, type Tunnel } from "../../http/message.ts";
import type { Connection, ConnectionHandler } from "../../net/connection.ts";
import { type ClientConnection, MOST_INTERIMS, type ResponseTaker, type SentRequest } from "../client-connection.ts";
import { IncomingContent } from "../incoming-content.ts";
import { ContentDecoder, type ContentLimits } from "./content-decoder.ts";
import { HeadDecoder, type HeadLimits } from "./head-decoder.ts";
import { RequestEncoder } from "./request-encoder.ts";
import { Framing, framingOf, isPersistent } from "./response-framing.ts";

/** What all connections of an upstream share. */
export interface Http1ClientSettings {
  readonly head: HeadLimits;
  readonly content: ContentLimits;
}

/** Who keeps the connection between requests. */
export interface ClientOwner {
  /** It can carry another request. */
  idle(client: Http1ClientConnection): void;
  /** It is closed. */
  gone(client: Http1ClientConnection): void;
  fault(thrown: unknown): void;
}

/** Content of this length is moved within the kernel; what is shorter costs less when it is read. */
const LEAST_UNSEEN = 64 * 1024;

const State = { idle: 0, head: 1, content: 2, closed: 3 } as const;

const decoder = new HeadDecoder("response");

export class Http1ClientConnection implements ClientConnection, SentRequest, ConnectionHandler, BodySink, Tunnel {
  readonly connection: Connection;
  readonly #settings: Http1ClientSettings;
  readonly #owner: ClientOwner;
  #state: number = State.idle;
  #taker: ResponseTaker | null = null;
  #held: Buffer | null = null;
  #processing = false;

  // The request.
  #method = "";
  #upgrade: string | null = null;
  #requestDone = true;
  readonly #encoder: RequestEncoder;
  #requestFlow: Flow | null = null;

  // Its response.
  readonly #contentDecoder: ContentDecoder;
  #content: IncomingContent | null = null;
  #reusable = false;
  #inTunnel = false;
  /** Octets of a response have arrived. */
  #answered = false;
  #interims = 0;

  readonly #timer = new Timer(() => this.#expired());
  #firstOctetTime: TimerList | null = null;
  #idleTime: TimerList | null = null;

  /** `clock.now` when the request was complete; 0: it is not yet. */
  requestCompleteAt = 0;
  /** Requests sent so far; more than one means the connection was reused. */
  requests = 0;

  constructor(connection: Connection, settings: Http1ClientSettings, owner: ClientOwner) {
    this.connection = connection;
    this.#settings = settings;
    this.#owner = owner;
    this.#encoder = new RequestEncoder(connection);
    this.#contentDecoder = new ContentDecoder("response", settings.content);
  }

  /** Keeps the connection for another request for at most this long. */
  rest(idleTime: TimerList | null): void {
    if (idleTime !== null) this.#timer.arm(idleTime);
  }

  /**
   * Sends a request. The connection is busy until its owner hears `idle` or `gone`.
   * @param authority value of Host
   */
  send(
    request: HttpRequest,
    authority: string,
    firstOctetTime: TimerList | null,
    idleTime: TimerList | null,
    taker: ResponseTaker,
  ): this {
    this.#taker = taker;
    this.#state = State.head;
    this.#method = request.method;
    this.#upgrade = request.upgrade;
    this.#reusable = false;
    this.#answered = false;
    this.#interims = 0;
    this.#firstOctetTime = firstOctetTime;
    this.#idleTime = idleTime;
    this.requests++;
    const { body } = request;
    this.#encoder.writeHead(request, authority);
    this.#timer.cancel();
    if (body === NO_BODY) {
      this.#requestDone = true;
      this.requestCompleteAt = clock.now;
      this.#active();
    } else {
      this.#requestDone = false;
      this.requestCompleteAt = 0;
      try {
        body.sendTo(this);
      } catch (thrown) {
        this.#close(Failure.from(thrown));
      }
    }
    return this;
  }

  /** The exchange is called off: nobody waits for the response any more. */
  cancel(): void {
    if (this.#state === State.idle || this.#state === State.closed) return;
    this.#taker = null;
    this.connection.destroy();
    this.#close(null);
  }

  /** Ends the response where it is: what has been relayed must look cut. */
  stop(why: Failure): void {
    this.#close(why);
  }

  // ── request content ────────────────────────────────────────────────────────────────────────

  begin(flow: Flow): void {
    this.#requestFlow = flow;
    if (this.connection.full) flow.pause();
  }

  write(octets: Uint8Array): void {
    if (this.#requestDone || octets.length === 0) return;
    if (!this.#encoder.write(octets)) return this.#close(wrongLength("longer"));
    if (this.connection.full) this.#requestFlow?.pause();
    this.#active();
  }

  end(trailers: FieldSection | null): void {
    if (this.#requestDone) return;
    this.#requestDone = true;
    this.requestCompleteAt = clock.now;
    this.#requestFlow = null;
    if (this.#encoder.missing > 0) return this.#close(wrongLength("shorter"));
    this.#encoder.end(trailers);
    if (this.#inTunnel && this.#contentDecoder.done) this.#close(null);
    else this.#active();
  }

  /** The request is cut: the endpoint must not take what it has for the whole. */
  abort(why: Failure): void {
    if (this.#requestDone) return;
    this.#requestDone = true;
    this.#requestFlow = null;
    this.#close(why);
  }

  onRoom(): void {
    this.#active();
    this.#requestFlow?.resume();
  }

  /** After 101: the client's octets, without framing. */
  accept(fromClient: BodySource): void {
    this.#encoder.beginTunnel();
    this.#requestDone = false;
    fromClient.sendTo(this);
  }

  // ── response ───────────────────────────────────────────────────────────────────────────────

  onOctets(room: Buffer, length: number): void {
    if (this.#state === State.idle) return this.#close(null); // Nobody asked.
    const held = this.#held;
    if (held === null) this.#process(room, length);
    else {
      this.#held = null;
      const octets = Buffer.concat([held, room.subarray(0, length)]);
      this.#process(octets, octets.length);
    }
  }

  get expectsHead(): boolean {
    return this.#state === State.head;
  }

  get readsAhead(): boolean {
    return this.#state === State.head;
  }

  get unseen(): number {
    if (this.#state !== State.content || this.#held !== null || this.#content?.passesUnseen !== true) return 0;
    const { plain } = this.#contentDecoder;
    return plain >= LEAST_UNSEEN ? plain : 0;
  }

  onUnseen(octets: UnseenOctets): void {
    this.#contentDecoder.skip(octets.length);
    this.#content!.onUnseen(octets);
    if (this.#state !== State.content) return;
    // Octets after the content would be taken for the next response: a read sees them, this did not.
    if (this.#contentDecoder.done) this.#complete(!this.connection.isQuiet());
    else this.#active();
  }

  #process(octets: Buffer, end: number): void {
    let at = 0;
    this.#processing = true;
    this.#answered = true;
    try {
      while (at < end && (this.#state === State.head || this.#state === State.content)) {
        if (this.#state === State.head) {
          if (!decoder.decodeResponse(octets, at, end, this.#settings.head)) break;
          at = decoder.end;
          this.#beginResponse(at < end);
        } else {
          const content = this.#content!;
          at = this.#contentDecoder.decode(octets, at, end, content);
          if (this.#contentDecoder.done) this.#complete(at < end);
          else {
            this.#active();
            if (at < end) break;
          }
        }
      }
    } catch (thrown) {
      this.#close(Failure.from(thrown));
    }
    this.#processing = false;
    if (at === end || this.#state === State.idle || this.#state === State.closed) return;
    this.#held = Buffer.from(octets.subarray(at, end));
    if (this.#state === State.content) this.connection.pause();
  }

  /** @param surplus octets came after the head: content, the next head, or what nobody asked for */
  #beginResponse(surplus: boolean): void {
    const { status, fields } = decoder;
    if (status < 200 && status !== 101) {
      if (++this.#interims > MOST_INTERIMS)
        throw new Failure("upstream-malformed", `more than ${MOST_INTERIMS} interim responses`);
      this.#dropOptions(fields);
      this.#taker!.onInterim(status, fields);
      return;
    }
    const framing = framingOf(decoder, this.#method, this.#upgrade);
    this.#reusable = isPersistent(decoder, framing);
    this.#dropOptions(fields);
    const response = new HttpResponse(status, fields);
    if (decoder.version < 11) response.receivedVersion = "1.0";
    this.#content = this.#expectContent(framing);
    if (this.#content !== null) response.body = this.#content;
    else if (framing === Framing.none && decoder.contentLength >= 0)
      response.body = new DeclaredLength(decoder.contentLength);
    if (framing === Framing.tunnel) this.#beginTunnel(response);
    this.#state = State.content;
    const taker = this.#taker!;
    if (this.#content === null) {
      this.#taker = null;
      this.#complete(surplus);
      taker.onResponse(response);
      taker.onComplete(null);
      return;
    }
    taker.onResponse(response);
    // A middleware that awaits the response runs on here, so that the content that came with the
    // head can be taken from the buffer it lies in.
    if (this.#content?.taken === false) drainMicrotasks();
    // Content that is here already starts the idle limit when it is decoded.
    if (!surplus || this.#content?.taken === false) this.#active();
  }

  /** Makes ready for the content that follows the head. @returns null if none does */
  #expectContent(framing: number): IncomingContent | null {
    const { contentLength } = decoder;
    if (framing === Framing.none || (framing === Framing.length && contentLength === 0)) {
      this.#contentDecoder.startFixed(0);
      return null;
    }
    if (framing === Framing.length) this.#contentDecoder.startFixed(contentLength);
    else if (framing === Framing.chunked) this.#contentDecoder.startChunked();
    else this.#contentDecoder.startUntilClose();
    return new IncomingContent(this, framing === Framing.length ? contentLength : null);
  }

  #beginTunnel(response: HttpResponse): void {
    this.#inTunnel = true;
    response.tunnel = this;
    this.#timer.cancel();
    this.#idleTime = null; // The tunnel's own limit is kept at the client's side.
  }

  /** Fields that a Connection field names are for this hop (RFC 9110 §7.6.1). */
  #dropOptions(fields: FieldSection): void {
    if (decoder.otherOptions !== null) for (const name of decoder.otherOptions) fields.delete(name);
  }

  /** The response is over. @param surplus octets came after it that nobody asked for */
  #complete(surplus: boolean): void {
    const content = this.#content;
    const taker = this.#taker;
    this.#content = null;
    this.#taker = null;
    const { trailers } = this.#contentDecoder;
    if (this.#inTunnel) {
      // The endpoint's half is over; the client's may go on.
      this.#state = State.content;
      if (this.#requestDone) this.#close(null);
    } else if (this.#reusable && this.#requestDone && !surplus) {
      this.#state = State.idle;
      this.#timer.cancel();
      // The taker may have been full at the last octets.
      this.connection.resume();
      this.#owner.idle(this);
    } else this.#close(null);
    taker?.onComplete(null);
    content?.complete(trailers);
  }

  contentWanted(): void {
    this.connection.resume();
    if (this.#processing) return;
    this.#active();
    const held = this.#held;
    if (held === null) return;
    this.#held = null;
    this.#process(held, held.length);
  }

  contentPaused(): void {
    this.connection.pause();
    this.#timer.cancel();
  }

  contentCancelled(why: Failure): void {
    this.#close(why);
  }

  /**
   * Octets passed: the time limit that runs starts anew. Before a response it only runs while the
   * endpoint has all of the request or takes none of it: a slow client is not the endpoint's fault.
   */
  #active(): void {
    const inHead = this.#state === State.head;
    if (!inHead && this.#state !== State.content) return;
    const list = inHead ? this.#firstOctetTime : this.#idleTime;
    // Content that nobody has taken yet counts too: whoever was to take it may be gone for good.
    const content = this.#content;
    const waits = inHead
      ? this.#requestDone || this.connection.full
      : content !== null && !(content.taken && content.stopped);
    if (waits && list !== null) this.#timer.arm(list);
    else this.#timer.cancel();
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────

  onPeerEnd(): void {
    if (this.#state === State.content && this.#contentDecoder.untilClose) {
      this.#contentDecoder.startFixed(0);
      this.#complete(false);
      return;
    }
    this.#close(this.#endFailure("upstream-closed", "closed the connection"));
  }

  onLost(error: string): void {
    this.#close(this.#endFailure("upstream-reset", `ended the connection (${error})`));
  }

  #endFailure(code: "upstream-closed" | "upstream-reset", what: string): Failure {
    if (this.#state === State.content)
      return new Failure("upstream-truncated", `the endpoint ${what} in the middle of the content`);
    return new Failure(
      code,
      `the endpoint ${what} ${this.#answered ? "in the middle of a response head" : "before a response"}`,
    );
  }

  onFault(thrown: unknown): void {
    this.#owner.fault(thrown);
    this.#close(Failure.from(thrown));
  }

  #expired(): void {
    if (this.#state === State.head)
      this.#close(new Failure("upstream-first-octet-timeout", "no response within the limit for the first octet"));
    else if (this.#state === State.content)
      this.#close(new Failure("upstream-idle-timeout", "no octet of the response within the idle limit"));
    else this.#close(null);
  }

  /** Closes: at once if something is wrong, else after what is still queued. @param why null: nothing is wrong */
  #close(why: Failure | null): void {
    if (this.#state === State.closed) return;
    const state = this.#state;
    this.#state = State.closed;
    this.#timer.cancel();
    this.#held = null;
    if (why === null) this.connection.close(false);
    else this.connection.destroy(this.#inTunnel); // Without framing a plain end would look like the whole content.
    this.#owner.gone(this);
    const taker = this.#taker;
    const content = this.#content;
    const requestFlow = this.#requestFlow;
    this.#taker = null;
    this.#content = null;
    this.#requestFlow = null;
    if (why === null) {
      this.#requestDone = true;
      return;
    }
    if (!this.#requestDone) {
      this.#requestDone = true;
      requestFlow?.cancel(why);
    }
    if (state === State.content) {
      taker?.onComplete(why);
      content?.stop(why);
    } else taker?.onFailed(why);
  }

  /** Closes a connection that carries nothing. */
  closeIdle(): void {
    if (this.#state === State.idle) this.#close(null);
  }
}

const wrongLength = (how: string): Failure =>
  new Failure("internal", `request content is ${how} than its declared length`);
