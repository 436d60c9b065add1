/** What forwarding sees of a connection to an endpoint, whatever it speaks. */
import type { Failure } from "../base/failure.ts";
import type { TimerList } from "../base/timer.ts";
import type { FieldSection } from "../http/field-section.ts";
import type { HttpRequest, HttpResponse } from "../http/message.ts";

/** The cause of a failure where a connection was given up because nothing came on it any more. */
export const NO_SIGN_OF_LIFE = Symbol("no sign of life");

/** Interim responses that a response may have before it: each is relayed at once, and kept for a client that does not read. */
export const MOST_INTERIMS = 100;

/** Who made a request. */
export interface ResponseTaker {
  /** 100 and 103 and their like; not 101. */
  onInterim(status: number, fields: FieldSection): void;
  /** The final response; its content is still flowing. */
  onResponse(response: HttpResponse): void;
  /** There will be no response. */
  onFailed(failure: Failure): void;
  /** After `onResponse`: the content is complete (null) or cut. Called before the content's own end. */
  onComplete(failure: Failure | null): void;
}

/** A request that was sent, with its response: the connection itself in HTTP/1.1, a stream in HTTP/2. */
export interface SentRequest {
  /** `clock.now` when the request was complete; 0: it is not yet. */
  readonly requestCompleteAt: number;
  /** The exchange is called off: nobody waits for the response any more. */
  cancel(): void;
  /** Ends the response where it is: what has been relayed must look cut. */
  stop(why: Failure): void;
}

export interface ClientConnection {
  /** Requests sent so far; more than none means that it was kept. */
  readonly requests: number;
  /**
   * Sends a request on a connection that its endpoint gave for it. Content that throws fails the
   * request, so the taker may be called before this returns.
   * @param authority       for Host, or `:authority`
   * @param firstOctetTime  limit until a response; null: none
   * @param idleTime        limit without an octet of the response's content; null: none
   */
  send(
    request: HttpRequest,
    authority: string,
    firstOctetTime: TimerList | null,
    idleTime: TimerList | null,
    taker: ResponseTaker,
  ): SentRequest;
}
