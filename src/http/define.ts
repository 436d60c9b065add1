/** What a middleware is, and how one is defined. */
import type { z } from "zod";
import type { Log } from "../base/log.ts";
import type { Exchange } from "./exchange.ts";
import type { HttpResponse } from "./message.ts";

/** Answers an exchange. Throws or rejects with a Failure if it cannot. */
export type Handler = (exchange: Exchange) => HttpResponse | PromiseLike<HttpResponse>;

/** Wraps a handler. `next` is bound when the route is built, not per exchange. */
export type Middleware = (next: Handler) => Handler;

/** What a definition may use while it is built. */
export interface Scope {
  readonly log: Log;
  /** Folder of the config file: relative paths in options start here. */
  readonly directory: string;
  /** Runs when the generation that was built is dropped. */
  onDispose(dispose: () => void): void;
}

export interface MiddlewareDefinition<Options extends z.ZodType = z.ZodType> {
  /** As written in the config: kebab-case. */
  readonly name: string;
  /** One sentence for the docs page and the schema. */
  readonly summary: string;
  /** zod schema; each option has `.meta({ description })` or comes from base/option.ts. */
  readonly options: Options;
  /** True if it answers by itself and nothing after it in `use` is reached (`respond`, `redirect`, `files` …). */
  readonly responds?: boolean;
  /** With these options, as they are written in the config, it may hand on what it does not answer. */
  readonly mayHandOn?: (written: unknown) => boolean;
  create(options: z.output<Options>, scope: Scope): Middleware;
}

export function defineMiddleware<Options extends z.ZodType>(
  definition: MiddlewareDefinition<Options>,
): MiddlewareDefinition<Options> {
  return definition;
}
