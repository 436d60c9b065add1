/** What an active check is: one question to one endpoint. Checks run in the supervisor only. */
import type { z } from "zod";
import type { EndpointSettings } from "../../endpoint-settings.ts";

/** What an upstream calls its origin servers, whichever endpoint it is. */
export interface CheckNames {
  /** `Host` of all requests; null: the endpoint's own, or the client's. */
  readonly authority: string | null;
  /** Name that is asked for in the TLS handshake; null: the endpoint's host. */
  readonly serverName: string | null;
}

export interface CheckTarget {
  /** "host:port" or "unix:/path", with the port the check is made at. */
  readonly address: string;
  /** Authority for those who ask for a name: the endpoint's own "host:port", "localhost" for a unix socket. */
  readonly host: string;
  /** What the upstream's exchanges call the endpoint, where that is not `host`. */
  readonly names?: CheckNames;
  /**
   * How connections of the upstream's exchanges are made, where that is not plain HTTP/1.1 and the check is made
   * at the same place: it is made over one of these unless its own options say otherwise.
   */
  readonly connections?: EndpointSettings;
}

export interface Check {
  /**
   * Asks once.
   * @returns null if it passed, else why not, in words for a log line; never rejects
   */
  run(target: CheckTarget, timeoutMs: number): Promise<string | null>;
}

export interface CheckDefinition<Options extends z.ZodType = z.ZodType> {
  /** As written in the config: `http`, `tcp`, `tls`. */
  readonly name: string;
  /** One sentence for the docs and the schema. */
  readonly summary: string;
  readonly options: Options;
  create(options: z.output<Options>): Check;
}

export function defineCheck<Options extends z.ZodType>(definition: CheckDefinition<Options>): CheckDefinition<Options> {
  return definition;
}
