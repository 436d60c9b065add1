/** Help texts. */
import { HELP } from "./arguments.ts";
import type { Command } from "./command.ts";
import { columns } from "./terminal.ts";

export function overview(commands: readonly Command[]): string {
  return [
    "Lintel, a reverse proxy.\n\n",
    "Usage: lintel COMMAND [FLAGS]\n\n",
    columns(
      commands.map((command) => [command.name, command.summary]),
      "  ",
    ),
    "\nEach command has --help with examples. To begin with:\n\n",
    "  lintel run --to localhost:3000\n",
  ].join("");
}

export function commandHelp({ name, summary, parameters, flags, examples }: Command): string {
  const rows = [...flags, HELP].map((flag) => {
    const short = flag.short === undefined ? "    " : `-${flag.short}, `;
    return [
      `${short}--${flag.name}${flag.value === null ? "" : ` ${flag.value}`}`,
      flag.summary + (flag.many === true ? " May be repeated." : ""),
    ];
  });
  const usage = ["lintel", name, flags.length > 0 ? "[FLAGS]" : "", parameters].filter((word) => word !== "").join(" ");
  return [
    `${summary}\n\nUsage: ${usage}\n\n`,
    columns(rows, "  "),
    `\nExample${examples.length === 1 ? "" : "s"}:\n\n`,
    examples.map(({ line, does }) => `  ${line}\n      ${does}\n`).join(""),
    "\nExit codes: 0 fine, 1 the config or the run failed, 2 the command line makes no sense.\n",
  ].join("");
}
