/**
 * `grpc-web` lets browsers call services of gRPC: it makes calls of gRPC-Web into calls of gRPC on
 * their way to the origin server, and the answers into those of gRPC-Web. Messages pass as they come; of
 * the last word of a call, which gRPC puts into trailers, it makes a last frame of the content, since
 * browsers see no trailers. What is no call of gRPC-Web passes untouched.
 *
 * Both kinds: `application/grpc-web`, whose content is frames, and `application/grpc-web-text`, where it
 * is in base64. CORS is not its business.
 *
 * PROTOCOL-WEB.md of the gRPC project.
 */
import { z } from "zod";
import { Failure } from "../../base/failure.ts";
import { NO_BODY } from "../../http/body.ts";
import { defineMiddleware, type Handler } from "../../http/define.ts";
import { failureResponse } from "../../http/error-response.ts";
import type { Exchange } from "../../http/exchange.ts";
import { GRPC, grpcAnswer, isGrpc } from "../../http/grpc.ts";
import type { HttpResponse } from "../../http/message.ts";
import { dropContent } from "../answer.ts";
import { Base64Decoder } from "./base64-decoder.ts";
import { WebContent } from "./web-content.ts";

const options = z.strictObject({}).prefault({}).meta({ description: "There is nothing to set." });

export const grpcWeb = defineMiddleware({
  name: "grpc-web",
  summary: "Makes calls of gRPC-Web, as browsers make them, into calls of gRPC.",
  options,
  create() {
    return (next) => (exchange) => {
      const call = callOf(exchange);
      return call === null ? next(exchange) : relay(next, exchange, call);
    };
  },
});

/** A call of gRPC-Web. */
interface Call {
  /** Format of its messages as in the media type, such as "+proto"; maybe "". */
  readonly format: string;
  /** The request is in base64. */
  readonly isText: boolean;
  /** The response is to be. */
  readonly wantsText: boolean;
}

const WEB = /^application\/grpc-web(-text)?(\+[a-z0-9.+-]+)?[ \t]*(?:;|$)/i;

function callOf({ request }: Exchange): Call | null {
  if (request.method !== "POST") return null;
  const type = WEB.exec(request.fields.get("content-type") ?? "");
  if (type === null) return null;
  const [, text, format = ""] = type;
  const isText = text !== undefined;
  const accepts = request.fields.get("accept") ?? "";
  const wantsText = accepts.includes("application/grpc-web") ? accepts.includes("application/grpc-web-text") : isText;
  return { format, isText, wantsText };
}

async function relay(next: Handler, exchange: Exchange, call: Call): Promise<HttpResponse> {
  const { request } = exchange;
  const asked = request.fields.get("content-type")!;
  request.fields.set("content-type", GRPC + call.format);
  request.acceptsTrailers = true;
  if (call.isText && request.body !== NO_BODY) request.body = new Base64Decoder(request.body);
  const contentType = `${GRPC}-web${call.wantsText ? "-text" : ""}${call.format}`;
  let response: HttpResponse;
  try {
    response = await next(exchange);
  } catch (thrown) {
    const failure = Failure.from(thrown);
    // Whoever went away gets no answer; a fault of ours is the engine's to tell.
    if (failure.status === 499 || failure.code === "internal") {
      // It answers a call of gRPC with a status of gRPC, and no browser reads that.
      request.fields.set("content-type", asked);
      throw thrown;
    }
    exchange.failure ??= failure;
    response = failureResponse(failure);
  }
  if (isGrpc(response.fields)) {
    response.fields.set("content-type", contentType);
    // Without messages, the status stands in the head already.
    if (response.body !== NO_BODY) response.body = new WebContent(response.body, exchange, call.wantsText);
    return response;
  }
  const answer = grpcAnswer(exchange, response, contentType);
  if (answer === null) return response;
  dropContent(response.body);
  return answer;
}
