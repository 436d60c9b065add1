/** `lintel schema`: the config's JSON Schema. */
import { jsonSchema } from "../../config/json-schema.ts";
import { catalog } from "../catalog.ts";
import { type Command, UsageError } from "../command.ts";

export const schema: Command = {
  name: "schema",
  summary: "Print the JSON Schema of the config, for editors.",
  parameters: "",
  flags: [],
  examples: [
    {
      line: "lintel schema > lintel.schema.json",
      does: "Writes it to a file; `# yaml-language-server: $schema=lintel.schema.json` at the top of lintel.yaml uses it.",
    },
  ],
  async run({ rest, terminal }) {
    if (rest.length > 0) throw new UsageError(`schema takes no parameters: ${rest.join(" ")}`);
    terminal.out(`${JSON.stringify(jsonSchema(catalog), null, 2)}\n`);
    return 0;
  },
};
