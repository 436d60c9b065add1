/**
 * The server side of one QUIC session: its requests, when it may rest, and how it ends. Frames, windows
 * and fields in QPACK are the runtime's (net/quic-runtime.ts).
 *
 * RFC 9114 §5 (closing), §10.5 (denial of service).
 */
import { Chain } from "../../base/chain.ts";
import { Failure } from "../../base/failure.ts";
import { Timer, timerList } from "../../base/timer.ts";
import type { ClientInfo } from "../../http/exchange.ts";
import {
  H3Error,
  type QuicSessionTaker,
  type QuicStreamTaker,
  type RequestStream,
  type Session,
} from "../../net/quic-runtime.ts";
import type { ExchangeHooks } from "../exchange-hooks.ts";
import { ConnectionError } from "../http2/error-code.ts";
import { FloodGuard } from "../http2/floods.ts";
import { ServerConnection } from "../server-connection.ts";
import type { Http3ServerSettings } from "./server-settings.ts";
import { Http3Stream } from "./server-stream.ts";

/** From GOAWAY, or the last response after it, to the end: what was on its way has come back by then. */
const LAST_WORDS = timerList(500)!;

export class Http3ServerConnection extends ServerConnection implements QuicSessionTaker {
  readonly client: ClientInfo;
  readonly hooks: ExchangeHooks;
  readonly settings: Http3ServerSettings;
  readonly #session: Session;
  readonly #streams = new Chain<Http3Stream>();
  readonly #floods: FloodGuard;
  readonly #rest = new Timer(() => this.#rested());
  #isLeaving = false;
  #isRetired = false;

  constructor(session: Session, client: ClientInfo, settings: Http3ServerSettings, hooks: ExchangeHooks) {
    super();
    this.#session = session;
    this.client = client;
    this.settings = settings;
    this.hooks = hooks;
    this.#floods = new FloodGuard(settings.floods);
    this.#idle();
  }

  onStream(stream: RequestStream): QuicStreamTaker {
    this.#rest.cancel();
    if (this.hooks.draining) this.drain();
    const one = new Http3Stream(this, stream);
    this.#streams.add(one);
    return one;
  }

  /** For a stream: it is over. @param wentToEnd its response did */
  streamDone(stream: Http3Stream, wentToEnd: boolean): void {
    this.#streams.delete(stream);
    if (wentToEnd) this.#floods.streamDone();
    else this.#spend();
    this.#idle();
  }

  /** For a stream: it was answered or cut instead of begun. */
  streamRefused(stream: Http3Stream): void {
    this.streamDone(stream, false);
  }

  #spend(): void {
    if (this.#isRetired) return;
    try {
      this.#floods.reset();
    } catch (thrown) {
      if (!(thrown instanceof ConnectionError)) throw thrown;
      const failure = new Failure("flooding", thrown.message);
      this.hooks.malformed(this.client, failure, 0);
      this.#end(H3Error.excessiveLoad, failure);
    }
  }

  #idle(): void {
    if (this.#streams.size > 0 || this.#isRetired) return;
    if (this.#isLeaving) return this.#rest.arm(LAST_WORDS);
    const { keepAliveTime } = this.settings;
    if (keepAliveTime !== null) this.#rest.arm(keepAliveTime);
  }

  #rested(): void {
    if (this.#streams.size > 0) return;
    if (!this.#isLeaving) return this.drain();
    this.#end(H3Error.none, new Failure("client-closed", "the session has ended"));
  }

  /** The server stops, or the session has rested for long: what is in work is finished (RFC 9114 §5.2). */
  drain(): void {
    if (this.#isLeaving || this.#isRetired) return;
    this.#isLeaving = true;
    this.#session.goAway();
    this.#idle();
  }

  /** Ends now: an exchange without a response gets this failure, one in the middle of it is cut. */
  terminate(why: Failure): void {
    if (this.#isRetired) return;
    this.#isLeaving = true;
    for (const stream of this.#streams.all()) stream.refuse(why);
    for (const stream of this.#streams.all()) stream.cut(why);
    this.#session.goAway();
    this.#rest.arm(LAST_WORDS);
  }

  #end(code: number, why: Failure): void {
    if (this.#isRetired) return;
    this.#retire(why);
    this.#session.end(code);
  }

  onSessionClosed(reason: string): void {
    this.#retire(new Failure("client-closed", reason));
  }

  #retire(why: Failure): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    this.#rest.cancel();
    for (const stream of this.#streams.all()) stream.lose(why);
    this.hooks.closed(this);
  }
}
