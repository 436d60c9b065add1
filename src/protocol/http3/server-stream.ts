/**
 * One request over HTTP/3 with its response. It ends when both are complete, or when either side gives
 * the stream up.
 *
 * RFC 9114 §4 (messages), §4.1.1 (cancellation), RFC 9220 (WebSockets), RFC 8470 (early data).
 */
import { Member } from "../../base/chain.ts";
import { Failure } from "../../base/failure.ts";
import { Timer } from "../../base/timer.ts";
import { NO_BODY } from "../../http/body.ts";
import { failureResponse } from "../../http/error-response.ts";
import type { Exchange, Informer } from "../../http/exchange.ts";
import { FieldSection } from "../../http/field-section.ts";
import { isGrpc } from "../../http/grpc.ts";
import type { HttpRequest, HttpResponse } from "../../http/message.ts";
import type { ResponseWaiter } from "../../http/pending-response.ts";
import { H3Error, type QuicFields, type QuicStreamTaker, type RequestStream } from "../../net/quic-runtime.ts";
import { ContentClock } from "../content-clock.ts";
import { giveBack, handOn } from "../hand-on.ts";
import { beginHandshake } from "../http2/extended-connect.ts";
import { MessageHead } from "../http2/message-head.ts";
import { exchangeOf, RequestTarget } from "../http2/request-head.ts";
import { isWithoutContent } from "../http2/response-head.ts";
import { sayable } from "../http2/sayable.ts";
import type { ContentOwner } from "../incoming-content.ts";
import type { OutgoingOwner } from "../outgoing-owner.ts";
import { readFields } from "./head.ts";
import { IncomingHeldContent } from "./incoming-content.ts";
import { OutgoingStreamContent } from "./outgoing-content.ts";
import { inOneLine, interimFields, type OutgoingFields, responseFields, tunnelFields } from "./response-fields.ts";
import type { Http3ServerConnection } from "./server.ts";

const head = new MessageHead();
const target = new RequestTarget();
const NO_FIELDS = new FieldSection();
/** What a replay does no harm to (RFC 8470 §4). */
const REPLAYABLE = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

