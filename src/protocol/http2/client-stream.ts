/**
 * One exchange on a client connection: a request that may still be going out, and its response. It
 * ends when both are complete, or when either side resets the stream.
 *
 * RFC 9113 §5.1 (states), §8.1 (messages), §8.5 (CONNECT), §8.7 (what may be retried); RFC 8441.
 */
import { drainMicrotasks } from "bun:jsc";
import { Failure } from "../../base/failure.ts";
import { clock, Timer, type TimerList } from "../../base/timer.ts";
import { type BodySource, DeclaredLength, NO_BODY } from "../../http/body.ts";
import type { FieldSection } from "../../http/field-section.ts";
import { StreamReset } from "../../http/grpc.ts";
import { type HttpRequest, HttpResponse, isContentless, type Tunnel } from "../../http/message.ts";
import { MOST_INTERIMS, type ResponseTaker, type SentRequest } from "../client-connection.ts";
import type { ContentOwner } from "../incoming-content.ts";
import type { OutgoingOwner } from "../outgoing-owner.ts";
import type { Http2ClientConnection } from "./client.ts";
import { ErrorCode, errorName } from "./error-code.ts";
import { MAX_WINDOW_OCTETS } from "./frame.ts";
import { IncomingData } from "./incoming-data.ts";
import type { MessageHead } from "./message-head.ts";
import { OutgoingContent } from "./outgoing-content.ts";
import { firstStreamWindow, ReceiveWindow } from "./receive-window.ts";
import { answerHandshake, type RequestForm, writeRequestHead } from "./request-writer.ts";

export class ClientStream implements SentRequest, ContentOwner, OutgoingOwner, Tunnel {
  readonly id: number;
  /** `clock.now` when the request was complete; 0: it is not yet. */
  requestCompleteAt = 0;

  readonly #client: Http2ClientConnection;
  readonly #request: HttpRequest;
  #form: RequestForm = "ordinary";
  /** Null once there is nothing left to tell. */
  #taker: ResponseTaker | null;
  /** The stream is gone: both sides have ended, or one has reset it. */
  #isOver = false;

  /** Null if the request ends with its head. */
  #outgoing: OutgoingContent | null = null;
  /** The window of a stream on which nothing is sent. It is counted all the same. */
  #unusedWindow = 0;
  #isRequestDone = false;

  // The response.
  #interims = 0;
  #hasResponse = false;
  #isResponseDone = false;
  /** It must not have content: to HEAD, 204, 304. */
  #isContentless = false;
  #isTunnel = false;
  readonly #window: ReceiveWindow;
  #incoming: IncomingData | null = null;
  /** Octets still to come of a declared length; -1: nobody knows. */
  #left = -1;

  readonly #timer = new Timer(() => this.#expired());
  readonly #firstOctetTime: TimerList | null;
  readonly #idleTime: TimerList | null;

  constructor(
    client: Http2ClientConnection,
    id: number,
    request: HttpRequest,
    firstOctetTime: TimerList | null,
    idleTime: TimerList | null,
    taker: ResponseTaker,
  ) {
    this.id = id;
    this.#client = client;
    this.#request = request;
    this.#firstOctetTime = firstOctetTime;
    this.#idleTime = idleTime;
    this.#taker = taker;
    const { streamWindowOctets } = client.settings;
    this.#window = new ReceiveWindow(firstStreamWindow(streamWindowOctets), streamWindowOctets);
  }

