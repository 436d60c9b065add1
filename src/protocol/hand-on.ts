/** What a server engine does with an exchange and with a response, whatever it speaks. */
import { Failure } from "../base/failure.ts";
import type { BodySink, BodySource, Flow } from "../http/body.ts";
import type { Exchange } from "../http/exchange.ts";
import { HttpResponse } from "../http/message.ts";
import { PendingResponse, type ResponseWaiter } from "../http/pending-response.ts";
import type { ExchangeHooks } from "./exchange-hooks.ts";

/** Hands an exchange to the gateway. The engine is told what came of it once, maybe before this returns. */
export function handOn(exchange: Exchange, hooks: ExchangeHooks, engine: ResponseWaiter): void {
  let result: HttpResponse | PromiseLike<HttpResponse>;
  try {
    result = hooks.handle(exchange);
  } catch (thrown) {
    engine.onResponseFailed(thrown);
    return;
  }
  if (result instanceof HttpResponse) engine.onResponseReady(result);
  else if (result instanceof PendingResponse) result.waitFor(engine);
  else
    result.then(
      (response) => engine.onResponseReady(response),
      (thrown) => engine.onResponseFailed(thrown),
    );
}

/** Gives content back that nobody takes: its response came too late, or another is sent in its place. */
export function giveBack(content: BodySource): void {
  content.sendTo(UNWANTED);
}

const UNWANTED: BodySink = {
  begin(flow: Flow): void {
    flow.cancel(new Failure("client-closed", "the response is not wanted any more"));
  },
  write(): void {},
  end(): void {},
  abort(): void {},
};
