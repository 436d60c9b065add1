/** `lintel reload`: a running Lintel reads its config again. */
import type { z } from "zod";
import type { reloaded } from "../../admin/schemas.ts";
import { renderAll } from "../../config/diagnostic.ts";
import { type Command, UsageError } from "../command.ts";
import { showDiagnostics } from "../control-client.ts";
import { CONTROL_FLAGS, findControl } from "../find-control.ts";
import type { Terminal } from "../terminal.ts";

export const reload: Command = {
  name: "reload",
  summary: "Have a running Lintel read its config again.",
  parameters: "",
  flags: CONTROL_FLAGS,
  examples: [
    {
      line: "lintel reload",
      does: "Serves what the config says now, without losing a request; if it cannot be served, says why and changes nothing.",
    },
  ],
  async run({ flags, rest, terminal }) {
    if (rest.length > 0)
      throw new UsageError(`reload takes no parameters: ${rest.join(" ")}`, `did you mean --config ${rest[0]}?`);
    const client = await findControl(flags);
    return tellReload(() => client.post("/v1/reload"), terminal);
  },
};

/** Makes a reload and tells what came of it. @returns the exit code */
export async function tellReload(make: () => Promise<z.output<typeof reloaded>>, terminal: Terminal): Promise<number> {
  try {
    const { outcome, version, changes, diagnostics, tookMs } = await make();
    if (diagnostics.length > 0) terminal.error(renderAll(diagnostics, terminal.errorPaint));
    const name = version === null ? "" : ` (version ${version})`;
    if (outcome === "unchanged") terminal.out(`nothing to do: this config is served already${name}\n`);
    else if (changes.length === 0) terminal.out(`reloaded in ${Math.round(tookMs)} ms, nothing is different${name}\n`);
    else terminal.out(`reloaded in ${Math.round(tookMs)} ms${name}\n${changes.map((one) => `  ${one}\n`).join("")}`);
    return 0;
  } catch (thrown) {
    showDiagnostics(thrown, terminal);
    throw thrown;
  }
}
