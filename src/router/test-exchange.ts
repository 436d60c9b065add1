/** Exchanges for the tests and benches of this room. */
import { NO_BODY } from "../http/body.ts";
import { type ClientInfo, Exchange, type Protocol } from "../http/exchange.ts";
import { FieldSection } from "../http/field-section.ts";
import { HttpRequest, type Scheme } from "../http/message.ts";

export interface RequestFacts {
  readonly method?: string;
  readonly scheme?: Scheme;
  readonly host?: string;
  readonly target?: string;
  readonly fields?: Readonly<Record<string, string | readonly string[]>>;
  readonly client?: string;
  readonly listener?: string;
  readonly protocol?: Protocol;
}

export function exchangeOf(facts: RequestFacts = {}): Exchange {
  const client: ClientInfo = {
    listener: facts.listener ?? "http",
    peer: facts.client ?? "192.0.2.1",
    peerPort: 40000,
    localAddress: "192.0.2.2",
    localPort: 80,
    tls: null,
  };
  const fields = FieldSection.of(facts.fields ?? {});
  const { method = "GET", scheme = "http", host = "a.example", target = "/", protocol = "HTTP/1.1" } = facts;
  return new Exchange(client, protocol, new HttpRequest(method, scheme, host, target, fields, NO_BODY), 0);
}
