/** `lintel check`: everything that is wrong with a config, without running it. */
import { hasErrors, oneLine, renderAll, sortDiagnostics } from "../../config/diagnostic.ts";
import type { GatewayConfig } from "../../config/gateway-config.ts";
import { tryCertificates } from "../certificate-trial.ts";
import { type Command, UsageError } from "../command.ts";
import { CONFIG, configFile, prepare } from "../prepare.ts";

export const check: Command = {
  name: "check",
  summary: "Find everything that is wrong with a config.",
  parameters: "[FILE]",
  flags: [
    CONFIG,
    { name: "short", value: null, summary: "One line for each problem: file:line:column: error[code]: message." },
    { name: "strict", value: null, summary: "Fail on warnings too." },
  ],
  examples: [
    { line: "lintel check", does: "Checks the config in this folder." },
    {
      line: "lintel check --strict --short /etc/lintel/lintel.yaml",
      does: "For scripts: any problem is a failure, one line each.",
    },
  ],
  async run({ flags, rest, terminal }) {
    if (rest.length > 1) throw new UsageError(`check takes one file: ${rest.join(" ")}`);
    if (rest.length === 1 && flags.has("config"))
      throw new UsageError("the file is named twice: by --config and without");
    const file = rest[0] ?? configFile(flags);
    const prepared = await prepare({ file });
    const { config } = prepared;
    const tried = config === null ? [] : tryCertificates(config, prepared.directory);
    const diagnostics = sortDiagnostics(
      [...prepared.diagnostics, ...tried.map(({ path, problem }) => prepared.diagnose(path, problem))],
      prepared.files,
    );
    if (flags.has("short")) terminal.out(diagnostics.map((diagnostic) => `${oneLine(diagnostic)}\n`).join(""));
    else terminal.out(renderAll(diagnostics, terminal.paint));
    const failed = config === null || hasErrors(diagnostics) || (flags.has("strict") && diagnostics.length > 0);
    if (failed) return 1;
    terminal.out(`${file}: fine (${summary(config)})\n`);
    return 0;
  },
};

function summary({ listeners, sites, upstreams, tcp, udp }: GatewayConfig): string {
  const routes = [...sites, ...tcp, ...udp].reduce((sum, one) => sum + one.routes.length, 0);
  const count = (number: number, noun: string) => `${number} ${noun}${number === 1 ? "" : "s"}`;
  return [
    count(listeners.length, "listener"),
    count(sites.length, "site"),
    ...(tcp.length === 0 ? [] : [`${tcp.length} tcp`]),
    ...(udp.length === 0 ? [] : [`${udp.length} udp`]),
    count(routes, "route"),
    count(upstreams.length, "upstream"),
  ].join(", ");
}
