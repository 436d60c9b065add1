/** `lintel version`. */
import manifest from "../../../package.json" with { type: "json" };
import { type Command, UsageError } from "../command.ts";

export const version: Command = {
  name: "version",
  summary: "Print the version.",
  parameters: "",
  flags: [],
  examples: [{ line: "lintel version", does: "Prints the versions of Lintel and of the runtime under it." }],
  async run({ rest, terminal }) {
    if (rest.length > 0) throw new UsageError(`version takes no parameters: ${rest.join(" ")}`);
    terminal.out(`lintel ${manifest.version} (bun ${Bun.version}, ${process.platform} ${process.arch})\n`);
    return 0;
  },
};
