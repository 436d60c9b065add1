/**
 * One exchange on a server connection: a request that may still be coming, and its response. It
 * ends when both are complete, or when either side resets the stream.
 *
 * RFC 9113 §5.1 (states), §8.1 (messages), §8.5 (CONNECT); RFC 8441 (WebSockets).
 */
import { Failure } from "../../base/failure.ts";
import { Timer } from "../../base/timer.ts";
import { NO_BODY } from "../../http/body.ts";
import { failureResponse } from "../../http/error-response.ts";
import type { Exchange, Informer } from "../../http/exchange.ts";
import { Field } from "../../http/field-name.ts";
import { FieldSection } from "../../http/field-section.ts";
import { isGrpc, statusFields } from "../../http/grpc.ts";
import type { HttpRequest, HttpResponse } from "../../http/message.ts";
import type { ResponseWaiter } from "../../http/pending-response.ts";
import { ContentClock } from "../content-clock.ts";
import { giveBack, handOn } from "../hand-on.ts";
import type { ContentOwner } from "../incoming-content.ts";
import type { OutgoingOwner } from "../outgoing-owner.ts";
import { ErrorCode } from "./error-code.ts";
import { IncomingData } from "./incoming-data.ts";
import { OutgoingContent, writeTrailers } from "./outgoing-content.ts";
import { type Priority, readPriority } from "./priority.ts";
import { isWithoutContent, writeInterimHead, writeResponseHead, writeTunnelHead } from "./response-head.ts";
import { sayable } from "./sayable.ts";
import type { ServerStreams } from "./server-streams.ts";

const NO_FIELDS = new FieldSection();

export class ServerStream implements ResponseWaiter, Informer, OutgoingOwner, ContentOwner {
  readonly id: number;
  readonly #streams: ServerStreams;
  readonly #outgoing: OutgoingContent;
  /** Null once it is over for the rest of the program. */
  #exchange: Exchange | null;
  /** Sec-WebSocket-Accept that the origin server owes us. */
  #accept: string | null = null;

  // The request's content; null: it has none.
  #incoming: IncomingData | null = null;
  #isRequestComplete: boolean;
  /** Octets still to come of a declared length; -1: nobody knows. */
  #left = -1;
  #clock: ContentClock | null = null;

  #isResponding = false;
  #isResponded = false;
  #isTunnel = false;
  /** The response is one of gRPC: its last word is a status. */
  #isCall = false;

  constructor(streams: ServerStreams, id: number, endStream: boolean, exchange: Exchange) {
    this.id = id;
    this.#streams = streams;
    this.#exchange = exchange;
    this.#isRequestComplete = endStream;
    this.#outgoing = new OutgoingContent(streams.link, id, streams.settings.sendTime, this);
  }

  get isRequestComplete(): boolean {
    return this.#isRequestComplete;
  }

  get isResponding(): boolean {
    return this.#isResponding;
  }

  // ── request ────────────────────────────────────────────────────────────────────────────────

  /** Content follows. @param length octets if declared, -1 if not */
  expectContent(request: HttpRequest, length: number, awaitsContinue: boolean): void {
    const { link } = this.#streams;
    const declared = length < 0 ? null : length;
    this.#left = length;
    this.#incoming = new IncomingData(link, this.id, this.#streams.newReceiveWindow(), declared, this);
    this.#clock = this.#newClock();
    this.#clock.reset(awaitsContinue);
    // Messages of a call come when they come.
    if (isGrpc(request.fields)) this.#clock.allowSlow();
    request.body = this.#incoming.content;
  }

  /** The client's half of a tunnel: it flows once there is a response. */
  expectTunnel(accept: string | null): void {
    this.#accept = accept;
    this.#incoming = new IncomingData(this.#streams.link, this.id, this.#streams.newReceiveWindow(), null, this);
    this.#clock = this.#newClock();
  }

