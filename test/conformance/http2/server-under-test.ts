/** The server that the suite is run against. */
import type { FakeConnection } from "../../../src/protocol/http1/testing.ts";
import type { Application } from "./application.ts";

export interface ServerUnderTest {
  drain(): void;
}

export function serve(_connection: FakeConnection, _application: Application): ServerUnderTest {
  throw new Error("not yet");
}
