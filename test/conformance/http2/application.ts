/** What the server under test serves, and what it got to see of each request. */
import { createHash } from "node:crypto";
import type { Failure } from "../../../src/base/failure.ts";
import { type BodySink, type BodySource, type Flow, MemoryBody, NO_BODY } from "../../../src/http/body.ts";
import type { Handler } from "../../../src/http/define.ts";
import type { Exchange } from "../../../src/http/exchange.ts";
import { FieldSection } from "../../../src/http/field-section.ts";
import { HttpResponse, type Tunnel } from "../../../src/http/message.ts";
import { PendingResponse } from "../../../src/http/pending-response.ts";

/** One request as the handler saw it. */
export class SeenRequest implements BodySink {
  readonly exchange: Exchange;
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
  content = "";
  trailers: readonly (readonly [name: string, value: string])[] = [];
  /** "end" if the content was complete, the failure's code if it was cut, "" while it flows. */
  ended = "";
  /** The engine said that nobody waits any more. */
  aborted = false;
  whenEnded: () => void = () => {};

  constructor(exchange: Exchange) {
    this.exchange = exchange;
    const { request } = exchange;
    this.method = request.method;
    this.target = request.target;
    this.authority = request.authority;
    this.fields = [...request.fields];
    exchange.onAbort(() => (this.aborted = true));
  }

  begin(_flow: Flow): void {}

  write(octets: Uint8Array): void {
    this.content += Buffer.from(octets).toString("latin1");
  }

  end(trailers: FieldSection | null): void {
    this.ended = "end";
    this.trailers = trailers === null ? [] : [...trailers];
    this.whenEnded();
  }

  abort(why: Failure): void {
    this.ended = why.code;
  }
}

class Answer extends PendingResponse {
  answer(response: HttpResponse): void {
    this.resolve(response);
  }
}

/** A tunnel that sends back what it gets. */
class Mirror implements Tunnel, BodySource, BodySink {
  readonly length = null;
  #sink: BodySink | null = null;

  accept(fromClient: BodySource): void {
    fromClient.sendTo(this);
  }

  sendTo(sink: BodySink): void {
    this.#sink = sink;
    sink.begin({ pause() {}, resume() {}, cancel() {} });
  }

  begin(): void {}

  write(octets: Uint8Array): void {
    this.#sink!.write(octets);
  }

  end(): void {
    this.#sink!.end(null);
  }

  abort(why: Failure): void {
    this.#sink!.abort(why);
  }
}

/** What a server under test is given. */
export class Application {
  readonly requests: SeenRequest[] = [];
  finished = 0;
  malformed = 0;

  /** Requests that were complete when they were handed on. */
  get complete(): readonly SeenRequest[] {
    return this.requests.filter(({ ended }) => ended === "end");
  }

  handle: Handler = (exchange) => {
    const seen = new SeenRequest(exchange);
    this.requests.push(seen);
    const { request } = exchange;
    const [, what = "", argument = ""] = request.target.split("/");
    if (what === "untaken") return new Answer();
    if (what === "early") return new HttpResponse(200, FieldSection.of({ server: "early" }), MemoryBody.text("early"));
    if (request.method === "CONNECT" || request.upgrade !== null) return tunnel(exchange);
    const answer = new Answer();
    seen.whenEnded = () => {
      const response = this.#respond(exchange, what, argument, seen);
      if (response !== null) answer.answer(response);
    };
    request.body.sendTo(seen);
    return answer;
  };

  #respond(exchange: Exchange, what: string, argument: string, seen: SeenRequest): HttpResponse | null {
    switch (what) {
      case "":
        return new HttpResponse(200, FieldSection.of({ "x-mixed": "yes" }), MemoryBody.text("ok"));
      case "echo":
        return new HttpResponse(200, new FieldSection(), MemoryBody.text(seen.content));
      case "octets":
        return new HttpResponse(200, new FieldSection(), new MemoryBody(Buffer.alloc(Number(argument) || 0, "x")));
      case "status":
        return new HttpResponse(Number(argument), new FieldSection(), NO_BODY);
      case "hints":
        exchange.inform(103, FieldSection.of({ link: "</a>" }));
        return new HttpResponse(200, new FieldSection(), MemoryBody.text("hinted"));
      case "trailers":
        return new HttpResponse(200, new FieldSection(), new WithTrailers());
      case "http1-fields":
        return new HttpResponse(
          200,
          FieldSection.of({
            Connection: "close",
            "Keep-Alive": "timeout=5",
            "X-Mixed": "yes",
            "proxy-connection": "a",
          }),
          MemoryBody.text("ok"),
        );
      default:
        return null; // "/wait": never.
    }
  }
}

/** For CONNECT, and for Upgrade as HTTP/1.1 answers it (RFC 6455 §4.2.2). */
function tunnel({ request }: Exchange): HttpResponse {
  const mirror = new Mirror();
  const isConnect = request.method === "CONNECT" && request.upgrade === null;
  const response = new HttpResponse(isConnect ? 200 : 101, new FieldSection(), mirror);
  const key = request.fields.get("sec-websocket-key");
  if (request.upgrade !== null) response.fields.set("upgrade", request.upgrade);
  if (key !== undefined) {
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    response.fields.set("sec-websocket-accept", accept);
  }
  response.tunnel = mirror;
  return response;
}

class WithTrailers implements BodySource {
  readonly length = null;

  sendTo(sink: BodySink): void {
    sink.begin({ pause() {}, resume() {}, cancel() {} });
    sink.write(Buffer.from("content"));
    sink.end(FieldSection.of({ "X-Sum": "7" }));
  }
}
