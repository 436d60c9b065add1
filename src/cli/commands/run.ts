/** `lintel run`: serves until it is told to stop. */
import { dirname, resolve } from "node:path";
import { startAdmin } from "../../admin/server.ts";
import type { ConfigOrigin } from "../../config/load.ts";
import { Handover } from "../../server/handover.ts";
import { succeed } from "../../server/successor.ts";
import { runSupervisor } from "../../server/supervisor.ts";
import { programCommand } from "../../server/upgrade.ts";
import { processLog } from "../../telemetry/process-log.ts";
import type { Flags } from "../arguments.ts";
import { type Command, UsageError } from "../command.ts";
import { CONFIG, configFile, load, usable } from "../prepare.ts";

export const run: Command = {
  name: "run",
  summary: "Serve.",
  parameters: "",
  flags: [
    CONFIG,
    { name: "to", value: "HOST:PORT", summary: "Serve without a config: send everything there.", many: true },
    { name: "listen", value: "ADDR", summary: 'Listen there instead, such as ":8080" or "127.0.0.1:80".' },
    { name: "workers", value: "N", summary: "Number of worker processes. Default: one per core." },
  ],
  examples: [
    { line: "lintel run", does: "Serves what the config in this folder says." },
    {
      line: "lintel run --to localhost:3000 --listen :80",
      does: "Puts Lintel in front of one application, without a config.",
    },
  ],
  async run({ flags, rest, terminal }) {
    if (rest.length > 0)
      throw new UsageError(
        `run takes no parameters: ${rest.join(" ")}`,
        rest.length === 1 ? `did you mean --config ${rest[0]} or --to ${rest[0]}?` : null,
      );
    const handover = Handover.take();
    const file = flags.has("to") ? null : resolve(configFile(flags));
    // A successor must find the file from wherever it is started.
    const command = programCommand(process.argv.slice(2), file === null ? ["version"] : ["check", file]);
    // Relative paths start at the file, also where flags change what it says.
    const start = file === null ? process.cwd() : dirname(file);
    const read = async (before: unknown) => load(await originOf(flags), start, before);
    const begin = async () => {
      const prepared = await usable(await originOf(flags), terminal, start);
      if (prepared === null) return 1;
      const { config, tree, origin, directory, files } = prepared;
      const loadTree = (kept: unknown, name: string, before: unknown) =>
        load({ tree: kept, origin: name }, directory, before);
      const facts = { tree, origin, directory, config, file, files };
      return runSupervisor({ ...facts, load: read, loadTree, command, handover, startAdmin });
    };
    if (handover === null) return begin();
    return succeed(handover, begin, command, processLog({ level: "info", format: "text" }));
  },
};

/** The file as it is, or a tree with what the flags say. */
async function originOf(flags: Flags): Promise<ConfigOrigin> {
  const to = flags.all("to");
  if (to.length > 0) {
    if (flags.has("config")) throw new UsageError("--to serves without a config: leave out --config");
    return { tree: overridden({ sites: [{ to: to.length === 1 ? to[0] : to }] }, flags), origin: "command line" };
  }
  const file = configFile(flags);
  if (!flags.has("listen") && !flags.has("workers")) return { file };
  const prepared = await load({ file });
  // What is wrong in the file is better shown there.
  if (prepared.config === null) return { file };
  return { tree: overridden(prepared.tree as Tree, flags), origin: file };
}

type Tree = Readonly<Record<string, unknown>>;

function overridden(tree: Tree, flags: Flags): Tree {
  const workers = flags.get("workers");
  const listen = flags.get("listen");
  return {
    ...tree,
    ...(workers === null ? {} : { workers }),
    ...(listen === null ? {} : { listeners: [listener(tree["listeners"], listen)] }),
  };
}

/** The config's only listener at another address; it keeps its name, which sites may refer to. */
function listener(listeners: unknown, address: string): unknown {
  if (!Array.isArray(listeners) || listeners.length === 0) return { name: "http", address };
  if (listeners.length > 1)
    throw new UsageError(`--listen replaces one listener, and the config has ${listeners.length}`);
  const only: unknown = listeners[0];
  if (typeof only === "string") return { name: only, address };
  const { name, address: before, ...more } = only as Tree;
  return { ...more, name: name ?? before, address };
}
