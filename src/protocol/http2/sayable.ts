/** What a response becomes where every exchange has a stream: in HTTP/2 and HTTP/3. */
import { Failure } from "../../base/failure.ts";
import { failureResponse } from "../../http/error-response.ts";
import type { Exchange } from "../../http/exchange.ts";
import { grpcAnswer, isGrpc } from "../../http/grpc.ts";
import type { HttpResponse } from "../../http/message.ts";
import { giveBack } from "../hand-on.ts";
import { endHandshake } from "./extended-connect.ts";

/**
 * The response as its client can understand it: itself, or another in its place. A client that asked for a tunnel
 * would take any success for one, and a client of gRPC makes nothing of an error page.
 * @param accept Sec-WebSocket-Accept that the origin server owes us; null: none
 */
export function sayable(exchange: Exchange, response: HttpResponse, accept: string | null): HttpResponse {
  let said = response;
  const refusal = refusalOf(exchange, response, accept);
  if (refusal !== null) {
    exchange.failure ??= refusal;
    said = failureResponse(refusal);
  }
  if (said.status >= 400 && isGrpc(exchange.request.fields)) said = grpcAnswer(exchange, said) ?? said;
  if (said !== response) giveBack(response.body);
  return said;
}

/** What cannot be said: a success means that the tunnel is open (RFC 9113 §8.5, RFC 8441 §5; RFC 9114 §4.4, RFC 9220 §3). */
function refusalOf({ request }: Exchange, response: HttpResponse, accept: string | null): Failure | null {
  const { status, tunnel, fields } = response;
  const asksForTunnel = request.upgrade !== null || request.method === "CONNECT";
  if (tunnel === null) {
    if (status === 101 || (asksForTunnel && status >= 200 && status < 300))
      return new Failure("upstream-malformed", `${status} instead of the tunnel that was asked for`);
    return null;
  }
  if (accept !== null && !endHandshake(accept, fields))
    return new Failure("upstream-malformed", "Sec-WebSocket-Accept does not answer our Sec-WebSocket-Key");
  return null;
}
