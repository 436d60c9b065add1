/** What a config language is: a way from a file's text to nodes. */
import type { Diagnostic } from "./diagnostic.ts";
import type { Environment } from "./env.ts";
import type { ConfigNode } from "./node.ts";
import type { Span } from "./source.ts";

export interface Adapter {
  readonly name: string;
  /** File name endings, with the dot. */
  readonly extensions: readonly string[];
  /** May values hold `${NAME}`? A language with expressions of its own has no need. */
  readonly variables: boolean;
  /**
   * Reads a file's text. Never throws for what the text says.
   * @param file  name as shown in messages, relative to the working directory or absolute
   */
  read(text: string, file: string): Reading | Promise<Reading>;
  /**
   * What `read` would give, for a text about which there is nothing to say; null if it has to be read with places.
   * @param env to replace variables from; null: there are none in the text
   */
  readonly quick?: (text: string, file: string, env: Environment | null) => QuickReading | null;
}

export interface QuickReading {
  readonly tree: Readonly<Record<string, unknown>>;
  /** Reads it once more, with places. */
  node(): ConfigNode;
}

export interface Reading {
  /** null if nothing could be read; then there is an error. */
  readonly node: ConfigNode | null;
  readonly diagnostics: readonly Diagnostic[];
  /** Of values that could not be read, which the diagnostics say: what else they lack is not worth saying. */
  readonly refused?: readonly Span[];
}
