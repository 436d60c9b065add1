/** The client that the suite is run against. */
import type { HttpRequest } from "../../../src/http/message.ts";
import type { ResponseTaker } from "../../../src/protocol/http1/client.ts";
import { type FakeConnection, HEAD_LIMITS } from "../../../src/protocol/http1/testing.ts";
import { Http2ClientConnection } from "../../../src/protocol/http2/client.ts";
import { flushFrames } from "../../../src/protocol/http2/frame-output.ts";

export interface StreamUnderTest {
  readonly id: number;
  cancel(): void;
}

export interface ClientUnderTest {
  readonly capacity: number;
  readonly offersTunnels: boolean;
  ask(request: HttpRequest, taker: ResponseTaker): StreamUnderTest;
}

/** The turn of the event loop is over. */
export function flush(): void {
  flushFrames();
}

/** @param events what the owner is told is written there */
export function connect(connection: FakeConnection, events: string[]): ClientUnderTest {
  const client = new Http2ClientConnection(
    connection,
    {
      head: HEAD_LIMITS,
      maxStreams: 100,
      streamWindowOctets: 100_000,
      connectionWindowOctets: 250_000,
      pingTime: null,
      pingAnswerTime: null,
    },
    {
      ready: () => events.push("ready"),
      hasRoom: () => events.push("room"),
      leaving: () => events.push("leaving"),
      gone: () => events.push("gone"),
      fault(thrown) {
        throw thrown;
      },
    },
  );
  connection.handler = client;
  return {
    get capacity() {
      return client.capacity;
    },
    get offersTunnels() {
      return client.offersTunnels;
    },
    ask: (request, taker) => client.send(request, request.authority, null, null, taker),
  };
}
