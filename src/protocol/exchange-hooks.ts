/** What the engine of a server connection is handed, whatever it speaks; it knows nothing above. */
import type { Failure } from "../base/failure.ts";
import type { Handler } from "../http/define.ts";
import type { ClientInfo, Exchange } from "../http/exchange.ts";
import type { Connection } from "../net/connection.ts";
import type { ServerConnection } from "./server-connection.ts";

export interface ExchangeHooks {
  readonly handle: Handler;
  /** Called once per exchange, when nothing of it is left to do. */
  finish(exchange: Exchange): void;
  /** A head that made no exchange. @param octets what was read of it */
  malformed(client: ClientInfo, failure: Failure, octets: number): void;
  /** The connection is gone. */
  closed(connection: ServerConnection): void;
  /** A handler threw something that is not a Failure. */
  fault(thrown: unknown): void;
  /**
   * The connection began with the preface of HTTP/2 (RFC 9113 §3.3): another engine goes on with these
   * octets, and `from` is done. Without this the preface is refused as a version that is not spoken.
   */
  switchToHttp2?(from: ServerConnection, connection: Connection, octets: Buffer): void;
  /** True while the server stops: no connection is kept alive. */
  readonly draining: boolean;
}
