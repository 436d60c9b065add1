/** For tests of middlewares: exchanges and an origin server without sockets. */
import { Failure } from "../base/failure.ts";
import { SILENT } from "../base/log.ts";
import { type BodySink, type BodySource, collect, type Flow, MemoryBody, NO_BODY } from "../http/body.ts";
import type { Handler, Middleware, MiddlewareDefinition, Scope } from "../http/define.ts";
import { type ClientInfo, Exchange } from "../http/exchange.ts";
import { FieldSection } from "../http/field-section.ts";
import { HttpRequest, HttpResponse } from "../http/message.ts";

type Fields = Readonly<Record<string, string | readonly string[]>>;

interface RequestParts {
  readonly method?: string;
  readonly fields?: Fields;
  readonly body?: BodySource;
  readonly scheme?: "http" | "https";
  readonly authority?: string;
}

const CLIENT: ClientInfo = {
  listener: "http",
  peer: "192.0.2.1",
  peerPort: 50000,
  localAddress: "198.51.100.1",
  localPort: 80,
  tls: null,
};

export function request(target: string, parts: RequestParts = {}): Exchange {
  const { method = "GET", fields = {}, body = NO_BODY, scheme = "http", authority = "example.com" } = parts;
  return new Exchange(
    CLIENT,
    "HTTP/1.1",
    new HttpRequest(method, scheme, authority, target, FieldSection.of(fields), body),
    0,
  );
}

export function get(target = "/", fields: Fields = {}): Exchange {
  return request(target, { fields });
}

export function head(target = "/", fields: Fields = {}): Exchange {
  return request(target, { method: "HEAD", fields });
}

/** A POST with so many octets of known length, or with this body. */
export function post(content: number | BodySource): Exchange {
  const body = typeof content === "number" ? new MemoryBody(new Uint8Array(content)) : content;
  return request("/", { method: "POST", body });
}

/** Content of unknown length, in chunks of these sizes. */
export class ChunkedBody implements BodySource {
  readonly length = null;
  readonly sizes: readonly number[];
  cancelled: Failure | null = null;

  constructor(...sizes: number[]) {
    this.sizes = sizes;
  }

  sendTo(sink: BodySink): void {
    sink.begin({
      pause() {},
      resume() {},
      cancel: (why) => {
        this.cancelled = why;
      },
    });
    for (const size of this.sizes) {
      if (this.cancelled !== null) return;
      sink.write(new Uint8Array(size));
    }
    if (this.cancelled === null) sink.end(null);
  }
}

/** What the origin server saw of the last request. */
interface Seen {
  target: string;
  fields: FieldSection;
  /** Octets of content. */
  received: number;
  /** "" until the content is at its end, then "complete" or the code of the failure that cut it. */
  outcome: string;
}

/** A handler that takes the request's content and gives this response. */
export function origin(status = 200, fields: Fields = {}, content: string | BodySource = "") {
  const seen: Seen = { target: "", fields: new FieldSection(), received: 0, outcome: "" };
  const handler: Handler = async (exchange) => {
    seen.target = exchange.request.target;
    seen.fields = exchange.request.fields;
    exchange.attempts = [
      {
        endpoint: "10.0.0.1:80",
        hedge: false,
        reused: false,
        startedAt: 0,
        connectedAt: 0,
        firstOctetAt: 0,
        status,
        failure: null,
      },
    ];
    exchange.request.body.sendTo({
      begin() {},
      write(octets) {
        seen.received += octets.length;
      },
      end() {
        seen.outcome = "complete";
      },
      abort(why) {
        seen.outcome = why.code;
      },
    });
    const body = typeof content === "string" ? MemoryBody.text(content) : content;
    return new HttpResponse(status, FieldSection.of(fields), body);
  };
  return { handler, seen };
}

/** A handler that must not be reached. */
export const unreachable: Handler = () => {
  throw new Error("the next handler was reached");
};

/** The options' text (as parsed from a config file) through the schema, then `create`. */
export function build(definition: MiddlewareDefinition, options: unknown, scope: Partial<Scope> = {}): Middleware {
  return definition.create(definition.options.parse(options), {
    log: SILENT,
    directory: "/",
    onDispose() {},
    ...scope,
  });
}

/** The messages of what is wrong with the options; [] if nothing is. */
export function problems(definition: MiddlewareDefinition, options: unknown): string[] {
  const result = definition.options.safeParse(options);
  if (result.success) return [];
  return result.error.issues.flatMap((issue) =>
    issue.code === "invalid_union" ? issue.errors.flat().map((one) => one.message) : [issue.message],
  );
}

const MAX_OCTETS = 64 * 1024 * 1024;

export function contentOf(response: HttpResponse): Promise<Buffer> {
  return collect(response.body, MAX_OCTETS, () => new Failure("internal", "more content than a test expects"));
}

export async function textOf(response: HttpResponse): Promise<string> {
  return (await contentOf(response)).toString("utf8");
}

/** A sink that takes nothing until it is told to, and counts. */
export class SlowSink implements BodySink {
  flow!: Flow;
  octets = 0;
  outcome = "";

  begin(flow: Flow): void {
    this.flow = flow;
  }

  write(octets: Uint8Array): void {
    this.octets += octets.length;
    this.flow.pause();
  }

  end(): void {
    this.outcome = "complete";
  }

  abort(why: Failure): void {
    this.outcome = why.code;
  }
}
