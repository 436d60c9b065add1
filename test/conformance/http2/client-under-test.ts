/** The client that the suite is run against. */
import type { Failure } from "../../../src/base/failure.ts";
import { timerList } from "../../../src/base/timer.ts";
import type { HttpRequest } from "../../../src/http/message.ts";
import type { ResponseTaker } from "../../../src/protocol/client-connection.ts";
import { type FakeConnection, HEAD_LIMITS } from "../../../src/protocol/http1/testing.ts";
import { Http2ClientConnection } from "../../../src/protocol/http2/client.ts";
import type { Http2ClientSettings } from "../../../src/protocol/http2/client-settings.ts";
import { DEFAULT_FLOOD_LIMITS } from "../../../src/protocol/http2/floods.ts";
import { flushFrames } from "../../../src/protocol/http2/frame-output.ts";

export interface StreamUnderTest {
  readonly id: number;
  readonly requestCompleteAt: number;
  cancel(): void;
  stop(why: Failure): void;
}

export interface ClientUnderTest {
  readonly engine: Http2ClientConnection;
  readonly capacity: number;
  readonly offersTunnels: boolean;
  ask(request: HttpRequest, taker: ResponseTaker, limits?: Limits): StreamUnderTest;
}

/** Time limits of one request, in ms. */
export interface Limits {
  readonly firstOctetMs?: number;
  readonly idleMs?: number;
}

/** The turn of the event loop is over. */
export function flush(): void {
  flushFrames();
}

/** @param events what the owner is told is written there */
export function connect(
  connection: FakeConnection,
  events: string[],
  settings: Partial<Http2ClientSettings> = {},
): ClientUnderTest {
  const client = new Http2ClientConnection(
    connection,
    {
      head: HEAD_LIMITS,
      maxStreams: 100,
      streamWindowOctets: 100_000,
      connectionWindowOctets: 250_000,
      floods: DEFAULT_FLOOD_LIMITS,
      pingTime: null,
      pingAnswerTime: null,
      ...settings,
    },
    {
      ready: () => events.push("ready"),
      hasRoom: () => events.push("room"),
      leaving: () => events.push("leaving"),
      gone: () => events.push("gone"),
      fault: (thrown) => events.push(`fault ${thrown instanceof Error ? thrown.message : thrown}`),
    },
  );
  connection.handler = client;
  return {
    engine: client,
    get capacity() {
      return client.capacity;
    },
    get offersTunnels() {
      return client.offersTunnels;
    },
    ask: (request, taker, { firstOctetMs = 0, idleMs = 0 } = {}) =>
      client.send(request, request.authority, timerList(firstOctetMs), timerList(idleMs), taker),
  };
}