  /** @param authority for `:authority` */
  send(authority: string): void {
    const { link } = this.#client;
    const request = this.#request;
    const { body } = request;
    if (request.method === "CONNECT") this.#form = "connect";
    else if (request.upgrade !== null && link.peer.enableConnectProtocol) this.#form = "extended-connect";
    const scheme = this.#client.settings.scheme ?? request.scheme;
    const endStream = body === NO_BODY && this.#form === "ordinary";
    const frameAt = writeRequestHead(link, this.id, request, scheme, authority, this.#form, endStream);
    if (endStream) {
      this.#unusedWindow = link.peer.initialWindowOctets;
      return this.#requestDone();
    }
    // Before the response a server that takes nothing is as late as one that says nothing.
    const outgoing = new OutgoingContent(link, this.id, this.#firstOctetTime, this);
    this.#outgoing = outgoing;
    if (this.#form !== "ordinary") return this.#awaitResponse(); // The tunnel's octets come with `accept`.
    outgoing.follow(frameAt, body.length);
    body.sendTo(outgoing);
  }

  /** The exchange is called off: nobody waits for the response any more. */
  cancel(): void {
    this.#taker = null;
    this.stop(new Failure("client-closed", "the exchange was called off"));
  }

  /** Ends the response where it is: what has been relayed must look cut. */
  stop(why: Failure): void {
    this.#end(why, ErrorCode.cancel);
    // All of it may be here while the request still goes out: what is held is for nobody.
    if (this.#isResponseDone) this.#incoming?.stop(why);
  }

  // ── request content ────────────────────────────────────────────────────────────────────────

  onContentPassing(): void {}

  onContentSent(): void {
    this.#requestDone();
  }

  #requestDone(): void {
    this.#isRequestDone = true;
    this.requestCompleteAt = clock.now;
    if (this.#isResponseDone) this.#finish();
    else if (!this.#hasResponse) this.#awaitResponse();
  }

  /** The request is cut: the endpoint must not take what it has for the whole. */
  onContentCut(why: Failure): void {
    this.#end(why, ErrorCode.cancel);
  }

  onSendStalled(): void {
    // Once there is a response, its own limits count; and a complete one leaves nothing to send for.
    if (!this.#hasResponse) this.#expired();
    else if (this.#isResponseDone)
      this.#end(new Failure("upstream-idle-timeout", "the rest of the request was not taken"), ErrorCode.cancel);
  }

  /** More room to send. @returns false if it is too much (RFC 9113 §6.9.1) */
  addWindow(octets: number): boolean {
    if (this.#outgoing !== null) return this.#outgoing.addWindow(octets);
    this.#unusedWindow += octets;
    return this.#unusedWindow <= MAX_WINDOW_OCTETS;
  }

  /** After 101 or a 2xx to CONNECT: the client's octets, in DATA. */
  accept(fromClient: BodySource): void {
    fromClient.sendTo(this.#outgoing!);
  }

  // ── response ───────────────────────────────────────────────────────────────────────────────

  /** A head, interim or final, or trailers. It is read before this returns. */
  onHead(head: MessageHead, endStream: boolean): void {
    if (this.#isResponseDone) return this.#end(malformed("a field section after the end"), ErrorCode.streamClosed);
    if (this.#isTunnel) return this.#malformed("HEADERS in a tunnel (RFC 9113 §8.5)");
    if (head.problem !== null) return this.#malformed(head.problem);
    if (head.tooLarge !== null) return this.#end(malformed(head.tooLarge.message), ErrorCode.cancel);
    if (this.#hasResponse) this.#trailers(head.fields, endStream);
    else if (head.status === 0) this.#malformed("a response without :status (RFC 9113 §8.3.2)");
    else if (head.status >= 200) this.#begin(head, endStream);
    else if (head.status === 101) this.#malformed("101 Switching Protocols (RFC 9113 §8.6)");
    else if (endStream) this.#malformed("an interim response that ends the stream (RFC 9113 §8.1)");
    else if (++this.#interims > MOST_INTERIMS)
      this.#end(malformed(`more than ${MOST_INTERIMS} interim responses`), ErrorCode.enhanceYourCalm);
    else this.#taker?.onInterim(head.status, head.fields);
  }

  #begin({ status, fields, contentLength }: MessageHead, endStream: boolean): void {
    const response = new HttpResponse(status, fields);
    response.receivedVersion = "2";
    const { method } = this.#request;
    const isSuccess = status < 300;
    if (this.#form !== "ordinary" && isSuccess) this.#frameTunnel(response);
    else if (method === "HEAD" || isContentless(status)) {
      this.#isContentless = true;
      if (contentLength >= 0 && status !== 204) response.body = new DeclaredLength(contentLength);
    } else if (!endStream) {
      this.#left = contentLength;
      response.body = this.#receive(contentLength < 0 ? null : contentLength);
    } else if (contentLength > 0)
      return this.#malformed(`no content, and a Content-Length of ${contentLength} (RFC 9113 §8.1.1)`);
    this.#hasResponse = true;
    this.#timer.cancel();
    const taker = this.#taker;
    if (this.#incoming === null) {
      // Nothing of it is still to come, whenever the stream ends.
      this.#taker = null;
      if (endStream) this.#responseDone();
      else this.#awaitEnd();
      taker?.onResponse(response);
      taker?.onComplete(null);
    } else {
      taker?.onResponse(response);
      // A middleware that awaits the response runs on here, so that content that came with the head
      // can be taken from the buffer it lies in.
      if (this.#incoming?.content.taken === false) drainMicrotasks();
      this.#awaitContent();
      if (endStream) this.onEnd(null);
    }
    // A tunnel that was refused has nothing to carry.
    if (this.#form !== "ordinary" && !this.#isTunnel && !this.#isOver) this.#outgoing!.end(null);
  }

  #receive(length: number | null): BodySource {
    this.#incoming = new IncomingData(this.#client.link, this.id, this.#window, length, this);
    return this.#incoming.content;
  }

  #frameTunnel(response: HttpResponse): void {
    this.#isTunnel = true;
    if (this.#form === "extended-connect") {
      response.status = 101;
      answerHandshake(this.#request, response.fields);
    }
    response.body = this.#receive(null);
    response.tunnel = this;
  }

  #trailers(fields: FieldSection, endStream: boolean): void {
    if (!endStream) return this.#malformed("a second field section that does not end the stream (RFC 9113 §8.1)");
    this.onEnd(fields);
  }

  /** A DATA frame begins. @returns false if it exceeds the window */
  onDataBegin(octets: number): boolean {
    return this.#window.arrive(octets);
  }

  onData(octets: Uint8Array): void {
    const { length } = octets;
    const incoming = this.#incoming;
    if (this.#left >= 0) this.#left -= length;
    if (incoming !== null && !this.#isResponseDone && (this.#left >= 0 || incoming.content.length === null)) {
      incoming.arrive(octets);
      this.#awaitContent();
      return;
    }
    this.#client.link.took(length);
    if (this.#isResponseDone) this.#end(malformed("DATA after the end"), ErrorCode.streamClosed);
    else if (!this.#hasResponse) this.#malformed("DATA before a response (RFC 9113 §8.1)");
    else if (this.#isContentless) this.#malformed("content in a response that has none (RFC 9110 §6.4.1)");
    else this.#malformed("more content than Content-Length (RFC 9113 §8.1.1)");
  }

  onPadding(octets: number): void {
    if (this.#incoming !== null) this.#incoming.arrivePadding(octets);
    else this.#client.link.took(octets);
  }

  /** END_STREAM was there. */
  onEnd(trailers: FieldSection | null): void {
    if (this.#isResponseDone) return;
    if (!this.#hasResponse) return this.#malformed("the stream ends before a response (RFC 9113 §8.1)");
    if (this.#left > 0)
      return this.#malformed(`${this.#left} octets less content than Content-Length (RFC 9113 §8.1.1)`);
    const incoming = this.#incoming;
    const taker = this.#taker;
    this.#taker = null;
    this.#responseDone();
    if (incoming === null) return;
    taker?.onComplete(null);
    incoming.end(trailers);
  }

  #responseDone(): void {
    this.#isResponseDone = true;
    this.#timer.cancel();
    if (this.#isRequestDone) this.#finish();
  }

  contentWanted(): void {
    this.#awaitContent();
  }

  contentPaused(): void {
    this.#timer.cancel();
  }

  contentCancelled(why: Failure): void {
    this.#end(why, ErrorCode.cancel);
  }

  // ── time ───────────────────────────────────────────────────────────────────────────────────

  #awaitResponse(): void {
    if (this.#firstOctetTime !== null) this.#timer.arm(this.#firstOctetTime);
  }

  /** Content that nobody has taken yet counts too: whoever was to take it may be gone for good. */
  #awaitContent(): void {
    if (this.#isTunnel || this.#isResponseDone || this.#idleTime === null || this.#incoming === null) return;
    const { taken, stopped } = this.#incoming.content;
    if (!taken || !stopped) this.#timer.arm(this.#idleTime);
  }

  /** A response without content was not the end of the stream yet. */
  #awaitEnd(): void {
    if (this.#idleTime !== null) this.#timer.arm(this.#idleTime);
  }

  #expired(): void {
    const failure = this.#hasResponse
      ? new Failure("upstream-idle-timeout", "no octet of the response within the idle limit")
      : new Failure("upstream-first-octet-timeout", "no response within the limit for the first octet");
    this.#end(failure, ErrorCode.cancel);
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────

  /** RST_STREAM arrived. */
  onReset(code: number): void {
    const said = `the endpoint reset the stream with ${errorName(code)}`;
    const cause = new StreamReset(code);
    if (this.#isResponseDone) {
      // RFC 9113 §8.1: the response is whole, and the rest of the request not wanted.
      return this.#end(new Failure("upstream-closed", said), SENT_BY_PEER);
    }
    if (this.#hasResponse)
      return this.#end(new Failure("upstream-truncated", `${said} within the content`, { cause }), SENT_BY_PEER);
    // RFC 9113 §8.7: nothing was done with the request.
    const isRefused = code === ErrorCode.refusedStream;
    this.#end(new Failure(isRefused ? "upstream-refused" : "upstream-reset", said, { cause }), SENT_BY_PEER);
  }

  /** The connection is gone, or the endpoint said that it did not get to this stream. */
  lose(why: Failure, cut: Failure): void {
    this.#end(this.#hasResponse ? cut : why, SENT_BY_PEER);
  }

  /** A callback threw: a fault of ours ends this exchange, and nothing else. */
  fail(thrown: unknown): void {
    this.#end(Failure.from(thrown), ErrorCode.internal);
  }

  /** RFC 9113 §8.1.1 */
  #malformed(problem: string): void {
    this.#end(malformed(problem), ErrorCode.protocol);
  }

  /** Both sides have ended. */
  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer.cancel();
    this.#client.streamDone(this);
  }

  /** Ends before its time. @param code of our RST_STREAM; `SENT_BY_PEER`: none is needed */
  #end(why: Failure, code: number): void {
    if (this.#isOver) {
      // Content that is here already may still be waiting for its taker.
      if (this.#isResponseDone) this.#incoming?.stop(why);
      return;
    }
    this.#isOver = true;
    this.#timer.cancel();
    const taker = this.#taker;
    this.#taker = null;
    if (code !== SENT_BY_PEER) this.#client.resetStream(this.id, code);
    this.#client.streamDone(this);
    this.#outgoing?.stop(why);
    if (this.#isResponseDone) return;
    if (!this.#hasResponse) taker?.onFailed(why);
    else {
      taker?.onComplete(why);
      this.#incoming?.stop(why);
    }
  }

  /** A rule about frames was broken on it. */
  cut(code: number, problem: string): void {
    this.#end(malformed(problem), code);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** The final head was there: what follows are trailers. */
  get hasResponse(): boolean {
    return this.#hasResponse;
  }
}

const SENT_BY_PEER = -1;

const malformed = (problem: string): Failure => new Failure("upstream-malformed", problem);
