/**
 * The server side of one HTTP/1.x connection: decodes requests, hands each to the handler,
 * encodes its response, keeps order. One request is worked on at a time; pipelined ones wait in
 * the kernel, but for what the last read brought.
 *
 * Through `OutgoingContent` it is the sink of the response's content, and through `IncomingContent` the source
 * of the request's, so a full client pauses the upstream and a full upstream pauses the client.
 *
 * RFC 9112; RFC 9110 §6.6.1 (Date), §10.1.1 (Expect), §15.2 (1xx).
 */
import { Failure } from "../../base/failure.ts";
import { clock, Timer } from "../../base/timer.ts";
import { NO_BODY } from "../../http/body.ts";
import { failureResponse } from "../../http/error-response.ts";
import { type ClientInfo, Exchange, type Informer } from "../../http/exchange.ts";
import { FieldSection } from "../../http/field-section.ts";
import type { HttpRequest, HttpResponse } from "../../http/message.ts";
import type { ResponseWaiter } from "../../http/pending-response.ts";
import type { Connection, ConnectionHandler } from "../../net/connection.ts";
import { ContentClock } from "../content-clock.ts";
import type { ExchangeHooks } from "../exchange-hooks.ts";
import { giveBack, handOn } from "../hand-on.ts";
import { type ContentOwner, IncomingContent } from "../incoming-content.ts";
import type { OutgoingOwner } from "../outgoing-owner.ts";
import { ServerConnection } from "../server-connection.ts";
import { ContentDecoder, type ContentReceiver } from "./content-decoder.ts";
import { HeadDecoder } from "./head-decoder.ts";
import { OutgoingContent } from "./outgoing-content.ts";
import { requestOf } from "./request-head.ts";
import { ResponseEncoder } from "./response-encoder.ts";
import type { Http1ServerSettings } from "./server-settings.ts";

/** Request content that is read on over when the response did not wait for it. */
const DISCARD_OCTETS = 64 * 1024;
const DROPPED: ContentReceiver = { stopped: false, onContent() {} };

/** What a client of HTTP/2 begins with (RFC 9113 §3.4), as far as a request line of HTTP/1 is refused for it. */
const PREFACE_LINE = Buffer.from("PRI * HTTP/2.0", "latin1");

const NO_FIELDS = new FieldSection();

const decoder = new HeadDecoder("request");

