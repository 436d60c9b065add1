/** `lintel run`: serves until it is told to stop. */
import { dirname, resolve } from "node:path";
import { DEVELOPMENT_NAMES } from "../../acme/local-ca.ts";
import { startAdmin } from "../../admin/server.ts";
import type { ConfigOrigin } from "../../config/load.ts";
import { isIp } from "../../net/address.ts";
import { Handover } from "../../server/handover.ts";
import { watchParent } from "../../server/parent.ts";
import { Signals } from "../../server/signals.ts";
import { succeed } from "../../server/successor.ts";
import { runSupervisor } from "../../server/supervisor.ts";
import { programCommand } from "../../server/upgrade.ts";
import { processLog } from "../../telemetry/process-log.ts";
import { NameSet } from "../../tls/name-table.ts";
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
    {
      name: "tls",
      value: "HOST",
      summary: "With --to: serve HTTPS for this host, with a certificate that comes by itself.",
      many: true,
    },
    {
      name: "listen-tls",
      value: "ADDR",
      summary: 'Listen there for HTTPS. Default: ":443", or ":8443" for development names.',
    },
    {
      name: "acme-email",
      value: "EMAIL",
      summary: "Public certificates are got from Let's Encrypt; its terms are agreed to.",
    },
    { name: "workers", value: "N", summary: "Number of worker processes. Default: one per core." },
  ],
  examples: [
    { line: "lintel run", does: "Serves what the config in this folder says." },
    {
      line: "lintel run --to localhost:3000 --listen :80",
      does: "Puts Lintel in front of one application, without a config.",
    },
    {
      line: "lintel run --to localhost:3000 --tls localhost",
      does: "HTTPS while you develop, by a local CA; `lintel trust` has the system believe it.",
    },
    {
      line: "lintel run --to localhost:3000 --tls example.com --acme-email me@example.com",
      does: "HTTPS for everybody, on ports 80 and 443.",
    },
  ],
  async run({ flags, rest, terminal, early = null }) {
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
    const signals = new Signals(early);
    if (command.launcher !== null) watchParent(command.launcher, () => signals.stop("the launcher is gone"));
    const begin = async () => {
      const prepare = async () => usable(await originOf(flags), terminal, start);
      const prepared = await Promise.race([prepare(), signals.first.then(() => "stopped" as const)]);
      if (prepared === "stopped") return prepared;
      if (prepared === null) return 1;
      const { config, tree, origin, directory, files } = prepared;
      const loadTree = (kept: unknown, name: string, before: unknown) =>
        load({ tree: kept, origin: name }, directory, before);
      const facts = { tree, origin, directory, config, file, files };
      return runSupervisor({ ...facts, load: read, loadTree, command, handover, signals, startAdmin });
    };
    if (handover === null) {
      const code = await begin();
      return code === "stopped" ? 0 : code;
    }
    return succeed(handover, begin, signals, command, processLog({ level: "info", format: "text" }));
  },
};

/** The file as it is, or a tree with what the flags say. */
async function originOf(flags: Flags): Promise<ConfigOrigin> {
  const to = flags.all("to");
  if (to.length > 0) {
    if (flags.has("config")) throw new UsageError("--to serves without a config: leave out --config");
    return { tree: overridden(quickTree(to, flags), flags), origin: "command line" };
  }
  for (const name of ["tls", "listen-tls", "acme-email"])
    if (flags.has(name)) throw new UsageError(`--${name} goes with --to: a config says it under "tls"`);
  const file = configFile(flags);
  if (!flags.has("listen") && !flags.has("workers")) return { file };
  const prepared = await load({ file });
  // What is wrong in the file is better shown there.
  if (prepared.config === null) return { file };
  return { tree: overridden(prepared.tree as Tree, flags), origin: file };
}

type Tree = Readonly<Record<string, unknown>>;

/** What `--to` serves, and for which hosts over HTTPS. */
function quickTree(to: readonly string[], flags: Flags): Tree {
  const target = to.length === 1 ? to[0] : to;
  const hosts = flags.all("tls");
  const email = flags.get("acme-email");
  if (hosts.length === 0) {
    for (const name of ["listen-tls", "acme-email"])
      if (flags.has(name)) throw new UsageError(`--${name} goes with --tls HOST`);
    return { sites: [{ to: target }] };
  }
  const development = new NameSet(DEVELOPMENT_NAMES);
  const isPublic = (host: string) => !development.has(host.toLowerCase()) && !isIp(host);
  const outside = hosts.find(isPublic);
  if (outside !== undefined && email === null)
    throw new UsageError(
      `who certifies ${outside}? Only development names (localhost, *.test) do without a public CA`,
      "add --acme-email you@example.com, and certificates come from Let's Encrypt",
    );
  const [plain, secure] = outside === undefined ? [":8080", ":8443"] : [":80", ":443"];
  return {
    listeners: [
      { name: "http", address: flags.get("listen") ?? plain },
      { name: "https", address: flags.get("listen-tls") ?? secure, tls: true },
    ],
    tls: { local: true, ...(email === null ? {} : { acme: { email } }) },
    sites: [{ hosts: hosts.map((host) => (host.includes(":") && isIp(host) ? `[${host}]` : host)), to: target }],
  };
}

function overridden(tree: Tree, flags: Flags): Tree {
  const workers = flags.get("workers");
  const listen = flags.get("listen");
  return {
    ...tree,
    ...(workers === null ? {} : { workers }),
    ...(listen === null || flags.has("tls") ? {} : { listeners: [listener(tree["listeners"], listen)] }),
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
