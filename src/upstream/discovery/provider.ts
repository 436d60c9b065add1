/**
 * What a provider is: it knows which endpoints an upstream has, and says so again when that changes.
 * Providers run in the supervisor only; the endpoints written in the config are a provider that
 * publishes once.
 */
import type { z } from "zod";
import type { Log } from "../../base/log.ts";
import type { EndpointSpec } from "../endpoint-spec.ts";

/** The whole set, every time. One that could not be found out is not published: the last one stays. */
export type Publish = (endpoints: readonly EndpointSpec[]) => void;

export interface Provider {
  /** Begins; what it publishes first may come at once or later. */
  start(publish: Publish): void;
  /** Publishes nothing after this. */
  stop(): void;
}

export interface ProviderScope {
  readonly log: Log;
  /** Folder of the config file: relative paths start here. */
  readonly directory: string;
  /** Name of the upstream it works for. */
  readonly upstream: string;
}

export interface ProviderDefinition<Options extends z.ZodType = z.ZodType> {
  /** As written in the config: kebab-case. */
  readonly name: string;
  /** One sentence for the docs and the schema. */
  readonly summary: string;
  readonly options: Options;
  create(options: z.output<Options>, scope: ProviderScope): Provider;
}

export function defineProvider<Options extends z.ZodType>(
  definition: ProviderDefinition<Options>,
): ProviderDefinition<Options> {
  return definition;
}
