/** Talks to a Lintel that runs, over its admin API. */
import http from "node:http";
import type { z } from "zod";
import type { problem } from "../admin/schemas.ts";
import { type Diagnostic, renderAll } from "../config/diagnostic.ts";
import { type Address, formatAddress } from "../net/address.ts";
import { CommandFailed } from "./command.ts";
import type { Terminal } from "./terminal.ts";

type ProblemDetails = Partial<z.output<typeof problem>>;

const LOOK_MS = 30_000;

/** Nobody listens there. */
export class Unreachable extends CommandFailed {
  constructor(
    readonly address: string,
    readonly reason: string,
  ) {
    super(`${address}: ${reason}`);
  }
}

/** The API has refused. */
export class Refused extends CommandFailed {
  constructor(
    readonly status: number,
    message: string,
    hint: string | null,
    readonly diagnostics: readonly Diagnostic[],
  ) {
    super(message, hint);
  }
}

export class ControlClient {
  /** As people write it. */
  readonly address: string;
  readonly #place: http.RequestOptions;
  readonly #token: string | null;

  constructor(address: Address, token: string | null) {
    this.address = formatAddress(address);
    this.#place =
      address.kind === "unix"
        ? { socketPath: address.path }
        : { host: address.host || "127.0.0.1", port: address.port };
    this.#token = token;
  }

  get<Answer>(path: string): Promise<Answer> {
    return this.#request("GET", path, undefined);
  }

  post<Answer>(path: string, content?: unknown): Promise<Answer> {
    return this.#request("POST", path, content);
  }

  patch<Answer>(path: string, content: unknown): Promise<Answer> {
    return this.#request("PATCH", path, content);
  }

  delete<Answer>(path: string): Promise<Answer> {
    return this.#request("DELETE", path, undefined);
  }

  /** @throws {Unreachable | Refused} */
  async #request<Answer>(method: string, path: string, content: unknown): Promise<Answer> {
    const { status, text } = await this.#exchange(method, path, content);
    let answer: unknown;
    try {
      answer = JSON.parse(text);
    } catch {
      throw new CommandFailed(
        `${this.address} answers, but not as Lintel's admin API does (status ${status})`,
        "name the right address with --admin",
      );
    }
    if (status < 400) return answer as Answer;
    throw refusal(status, answer as ProblemDetails);
  }

  /** By node:http: the runtime's own fetch would go through the proxy that HTTP_PROXY names. */
  #exchange(method: string, path: string, content: unknown): Promise<{ status: number; text: string }> {
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
    const headers: http.OutgoingHttpHeaders = { host: "localhost" };
    if (this.#token !== null) headers["authorization"] = `Bearer ${this.#token}`;
    const octets = content === undefined ? null : Buffer.from(JSON.stringify(content));
    if (octets !== null) {
      headers["content-type"] = "application/json";
      headers["content-length"] = octets.length;
    }
    const request = http.request({ ...this.#place, method, path, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => (text += piece));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      response.on("error", reject);
    });
    request.on("error", (error: NodeJS.ErrnoException) => {
      reject(new Unreachable(this.address, reasonOf(error)));
    });
    // Changes may take their time; a look may not.
    if (method === "GET") request.setTimeout(LOOK_MS, () => request.destroy(new Error("no answer within 30 s")));
    request.end(octets ?? undefined);
    return promise;
  }
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case "ENOENT":
      return "there is no such socket";
    case "ECONNREFUSED":
      return "nobody listens there";
    case "EACCES":
      return "you may not open it; it belongs to the user that Lintel runs as";
    default:
      return message;
  }
}

function refusal(status: number, { detail, hint = null, errors, diagnostics = [] }: ProblemDetails): Refused {
  if (status === 401) return new Refused(status, detail ?? "a token is needed", "give --token or set LINTEL_TOKEN", []);
  const first = errors?.find((one) => one.hint !== null)?.hint ?? null;
  return new Refused(status, detail ?? `the admin API answered ${status}`, hint ?? first, diagnostics);
}

/** Of an endpoint, with a further segment or without. */
export function endpointPath(upstream: string, address: string, more = ""): string {
  return `/v1/upstreams/${encodeURIComponent(upstream)}/endpoints/${encodeURIComponent(address)}${more}`;
}

/** Shows everything that is wrong with a config that was refused; the message follows as with any failure. */
export function showDiagnostics(thrown: unknown, terminal: Terminal): void {
  if (thrown instanceof Refused && thrown.diagnostics.length > 0)
    terminal.error(`${renderAll(thrown.diagnostics, terminal.errorPaint)}\n`);
}