  #newClock(): ContentClock {
    return new ContentClock(new Timer(() => this.#expired()), this.#streams.settings);
  }

  /** Hands on the exchange. The stream must be known to the connection by then. */
  handle(): void {
    handOn(this.#exchange!, this.#streams.hooks, this);
  }

  /** A DATA frame begins. @returns false if it exceeds the window */
  onDataBegin(octets: number): boolean {
    return this.#incoming === null || this.#incoming.window.arrive(octets);
  }

  /** @throws {Failure} `request-malformed`, `content-too-slow` */
  onData(octets: Uint8Array): void {
    const { length } = octets;
    const incoming = this.#incoming;
    if (incoming === null) return this.#streams.link.took(length);
    if (this.#left >= 0) {
      this.#left -= length;
      if (this.#left < 0) {
        this.#streams.link.took(length);
        throw new Failure("request-malformed", "more content than Content-Length (RFC 9113 §8.1.1)");
      }
    }
    incoming.arrive(octets);
    if (this.#exchange === null) return;
    this.#exchange.requestOctets = incoming.content.octets;
    this.#clock?.arrived(length);
  }

  onPadding(octets: number): void {
    if (this.#incoming === null) this.#streams.link.took(octets);
    else this.#incoming.arrivePadding(octets);
  }

  /** The client has sent everything. @throws {Failure} `request-malformed` */
  onRequestEnd(trailers: FieldSection | null): void {
    if (this.#left > 0)
      throw new Failure("request-malformed", `${this.#left} octets less than Content-Length (RFC 9113 §8.1.1)`);
    this.#isRequestComplete = true;
    this.#clock?.complete();
    this.#incoming?.end(trailers);
    if (this.#isResponded) this.#finish();
  }

  contentWanted(): void {
    this.#clock?.wait(this.#exchange?.timeouts?.contentIdleMs);
  }

  contentPaused(): void {
    this.#clock?.pause();
  }

  contentCancelled(): void {}

  // ── response ───────────────────────────────────────────────────────────────────────────────

  sendInterim(status: number, fields: FieldSection): void {
    if (this.#isResponding || this.#exchange === null) return;
    if (status === 100) {
      if (this.#clock === null || !this.#clock.awaitsContinue) return;
      this.#clock.continued();
    }
    writeInterimHead(this.#streams.link, this.id, status, status === 100 ? NO_FIELDS : fields);
  }

  onResponseReady(response: HttpResponse): void {
    try {
      this.#respond(response);
    } catch (thrown) {
      // A fault costs this connection, not the process.
      this.#streams.server.onFault(thrown);
    }
  }

  onResponseFailed(thrown: unknown): void {
    const exchange = this.#exchange;
    if (exchange === null || this.#isResponding) return;
    const failure = Failure.from(thrown);
    if (failure.code === "internal") this.#streams.hooks.fault(thrown);
    exchange.failure ??= failure;
    this.#respond(failureResponse(failure));
  }

  #respond(produced: HttpResponse): void {
    const exchange = this.#exchange;
    if (exchange === null || this.#isResponding) return giveBack(produced.body);
    const response = sayable(exchange, produced, this.#accept);
    this.#isResponding = true;
    // RFC 9218 §8: the origin server may know better.
    if (response.fields.hasKnown(Field.priority))
      this.priority = readPriority(response.fields.getKnown(Field.priority)!, this.priority);
    exchange.response = response;
    if (exchange.failure === null) exchange.phase = "response-content";
    if (response.tunnel !== null) return this.#beginTunnel(exchange, response);
    const { link, settings } = this.#streams;
    const { listenerFields = null } = settings;
    const { body } = response;
    const { method } = exchange.request;
    if (body === NO_BODY || isWithoutContent(response.status, method)) {
      writeResponseHead(link, this.id, response, method, true, listenerFields);
      if (body !== NO_BODY) giveBack(body);
      this.onContentSent(null);
      return;
    }
    if (method === "POST" && isGrpc(response.fields)) {
      // From here on it is a conversation, which either side may leave for a while.
      this.#isCall = true;
      this.#clock?.openCall(exchange.timeouts?.tunnelIdleMs);
    }
    this.#outgoing.follow(writeResponseHead(link, this.id, response, method, false, listenerFields), body.length);
    body.sendTo(this.#outgoing);
  }

  #beginTunnel(exchange: Exchange, response: HttpResponse): void {
    this.#isTunnel = true;
    exchange.phase = "tunnel";
    this.#clock!.openTunnel(exchange.timeouts?.tunnelIdleMs);
    this.#outgoing.follow(writeTunnelHead(this.#streams.link, this.id, response), null);
    response.tunnel!.accept(this.#incoming!.content);
    response.body.sendTo(this.#outgoing);
  }

  onContentPassing(octets: number): void {
    if (this.#exchange !== null) this.#exchange.responseOctets += octets;
    this.#clock?.passed();
  }

  onContentSent(trailers: FieldSection | null): void {
    this.#isResponded = true;
    if (this.#exchange !== null && trailers !== null) this.#exchange.trailers = trailers;
    if (this.#isTunnel) {
      // What its client said last goes on to the other end, which takes it or breaks.
      if (this.#isRequestComplete) this.#finish();
      return;
    }
    if (this.#incoming?.isDelivered === false)
      this.#stopIncoming(new Failure("client-closed", "the response was complete before the request content"));
    // RFC 9113 §8.1: the client need not go on with a request that has its whole response.
    if (!this.#isRequestComplete) this.#streams.resetStream(this.id, ErrorCode.none);
    this.#finish();
  }

  onContentCut(why: Failure): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    exchange.failure ??= why;
    this.#stopIncoming(why);
    if (this.#isCall) return this.#endCall(exchange, why);
    // RFC 9113 §8.5: what broke is the connection that the tunnel leads to.
    this.#streams.resetStream(this.id, this.#isTunnel ? ErrorCode.connect : ErrorCode.internal);
    this.#finish();
  }

  /** A call whose messages cannot go on: its status says why, and no client takes it for complete. */
  #endCall(exchange: Exchange, why: Failure): void {
    exchange.trailers = statusFields(why);
    writeTrailers(this.#streams.link, this.id, exchange.trailers);
    if (!this.#isRequestComplete) this.#streams.resetStream(this.id, ErrorCode.none);
    this.#finish();
  }

  onSendStalled(): void {
    const why = new Failure("client-stalled", "the client took nothing of the response for timeouts.send");
    if (this.#streams.link.connection.full) this.#streams.server.giveUp(why);
    else this.cut(ErrorCode.cancel, why);
  }

  get priority(): Priority {
    return this.#outgoing.priority;
  }

  set priority(priority: Priority) {
    this.#outgoing.priority = priority;
  }

  /** More room to send on this stream. @returns false if it is too much */
  addWindow(octets: number): boolean {
    return this.#outgoing.addWindow(octets);
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────

  /** The initial window that the client knows of has changed. */
  moveReceiveWindow(octets: number): void {
    this.#incoming?.window.move(octets);
  }

  #finish(): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    this.#clock?.stop();
    this.#streams.streamDone(this, true);
    if (exchange === null) return;
    if (exchange.failure === null) exchange.phase = "done";
    exchange.waitsFor = null;
    this.#streams.hooks.finish(exchange);
  }

  /** Nobody takes the rest of the content: also of what has come already, and is held. */
  #stopIncoming(why: Failure): void {
    this.#incoming?.stop(why);
  }

  /** Nobody waits for the response any more: the client cancelled it, or is gone. */
  lose(why: Failure): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    // First: a response that comes of what follows is not wanted.
    this.#exchange = null;
    this.#clock?.stop();
    exchange.failure ??= why;
    this.#incoming?.stop(why);
    this.#outgoing.stop(why);
    exchange.abort(why);
    this.#streams.streamDone(this, false);
    this.#streams.hooks.finish(exchange);
  }

  /** We give up on it. */
  cut(code: number, why: Failure): void {
    this.#streams.resetStream(this.id, code);
    this.lose(why);
  }

  /** The exchange ends with this failure: by a response if there is none yet. */
  refuse(failure: Failure): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    if (this.#isResponding && !this.#isCall) return this.cut(ErrorCode.cancel, failure);
    exchange.failure ??= failure;
    this.#stopIncoming(failure);
    // Whoever waits for the response brings the failure; nobody does once the handler has returned without.
    exchange.abort(failure);
    if (this.#exchange !== exchange) return;
    if (!this.#isCall) this.#respond(failureResponse(failure));
    else {
      this.#outgoing.stop(failure);
      this.#endCall(exchange, failure);
    }
  }

  #expired(): void {
    const failure = this.#clock!.expired();
    if (failure !== null) return this.refuse(failure);
    this.sendInterim(100, NO_FIELDS);
    this.#clock!.wait();
  }
}
