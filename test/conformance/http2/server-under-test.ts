/** The server that the suite is run against. */
import { type FakeConnection, HEAD_LIMITS } from "../../../src/protocol/http1/testing.ts";
import { DEFAULT_FLOOD_LIMITS } from "../../../src/protocol/http2/floods.ts";
import { flushFrames } from "../../../src/protocol/http2/frame-output.ts";
import { Http2ServerConnection } from "../../../src/protocol/http2/server.ts";
import type { Application } from "./application.ts";

export interface ServerUnderTest {
  drain(): void;
}

/** The turn of the event loop is over. */
export function flush(): void {
  flushFrames();
}

export function serve(connection: FakeConnection, application: Application): ServerUnderTest {
  const server = new Http2ServerConnection(
    connection,
    { listener: "h2", peer: "192.0.2.1", peerPort: 1, localAddress: "192.0.2.2", localPort: 80, tls: null },
    {
      scheme: "http",
      head: HEAD_LIMITS,
      trailerOctets: 8192,
      maxStreams: 100,
      streamWindowOctets: 65_535,
      connectionWindowOctets: 200_000,
      floods: { ...DEFAULT_FLOOD_LIMITS, frames: 10_000 },
      headTime: null,
      keepAliveTime: null,
      contentIdleTime: null,
      sendTime: null,
      continueTime: null,
      tunnelIdleTime: null,
      settingsTime: null,
      maxAgeTimes: [],
      contentRate: 0,
    },
    {
      handle: application.handle,
      finish: () => {
        application.finished++;
      },
      malformed: () => {
        application.malformed++;
      },
      closed() {},
      fault(thrown) {
        throw thrown;
      },
      draining: false,
    },
  );
  connection.handler = server;
  return server;
}
