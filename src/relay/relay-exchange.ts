/**
 * A connection or a session as an exchange: what balancers, variables and logs know it by. It has no
 * request: what is carried is nobody's business here.
 */
import { clock } from "../base/timer.ts";
import { NO_BODY } from "../http/body.ts";
import { type ClientInfo, Exchange, type TlsFacts } from "../http/exchange.ts";
import { FieldSection } from "../http/field-section.ts";
import { HttpRequest } from "../http/message.ts";

/** Nobody changes it: there are no middlewares at layer 4. */
const NO_REQUEST = new HttpRequest("", "http", "", "", new FieldSection(), NO_BODY);

/** @param startedAt when the connection was accepted, in ms of `clock` */
export function relayExchange(protocol: "TCP" | "UDP", client: ClientInfo, startedAt = clock.now): Exchange {
  return new Exchange(client, protocol, NO_REQUEST, startedAt);
}

/** What is known of TLS that passes through: only what the client asks for. */
export const passingTls = (serverName: string): TlsFacts => ({
  version: "",
  cipher: "",
  serverName,
  alpn: "",
  resumed: false,
  rules: "",
  clientCertificate: null,
});
