/** The command line, from its words to the exit code. */
import { nearest } from "../config/nearest.ts";
import type { EarlySignals } from "../server/signals.ts";
import { HELP, parseArguments } from "./arguments.ts";
import { CommandFailed, UsageError } from "./command.ts";
import { commands } from "./commands/index.ts";
import { commandHelp, overview } from "./help.ts";
import type { Terminal } from "./terminal.ts";

/**
 * Runs a command line (without the program's name).
 * @param early what was heard of signals so far, if somebody listens
 * @returns the exit code
 */
export async function main(
  words: readonly string[],
  terminal: Terminal,
  early: EarlySignals | null = null,
): Promise<number> {
  const [name, ...more] = words;
  if (name === undefined) {
    terminal.error(overview(commands));
    return 2;
  }
  if (name === "--help" || name === "-h" || name === "help") {
    const about = commands.find((command) => command.name === more[0]);
    terminal.out(about === undefined ? overview(commands) : commandHelp(about));
    return 0;
  }
  const wanted = name === "--version" || name === "-v" ? "version" : name;
  const command = commands.find((one) => one.name === wanted);
  try {
    if (command === undefined) {
      const near = nearest(
        name,
        commands.map((one) => one.name),
      );
      throw new UsageError(
        `there is no command ${JSON.stringify(name)}`,
        near === null ? null : `did you mean "${near}"?`,
      );
    }
    if (more.includes(`--${HELP.name}`) || more.includes(`-${HELP.short}`)) {
      terminal.out(commandHelp(command));
      return 0;
    }
    return await command.run({ ...parseArguments(more, command.flags), terminal, early });
  } catch (thrown) {
    if (!(thrown instanceof UsageError || thrown instanceof CommandFailed)) throw thrown;
    const { errorPaint } = terminal;
    terminal.error(`${errorPaint.error("lintel")}: ${thrown.message}\n`);
    if (thrown.hint !== null) terminal.error(`      ${errorPaint.faint("=")} ${thrown.hint}\n`);
    if (thrown instanceof CommandFailed) return 1;
    terminal.error(`Try: lintel ${command === undefined ? "" : `${command.name} `}--help\n`);
    return 2;
  }
}
