/** What the gateway sees of a client's connection, whatever it speaks. */
import { Member } from "../base/chain.ts";
import type { Failure } from "../base/failure.ts";
import type { ClientInfo } from "../http/exchange.ts";
import type { ExchangeHooks } from "./exchange-hooks.ts";

export abstract class ServerConnection extends Member {
  abstract readonly client: ClientInfo;
  /** Whose connection it is. */
  abstract readonly hooks: ExchangeHooks;
  /** The server stops: what is in work is finished, and nothing new begun. */
  abstract drain(): void;
  /** Ends now: an exchange without a response gets this failure, one in the middle of it is cut. */
  abstract terminate(why: Failure): void;
}
