/** What a command is. A new one is a file in commands/ and its line in commands/index.ts. */
import type { EarlySignals } from "../server/signals.ts";
import type { FlagSpec, Flags } from "./arguments.ts";
import type { Terminal } from "./terminal.ts";

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What comes after the flags, such as "[METHOD] URL"; "" for nothing. */
  readonly parameters: string;
  readonly flags: readonly FlagSpec[];
  /** Lines that work as they are, with what they do. */
  readonly examples: readonly { readonly line: string; readonly does: string }[];
  /** @returns the exit code: 0 fine, 1 the config or the run failed */
  run(invocation: Invocation): Promise<number>;
}

export interface Invocation {
  readonly flags: Flags;
  /** What is no flag. */
  readonly rest: readonly string[];
  readonly terminal: Terminal;
  /** Signals are listened to already. */
  readonly early?: EarlySignals | null;
}

/** The command makes sense, but cannot be done: shown without a pointer to the help, exit code 1. */
export class CommandFailed extends Error {
  constructor(
    message: string,
    readonly hint: string | null = null,
  ) {
    super(message);
  }
}

/** The command line makes no sense: shown with a pointer to the help, exit code 2. */
export class UsageError extends Error {
  constructor(
    message: string,
    readonly hint: string | null = null,
  ) {
    super(message);
  }
}
