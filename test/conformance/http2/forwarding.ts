/** A gateway in memory without its rules: the two engines of a relay, and what the far ends get to see. */
import type { Failure } from "../../../src/base/failure.ts";
import type { Handler } from "../../../src/http/define.ts";
import type { Exchange } from "../../../src/http/exchange.ts";
import type { FieldSection } from "../../../src/http/field-section.ts";
import type { HttpResponse } from "../../../src/http/message.ts";
import { PendingResponse } from "../../../src/http/pending-response.ts";
import type { ResponseTaker } from "../../../src/protocol/client-connection.ts";
import { Http1ClientConnection } from "../../../src/protocol/http1/client.ts";
import { Http1ServerConnection } from "../../../src/protocol/http1/server.ts";
import { CONTENT_LIMITS, FakeConnection, HEAD_LIMITS, settle } from "../../../src/protocol/http1/testing.ts";
import { flushFrames } from "../../../src/protocol/http2/frame-output.ts";

/** The response of one client connection as a handler returns it. */
export class Forwarded extends PendingResponse implements ResponseTaker {
  readonly #exchange: Exchange;
  /** How the content ended: "end" or the failure's code; "" while it flows. */
  ended = "";
  failed = "";

  constructor(exchange: Exchange) {
    super();
    this.#exchange = exchange;
  }

  onInterim(status: number, fields: FieldSection): void {
    this.#exchange.inform(status, fields);
  }

  onResponse(response: HttpResponse): void {
    this.resolve(response);
  }

  onFailed(failure: Failure): void {
    this.failed = failure.code;
    this.reject(failure);
  }

  onComplete(failure: Failure | null): void {
    this.ended = failure === null ? "end" : failure.code;
  }
}

/** An origin server that speaks HTTP/1.1: each exchange goes to a connection of its own. */
export class Http1Origin {
  readonly connections: FakeConnection[] = [];
  readonly forwarded: Forwarded[] = [];

  readonly handle: Handler = (exchange) => {
    const connection = new FakeConnection();
    const client = new Http1ClientConnection(
      connection,
      { head: HEAD_LIMITS, content: CONTENT_LIMITS },
      { idle() {}, gone() {}, fault: rethrow },
    );
    connection.handler = client;
    this.connections.push(connection);
    const forwarded = new Forwarded(exchange);
    this.forwarded.push(forwarded);
    exchange.waitsFor = { cancel: () => client.cancel() };
    client.send(exchange.request, exchange.request.authority, null, null, forwarded);
    return forwarded;
  };

  /** All that has arrived on the connection of an exchange. */
  arrived(index = 0): string {
    settle();
    return this.connections[index]?.taken() ?? "";
  }

  /** Answers, octet for octet. */
  answer(octets: string, index = 0): this {
    this.connections[index]!.arrive(octets);
    return this;
  }
}

/** A client that speaks HTTP/1.1, before a server engine with this handler. */
export class Http1Peer {
  readonly connection = new FakeConnection();
  /** Failures of heads that made no exchange. */
  readonly malformed: string[] = [];
  #received = "";

  constructor(handle: Handler) {
    this.connection.handler = new Http1ServerConnection(
      this.connection,
      { listener: "h1", peer: "192.0.2.1", peerPort: 1, localAddress: "192.0.2.2", localPort: 80, tls: null },
      {
        scheme: "http",
        head: HEAD_LIMITS,
        content: CONTENT_LIMITS,
        headTime: null,
        keepAliveTime: null,
        contentIdleTime: null,
        sendTime: null,
        continueTime: null,
        tunnelIdleTime: null,
        contentRate: 0,
      },
      {
        handle,
        finish() {},
        malformed: (_client, failure) => {
          this.malformed.push(failure.code);
        },
        closed() {},
        fault: rethrow,
        draining: false,
      },
    );
  }

  send(...pieces: string[]): this {
    for (const piece of pieces) {
      if (this.connection.fate === "open") this.connection.arrive(piece);
      flushFrames();
      settle();
    }
    return this;
  }

  /** All that was received. */
  get received(): string {
    flushFrames();
    settle();
    this.#received += this.connection.taken();
    return this.#received;
  }

  get statuses(): number[] {
    return [...this.received.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => Number(status));
  }
}

function rethrow(thrown: unknown): never {
  throw thrown;
}