export class Http3Stream
  extends Member
  implements QuicStreamTaker, ResponseWaiter, Informer, OutgoingOwner, ContentOwner
{
  readonly #server: Http3ServerConnection;
  readonly #stream: RequestStream;
  readonly #outgoing: OutgoingStreamContent;
  /** null before the head, and once it is over for the rest of the program. */
  #exchange: Exchange | null = null;
  /** Sec-WebSocket-Accept that the origin server owes us. */
  #accept: string | null = null;

  #incoming: IncomingHeldContent | null = null;
  #declaredLength = -1;
  #expectsContinue = false;
  #isHandled = false;
  #isRequestComplete = false;
  /** For the head, then for the content, then for the tunnel. */
  readonly #timer = new Timer(() => this.#expired());
  readonly #clock: ContentClock;

  #isResponding = false;
  #isResponded = false;
  #isTunnel = false;
  #isOver = false;

  constructor(server: Http3ServerConnection, stream: RequestStream) {
    super();
    this.#server = server;
    this.#stream = stream;
    this.#outgoing = new OutgoingStreamContent(stream, server.settings.sendTime, this);
    this.#clock = new ContentClock(this.#timer, server.settings);
    const { headTime } = server.settings;
    if (headTime !== null) this.#timer.arm(headTime);
  }

  // ── request ────────────────────────────────────────────────────────────────────────────────

  onHead(fields: QuicFields): void {
    this.#guard(() => this.#begin(fields));
  }

  #begin(fields: QuicFields): void {
    this.#timer.cancel();
    if (this.#isOver) return;
    const { settings, client } = this.#server;
    readFields(head, "request", fields, settings.head);
    if (head.tooLarge !== null) return this.#refuseHead(head.tooLarge);
    const problem = target.resolve(head) ?? problemOfConnect();
    if (problem !== null) return this.#malformed(problem);
    let exchange: Exchange;
    try {
      exchange = exchangeOf(head, target, client, "HTTP/3", "https");
      if (this.#stream.isEarly) admitEarly(exchange.request);
    } catch (thrown) {
      return this.#refuseHead(Failure.from(thrown));
    }
    exchange.informer = this;
    this.#exchange = exchange;
    this.#declaredLength = head.contentLength;
    this.#expectsContinue = head.expectContinue;
    const { upgrade, fields: sent } = exchange.request;
    if (upgrade !== null) this.#accept = beginHandshake(upgrade, sent);
  }

  /** RFC 9114 §4.1.2: a malformed request ends its stream. */
  #malformed(problem: string): void {
    this.#over();
    this.#stream.cut(H3Error.message);
    this.#server.hooks.malformed(this.#server.client, new Failure("request-malformed", problem), 0);
    this.#server.streamRefused(this);
  }

  /** A head that can be read, and is answered without an exchange. */
  #refuseHead(failure: Failure): void {
    this.#over();
    const fields: OutgoingFields = {
      ":status": String(failure.status),
      "proxy-status": `lintel; error=${failure.code}`,
      "content-length": "0",
    };
    this.#stream.sendHead(fields, true);
    this.#stream.stopReading(H3Error.none);
    this.#server.hooks.malformed(this.#server.client, failure, 0);
    this.#server.streamRefused(this);
  }

  /** There is content, or there may be. */
  onContentBegins(): void {
    this.#guard(() => {
      const exchange = this.#exchange;
      if (exchange === null || this.#isHandled) return;
      const { settings } = this.#server;
      const { request } = exchange;
      const isTunnel = request.upgrade !== null || request.method === "CONNECT";
      const declared = this.#declaredLength < 0 ? null : this.#declaredLength;
      this.#incoming = new IncomingHeldContent(settings.held, isTunnel ? null : declared, this);
      if (!isTunnel) {
        this.#clock.reset(this.#expectsContinue);
        // Messages of a call come when they come.
        if (isGrpc(request.fields)) this.#clock.allowSlow();
        request.body = this.#incoming.content;
      }
      this.#handle(exchange);
    });
  }

  #handle(exchange: Exchange): void {
    this.#isHandled = true;
    handOn(exchange, this.#server.hooks, this);
  }

  onOctets(octets: Uint8Array): void {
    this.#guard(() => {
      const incoming = this.#incoming;
      const exchange = this.#exchange;
      if (incoming === null || exchange === null) return;
      exchange.requestOctets += octets.length;
      if (!incoming.arrive(octets)) return this.#overflow();
      this.#clock.arrived(octets.length);
    });
  }

  #overflow(): void {
    const message = "the origin server takes the content more slowly than the client sends it (limits.http3.held)";
    this.refuse(new Failure("content-not-held", message));
  }

  onEnd(trailers: QuicFields | null): void {
    this.#guard(() => this.#end(trailers));
  }

  #end(fields: QuicFields | null): void {
    const exchange = this.#exchange;
    this.#isRequestComplete = true;
    if (exchange === null) return;
    if (!this.#isHandled && exchange.request.upgrade === null && exchange.request.method !== "CONNECT") {
      // The runtime has held the content against its declared length, and ended the session if they differ.
      if (this.#declaredLength === 0) exchange.request.hasEmptyContent = true;
      if (fields === null) return this.#handle(exchange);
    }
    if (!this.#isHandled) this.onContentBegins();
    this.#clock.complete();
    this.#incoming?.end(fields === null ? null : this.#trailers(fields));
    if (this.#isResponded) this.#finish();
  }

  /** @throws {Failure} `request-malformed` */
  #trailers(fields: QuicFields): FieldSection {
    const { head: limits, trailerOctets } = this.#server.settings;
    readFields(head, "trailers", fields, { ...limits, fieldSectionOctets: trailerOctets });
    const trailers = head.endTrailers();
    if (typeof trailers === "string") throw new Failure("request-malformed", trailers);
    return trailers;
  }

  contentWanted(): void {
    this.#clock.wait(this.#exchange?.timeouts?.contentIdleMs);
  }

  contentPaused(): void {
    this.#clock.pause();
  }

  contentCancelled(): void {}

  // ── response ───────────────────────────────────────────────────────────────────────────────

  sendInterim(status: number, fields: FieldSection): void {
    // RFC 9114 §4.5: there is no 101, a tunnel is opened with 200.
    if (this.#isResponding || this.#exchange === null || status === 101) return;
    if (status === 100) {
      if (!this.#clock.awaitsContinue) return;
      this.#clock.continued();
    }
    this.#stream.sendInterim(interimFields(status, status === 100 ? NO_FIELDS : fields));
  }

  onResponseReady(response: HttpResponse): void {
    this.#guard(() => this.#respond(response));
  }

  onResponseFailed(thrown: unknown): void {
    const exchange = this.#exchange;
    if (exchange === null || this.#isResponding) return;
    const failure = Failure.from(thrown);
    if (failure.code === "internal") this.#server.hooks.fault(thrown);
    exchange.failure ??= failure;
    this.#guard(() => this.#respond(failureResponse(failure)));
  }

  #respond(produced: HttpResponse): void {
    const exchange = this.#exchange;
    if (exchange === null || this.#isResponding) return giveBack(produced.body);
    const response = sayable(exchange, produced, this.#accept);
    this.#isResponding = true;
    exchange.response = response;
    if (exchange.failure === null) exchange.phase = "response-content";
    if (response.tunnel !== null) return this.#beginTunnel(exchange, response);
    const { body, status } = response;
    const { method } = exchange.request;
    const fields = responseFields(response, method, this.#server.settings.listenerFields);
    if (body === NO_BODY || isWithoutContent(status, method)) {
      this.#sendHead(fields, true);
      if (body !== NO_BODY) giveBack(body);
      return this.onContentSent(null);
    }
    this.#sendHead(fields, false);
    this.#outgoing.follow(body.length);
    body.sendTo(this.#outgoing);
  }

  #sendHead(fields: OutgoingFields, end: boolean): void {
    try {
      this.#stream.sendHead(fields, end);
    } catch {
      this.#stream.sendHead(inOneLine(fields), end);
    }
  }

  #beginTunnel(exchange: Exchange, response: HttpResponse): void {
    this.#isTunnel = true;
    exchange.phase = "tunnel";
    this.#clock.openTunnel(exchange.timeouts?.tunnelIdleMs);
    this.#sendHead(tunnelFields(response), false);
    this.#outgoing.follow(null);
    response.tunnel!.accept(this.#incoming!.content);
    response.body.sendTo(this.#outgoing);
  }

  onContentPassing(octets: number): void {
    if (this.#exchange !== null) this.#exchange.responseOctets += octets;
    this.#clock.passed();
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
    // RFC 9114 §4.1: the client need not go on with a request that has its whole response.
    if (!this.#isRequestComplete) this.#stream.stopReading(H3Error.none);
    this.#finish();
  }

  onContentCut(why: Failure): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    exchange.failure ??= why;
    this.#stopIncoming(why);
    this.#stream.cut(this.#isTunnel ? H3Error.connect : H3Error.internal);
    this.#finish();
  }

  onSendStalled(): void {
    this.cut(new Failure("client-stalled", "the client took nothing of the response for timeouts.send"));
  }

  onRoom(): void {
    this.#guard(() => this.#outgoing.onRoom());
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────

  onClosed(reason: string): void {
    this.#guard(() => {
      if (this.#exchange === null) {
        // Before its head, or after its end.
        if (!this.#isOver) {
          this.#over();
          this.#server.streamDone(this, false);
        }
        return;
      }
      this.lose(new Failure("client-closed", reason));
    });
  }

  #over(): void {
    this.#isOver = true;
    this.#clock.stop();
  }

  #finish(): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    if (this.#isOver) return;
    this.#over();
    this.#server.streamDone(this, true);
    if (exchange === null) return;
    if (exchange.failure === null) exchange.phase = "done";
    exchange.waitsFor = null;
    this.#server.hooks.finish(exchange);
  }

  /** Nobody takes the rest of the content: also of what has come already, and is held. */
  #stopIncoming(why: Failure): void {
    this.#incoming?.stop(why);
  }

  /** Nobody waits for the response any more: the client cancelled it, or is gone. */
  lose(why: Failure): void {
    const exchange = this.#exchange;
    if (this.#isOver) return;
    // First: a response that comes of what follows is not wanted.
    this.#exchange = null;
    this.#over();
    if (exchange !== null) {
      exchange.failure ??= why;
      this.#incoming?.stop(why);
      this.#outgoing.stop(why);
      exchange.abort(why);
    }
    this.#server.streamDone(this, false);
    if (exchange !== null) this.#server.hooks.finish(exchange);
  }

  /** We give up on it. */
  cut(why: Failure, code: number = H3Error.requestCancelled): void {
    this.#stream.cut(code);
    this.lose(why);
  }

  /** The exchange ends with this failure: by a response if there is none yet. */
  refuse(failure: Failure): void {
    const exchange = this.#exchange;
    if (exchange === null || this.#isResponding) return this.cut(failure);
    exchange.failure ??= failure;
    this.#stopIncoming(failure);
    // Whoever waits for the response brings the failure; nobody does once the handler has returned without.
    exchange.abort(failure);
    if (this.#exchange === exchange) this.#respond(failureResponse(failure));
  }

  #expired(): void {
    this.#guard(() => {
      if (this.#exchange === null) {
        const failure = new Failure("head-timeout", "the request head took longer than timeouts.head");
        this.#server.hooks.malformed(this.#server.client, failure, 0);
        return this.cut(failure, H3Error.requestIncomplete);
      }
      const failure = this.#clock.expired();
      if (failure !== null) return this.refuse(failure);
      this.sendInterim(100, NO_FIELDS);
      this.#clock.wait();
    });
  }

  /** The runtime's callbacks and promises must not see what is thrown: a fault costs this stream only. */
  #guard(act: () => void): void {
    try {
      act();
    } catch (thrown) {
      const failure = Failure.from(thrown);
      if (failure.code === "internal") this.#server.hooks.fault(thrown);
      if (failure.code === "request-malformed") this.cut(failure, H3Error.message);
      else if (failure.code === "internal") this.cut(failure, H3Error.internal);
      else this.refuse(failure);
    }
  }
}

/** @throws {Failure} `too-early` for what a replay could do harm with */
function admitEarly({ method, upgrade, fields }: HttpRequest): void {
  if (upgrade !== null || !REPLAYABLE.has(method))
    throw new Failure("too-early", `${method} before the handshake was over (RFC 8470 §5.2)`);
  fields.set("early-data", "1");
}

function problemOfConnect(): string | null {
  if (head.contentLength >= 0 && target.method === "CONNECT") return "Content-Length in CONNECT (RFC 9110 §9.3.6)";
  return null;
}
