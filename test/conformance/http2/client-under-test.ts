/** The client that the suite is run against. */
import type { HttpRequest } from "../../../src/http/message.ts";
import type { ResponseTaker } from "../../../src/protocol/http1/client.ts";
import type { FakeConnection } from "../../../src/protocol/http1/testing.ts";

export interface StreamUnderTest {
  readonly id: number;
  cancel(): void;
}

export interface ClientUnderTest {
  readonly capacity: number;
  /** Extended CONNECT is offered. */
  readonly tunnels: boolean;
  ask(request: HttpRequest, taker: ResponseTaker): StreamUnderTest;
}

export function flush(): void {}

export function connect(_connection: FakeConnection, _events: string[]): ClientUnderTest {
  throw new Error("not yet");
}