export class Http1ServerConnection
  extends ServerConnection
  implements ConnectionHandler, ContentOwner, OutgoingOwner, ResponseWaiter, Informer
{
  readonly connection: Connection;
  readonly #client: ClientInfo;
  readonly #settings: Http1ServerSettings;
  readonly #hooks: ExchangeHooks;
  /** Copies of octets that could not be used yet: a partial head, or what follows the current message. */
  #held: Buffer | null = null;
  #processing = false;
  #exchange: Exchange | null = null;
  /** When the first octet of the head was there; 0 = not yet. */
  #headStartedAt = 0;

  // The request in work.
  #version = 11;
  #content: IncomingContent | null = null;
  readonly #contentDecoder: ContentDecoder;
  #keepAlive = true;
  /** The client means to send another request, and may not know yet that the connection ends. */
  #mayContinue = false;
  /** At least one exchange is over, and the next has not begun. */
  #keptAlive = false;
  /** A request has come on it. */
  #hasServed = false;
  #discarded = 0;

  // Its response.
  #responding = false;
  #responded = false;
  readonly #encoder: ResponseEncoder;
  readonly #outgoing: OutgoingContent;
  #peerEnded = false;
  #retired = false;

  readonly #timer = new Timer(() => this.#expired());
  readonly #contentClock: ContentClock;

  constructor(connection: Connection, client: ClientInfo, settings: Http1ServerSettings, hooks: ExchangeHooks) {
    super();
    this.connection = connection;
    this.#client = client;
    this.#settings = settings;
    this.#hooks = hooks;
    this.#contentDecoder = new ContentDecoder("request", settings.content);
    this.#contentClock = new ContentClock(this.#timer, settings);
    this.#encoder = new ResponseEncoder(connection);
    this.#outgoing = new OutgoingContent(connection, this.#encoder, settings.sendTime, this);
    if (settings.headTime !== null) this.#timer.arm(settings.headTime);
  }

  get client(): ClientInfo {
    return this.#client;
  }

  /** Whose connection it is. */
  get hooks(): ExchangeHooks {
    return this.#hooks;
  }

  get readsAhead(): boolean {
    return this.#exchange === null && this.#contentDecoder.done;
  }

  get idle(): boolean {
    return this.#exchange === null;
  }

  // ── octets in ──────────────────────────────────────────────────────────────────────────────

  onOctets(room: Buffer, length: number): void {
    const held = this.#held;
    if (held === null) this.#process(room, length);
    else {
      this.#held = null;
      const octets = Buffer.concat([held, room.subarray(0, length)]);
      this.#process(octets, octets.length);
    }
  }

  /** Uses octets until they are used up, or what is next has to wait. */
  #process(octets: Buffer, end: number): void {
    let at = 0;
    this.#processing = true;
    try {
      while (at < end && !this.#retired) {
        if (this.#exchange === null && !this.#contentDecoder.done) at = this.#discard(octets, at, end);
        else if (this.#exchange === null) {
          // A client that does not take its responses gets no more of them.
          if (this.connection.full) break;
          const next = this.#beginExchange(octets, at, end);
          if (next < 0) break;
          at = next;
        } else if (!this.#contentDecoder.done && this.#content !== null) {
          const next = this.#contentDecoder.decode(octets, at, end, this.#content);
          this.#octetsOfContent(next - at);
          at = next;
          if (this.#retired) break;
          if (this.#contentDecoder.done) this.#requestComplete();
          else if (at < end) break;
        } else break;
      }
    } catch (thrown) {
      if (this.#beginsHttp2(octets, at, end)) return this.#leaveToHttp2(octets.subarray(at, end));
      this.#refuse(Failure.from(thrown), end);
      at = end;
    }
    this.#processing = false;
    if (at === end || this.#retired) return;
    this.#held = Buffer.from(octets.subarray(at, end));
    if (this.#exchange !== null || this.connection.full) this.connection.pause();
  }

  /** The request line of the preface is one of a version we do not speak; only a connection's first may be it. */
  #beginsHttp2(octets: Buffer, at: number, end: number): boolean {
    if (this.#hasServed || this.#hooks.switchToHttp2 === undefined || end - at < PREFACE_LINE.length) return false;
    return PREFACE_LINE.equals(octets.subarray(at, at + PREFACE_LINE.length));
  }

  #leaveToHttp2(octets: Buffer): void {
    this.#retired = true;
    this.#held = null;
    this.#timer.cancel();
    this.#hooks.switchToHttp2!(this, this.connection, octets);
  }

  /** Reads on over content nobody wanted, so that the connection can carry the next request; within bounds. */
  #discard(octets: Buffer, at: number, end: number): number {
    const next = this.#contentDecoder.decode(octets, at, end, DROPPED);
    this.#discarded += next - at;
    if (this.#contentDecoder.done) {
      const { keepAliveTime } = this.#settings;
      if (keepAliveTime !== null) this.#timer.arm(keepAliveTime);
    } else if (this.#discarded > DISCARD_OCTETS) {
      this.connection.close(true);
      this.#retire();
    }
    return next;
  }

  /** Uses what was held back, once that is possible. */
  #processHeld(): void {
    const held = this.#held;
    this.connection.resume();
    if (this.#processing || this.#retired) return;
    this.#held = null;
    if (held !== null) this.#process(held, held.length);
  }

  /** Decodes a head and starts its exchange. @returns index after the head, -1 if it is not complete */
  #beginExchange(octets: Buffer, at: number, end: number): number {
    if (this.#headStartedAt === 0) this.#headStartedAt = clock.now;
    if (!decoder.decodeRequest(octets, at, end, this.#settings.head)) {
      if (this.#keptAlive) this.#awaitHead();
      return -1;
    }
    this.#timer.cancel();
    this.#keptAlive = false;
    const { version, end: next } = decoder;
    this.#version = version;
    this.#keepAlive = version >= 11 ? !decoder.close : decoder.keepAlive && !decoder.close;
    this.#mayContinue = this.#keepAlive;
    const request = requestOf(decoder, this.#settings.scheme);
    this.#expectContent(request);
    const exchange = new Exchange(this.#client, version >= 11 ? "HTTP/1.1" : "HTTP/1.0", request, this.#headStartedAt);
    exchange.informer = version >= 11 ? this : null;
    this.#exchange = exchange;
    this.#hasServed = true;
    this.#responding = false;
    this.#responded = false;
    handOn(exchange, this.#hooks, this);
    return next;
  }

  /** Part of a head arrived on a connection that was idle. */
  #awaitHead(): void {
    this.#keptAlive = false;
    const { headTime } = this.#settings;
    if (headTime !== null) this.#timer.arm(headTime);
    else this.#timer.cancel();
  }

  /** Makes ready for the content that follows the head, if any does. */
  #expectContent(request: HttpRequest): void {
    const { contentLength, chunked } = decoder;
    this.#content = null;
    this.#contentClock.awaitsContinue = false;
    if (chunked) this.#contentDecoder.startChunked();
    else this.#contentDecoder.startFixed(Math.max(contentLength, 0));
    if (this.#contentDecoder.done) return;
    this.#content = new IncomingContent(this, chunked ? null : contentLength);
    request.body = this.#content;
    this.#contentClock.reset(decoder.expectContinue && this.#version >= 11);
  }

  onResponseReady(response: HttpResponse): void {
    try {
      this.#respond(response);
    } catch (thrown) {
      // A fault costs this connection, not the process.
      this.connection.destroy(true);
      this.onFault(thrown);
    }
  }

  onResponseFailed(thrown: unknown): void {
    const exchange = this.#exchange;
    if (exchange === null || this.#responding) return;
    const failure = Failure.from(thrown);
    if (failure.code === "internal") this.#hooks.fault(thrown);
    exchange.failure ??= failure;
    this.#respond(failureResponse(failure));
  }

  // ── request content ────────────────────────────────────────────────────────────────────────

  /** Somebody takes the content now. Called by its IncomingContent, as the next two. */
  contentWanted(): void {
    this.#contentClock.wait(this.#exchange?.timeouts?.contentIdleMs);
    this.#processHeld();
  }

  contentPaused(): void {
    this.connection.pause();
    this.#contentClock.pause();
  }

  /** The rest is read and dropped, so that the connection can go on. */
  contentCancelled(): void {
    this.#processHeld();
  }

  #octetsOfContent(octets: number): void {
    if (octets === 0 || this.#content === null || this.#exchange === null) return;
    this.#exchange.requestOctets = this.#content.octets;
    this.#contentClock.arrived(octets);
  }

  #requestComplete(): void {
    this.#contentClock.complete();
    // The taker may have been full at the last octets.
    this.connection.resume();
    const content = this.#content!;
    content.complete(this.#contentDecoder.trailers);
    if (this.#responded) this.#finish();
  }

  // ── response ───────────────────────────────────────────────────────────────────────────────

  sendInterim(status: number, fields: FieldSection): void {
    if (this.#responding || this.#exchange === null) return;
    if (status === 100) {
      if (!this.#contentClock.awaitsContinue) return;
      this.#contentClock.continued();
      this.#encoder.writeInterim(100, NO_FIELDS);
    } else this.#encoder.writeInterim(status, fields);
  }

  #respond(response: HttpResponse): void {
    const exchange = this.#exchange;
    if (exchange === null || this.#responding) {
      // We gave up on this exchange while the handler worked.
      giveBack(response.body);
      return;
    }
    this.#responding = true;
    exchange.response = response;
    if (exchange.failure === null) exchange.phase = "response-content";
    const { body } = response;
    if (response.tunnel !== null) return this.#beginTunnel(exchange, response);
    // A client that still waits for 100 will send content or not: only closing is sure.
    const mayKeep =
      this.#keepAlive &&
      !this.#hooks.draining &&
      !this.#peerEnded &&
      !this.#contentClock.awaitsContinue &&
      !this.#tooMuchToDiscard;
    const { listenerFields = null } = this.#settings;
    this.#keepAlive = this.#encoder.writeHead(
      response,
      exchange.request.method,
      this.#version,
      mayKeep,
      listenerFields,
    );
    if (body === NO_BODY || this.#encoder.isContentless) {
      if (body !== NO_BODY) giveBack(body);
      this.#responseComplete();
    } else {
      this.#outgoing.follow(exchange.request.acceptsTrailers);
      body.sendTo(this.#outgoing);
    }
  }

  /** The request's content is long and nobody takes it: reading on over it would take longer than a new connection. */
  get #tooMuchToDiscard(): boolean {
    const content = this.#content;
    return (
      content !== null &&
      !content.taken &&
      content.length !== null &&
      content.length > DISCARD_OCTETS &&
      !this.#contentDecoder.done
    );
  }

  onContentPassing(octets: number): void {
    this.#exchange!.responseOctets += octets;
    this.#contentClock.passed();
  }

  onContentSent(trailers: FieldSection | null): void {
    if (trailers !== null) this.#exchange!.trailers = trailers;
    this.#responseComplete();
  }

  /** The content is cut: the connection ends here, without what would make it look complete. */
  onContentCut(why: Failure): void {
    this.#exchange!.failure ??= why;
    this.#stopContent(why);
    // Without framing a plain end would look like the whole content: only a reset tells.
    if (this.#encoder.endsByClose) this.connection.destroy(true);
    else this.connection.close(!this.#contentDecoder.done);
    this.#gone();
  }

  onSendStalled(): void {
    this.#lost(new Failure("client-stalled", "the client took nothing of the response for timeouts.send"));
    this.connection.destroy(true);
  }

  onRoom(): void {
    this.#contentClock.passed();
    this.#outgoing.onRoom();
    if (this.#exchange === null && this.#held !== null) this.#processHeld();
  }

  #responseComplete(): void {
    this.#responded = true;
    if (this.#encoder.isTunnel) {
      if (this.#peerEnded) this.#finish();
    } else if (this.#contentDecoder.done) this.#finish();
    else {
      // The rest of the request is not wanted: the origin server has answered.
      this.#stopContent(new Failure("client-closed", "the response was complete before the request content"));
      this.#discarded = 0;
      this.#finish();
    }
  }

  /** Ends the exchange; the connection goes on with the next request or ends. */
  #finish(): void {
    const exchange = this.#exchange!;
    this.#exchange = null;
    this.#content = null;
    exchange.phase = exchange.failure === null ? "done" : exchange.phase;
    exchange.waitsFor = null;
    this.#hooks.finish(exchange);
    // Only as the response said: a client that was told nothing may be sending its next request already.
    if (!this.#keepAlive) {
      const peerMaySend = this.#mayContinue || !this.#contentDecoder.done || this.#held !== null;
      this.connection.close(peerMaySend && !this.#peerEnded);
      this.#retire();
      return;
    }
    this.#keptAlive = true;
    this.#headStartedAt = 0;
    const rest = this.#contentDecoder.done ? this.#settings.keepAliveTime : this.#settings.contentIdleTime;
    if (rest !== null) this.#timer.arm(rest);
    if (this.#held !== null || !this.#contentDecoder.done) this.#processHeld();
    else if (this.#peerEnded) this.closeIdle();
  }

  // ── tunnels ────────────────────────────────────────────────────────────────────────────────

  #beginTunnel(exchange: Exchange, response: HttpResponse): void {
    exchange.phase = "tunnel";
    this.#contentClock.openTunnel(exchange.timeouts?.tunnelIdleMs);
    this.#keepAlive = false;
    this.#encoder.writeTunnelHead(response);
    this.#contentDecoder.startUntilClose();
    this.#content = new IncomingContent(this, null);
    this.#outgoing.follow(false);
    response.tunnel!.accept(this.#content);
    response.body.sendTo(this.#outgoing);
    if (this.#peerEnded) this.onPeerEnd();
    else this.#processHeld();
  }

  get #inTunnel(): boolean {
    return this.#responding && this.#encoder.isTunnel;
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────

  onPeerEnd(): void {
    this.#peerEnded = true;
    if (this.#exchange === null) {
      if (this.#held !== null && !this.#keptAlive) {
        this.#hooks.malformed(
          this.#client,
          new Failure("client-closed", "the client closed in the middle of a head"),
          this.#held.length,
        );
      }
      this.closeIdle();
    } else if (this.#inTunnel) {
      this.#contentDecoder.startFixed(0);
      this.#content?.complete(null);
      if (this.#responded) this.#finish();
    } else if (!this.#contentDecoder.done) {
      this.#lost(new Failure("client-closed", "the client closed before its request content was complete"));
      this.connection.destroy();
    }
    // Else: a client that half-closed after its request gets its response.
  }

  onLost(error: string): void {
    if (this.#exchange === null) return this.#gone();
    this.#lost(new Failure("client-closed", `the client's connection ended: ${error}`));
  }

  onFault(thrown: unknown): void {
    this.#hooks.fault(thrown);
    if (this.#exchange === null) this.#gone();
    else this.#lost(Failure.from(thrown));
  }

  /** The client is gone, or we gave up on it: nobody waits for the response. */
  #lost(why: Failure): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    // First: a response that comes of what follows is not wanted.
    this.#exchange = null;
    this.#outgoing.close();
    exchange.failure ??= why;
    this.#stopContent(why);
    this.#outgoing.stop(why);
    exchange.abort(why);
    this.#hooks.finish(exchange);
    this.#retire();
  }

  /** Ends the request's content for whoever takes it. */
  #stopContent(why: Failure): void {
    if (!this.#contentDecoder.done) this.#content?.stop(why);
    this.#content = null;
  }

  /** The connection is not ours any more; finishes the exchange if there is one. */
  #gone(): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    if (exchange !== null) this.#hooks.finish(exchange);
    this.#retire();
  }

  /** This engine's work is over; what is left to send is the connection's business. */
  #retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    this.#held = null;
    this.#contentClock.stop();
    this.#outgoing.close();
    this.#hooks.closed(this);
  }

  /** Refuses what cannot be understood, and ends the connection. */
  #refuse(failure: Failure, octets: number): void {
    if (failure.code === "internal") this.#hooks.fault(failure.cause ?? failure);
    const exchange = this.#exchange;
    if (exchange !== null && this.#responding) {
      this.#lost(failure);
      this.connection.destroy(true);
      return;
    }
    this.#keepAlive = false;
    if (exchange !== null) {
      // In the middle of the content: the exchange ends with this failure.
      exchange.failure ??= failure;
      this.#stopContent(failure);
      // Whoever waits for the response brings the failure; nobody does once the handler has returned without.
      exchange.abort(failure);
      if (this.#exchange === exchange) this.#respond(failureResponse(failure));
      return;
    }
    this.#hooks.malformed(this.#client, failure, octets);
    // The rest of a request that has its response gets no second one: it would answer the next.
    const isAnswered = this.#keptAlive && !this.#contentDecoder.done;
    if (!isAnswered) this.#encoder.writeRefusal(failure);
    this.connection.close(true);
    this.#retire();
  }

  #expired(): void {
    if (this.#exchange === null) {
      if (this.#keptAlive) return this.closeIdle();
      if (this.#held === null) return this.closeIdle(); // Connected and said nothing.
      return this.#refuse(
        new Failure("head-timeout", "the request head took longer than timeouts.head"),
        this.#held.length,
      );
    }
    const failure = this.#contentClock.expired();
    if (failure === null) {
      this.sendInterim(100, NO_FIELDS);
      this.#contentClock.wait();
    } else if (this.#inTunnel) {
      this.#lost(failure);
      this.connection.destroy();
    } else this.#refuse(failure, 0);
  }

  /** Closes if no exchange is in work; else after the one that is. */
  closeIdle(): void {
    if (this.#exchange !== null) {
      this.#keepAlive = false;
      return;
    }
    this.connection.close(!this.#contentDecoder.done && !this.#peerEnded);
    this.#retire();
  }

  /** The server stops: ends after the exchange in work, and at once if none is and a former one was the last. */
  drain(): void {
    if (this.#exchange !== null) this.#keepAlive = false;
    else if (this.#keptAlive && this.#held === null) this.closeIdle();
    // Else a request is on its way, for as long as its head may take.
  }

  /** Ends now: an exchange without a response gets this failure, one in the middle of it is cut. */
  terminate(why: Failure): void {
    if (this.#exchange === null) return this.closeIdle();
    if (!this.#responding) return this.#refuse(why, 0);
    this.#lost(why);
    this.connection.destroy(true);
  }
}
