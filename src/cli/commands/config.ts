/** `lintel config`: the versions of the config that a running Lintel has served. */
import type { z } from "zod";
import type { version, versionText } from "../../admin/schemas.ts";
import { type Command, CommandFailed, type Invocation, UsageError } from "../command.ts";
import type { ControlClient } from "../control-client.ts";
import { CONTROL_FLAGS, findControl } from "../find-control.ts";
import { columns, type Terminal } from "../terminal.ts";
import { tellReload } from "./reload.ts";

type Version = z.output<typeof version>;

export const config: Command = {
  name: "config",
  summary: "Versions of the config that a running Lintel has served: list, compare, roll back.",
  parameters: "history | show N | diff A [B] | rollback N",
  flags: [{ name: "json", value: null, summary: "With history: for scripts." }, ...CONTROL_FLAGS],
  examples: [
    { line: "lintel config history", does: "Lists the versions, newest first." },
    { line: "lintel config diff 3", does: "Shows what is different now from version 3; `diff 3 5`: between two." },
    {
      line: "lintel config rollback 3",
      does: "Serves version 3 again, as a new version. The config file stays as it is.",
    },
  ],
  async run(invocation) {
    const { flags, rest, terminal } = invocation;
    const [verb, ...words] = rest;
    switch (verb) {
      case "history":
        numbers(verb, words, 0, 0);
        return history(await findControl(flags), invocation);
      case "show": {
        const [number] = numbers(verb, words, 1, 1);
        const client = await findControl(flags);
        terminal.out((await client.get<z.output<typeof versionText>>(`/v1/config/versions/${number}`)).text);
        return 0;
      }
      case "diff": {
        const [from, to] = numbers(verb, words, 1, 2);
        return diff(await findControl(flags), from!, to, terminal);
      }
      case "rollback": {
        const [number] = numbers(verb, words, 1, 1);
        const client = await findControl(flags);
        return tellReload(() => client.post("/v1/config/rollback", { version: number }), terminal);
      }
      default:
        throw new UsageError(
          verb === undefined ? "config needs to know what to do" : `config has no ${JSON.stringify(verb)}`,
          "history, show N, diff A [B], rollback N",
        );
    }
  },
};

async function history(client: ControlClient, { flags, terminal }: Invocation): Promise<number> {
  const { versions } = await client.get<{ versions: Version[] }>("/v1/config/versions");
  if (flags.has("json")) terminal.out(`${JSON.stringify({ versions }, null, 2)}\n`);
  else if (versions.length === 0)
    terminal.out("No versions are kept (reload.versions is 0, or the state folder cannot be written).\n");
  else {
    const rows = versions.map(({ number, at, trigger, origin, hash, current }) => [
      `${current ? "*" : " "} ${number}`,
      at.replace("T", " ").replace(/\..*/, ""),
      trigger,
      origin,
      hash.slice(0, 8),
    ]);
    const [head, ...body] = columns([["  NUMBER", "SINCE (UTC)", "BECAUSE OF", "FROM", "HASH"], ...rows]).split(
      /(?<=\n)/,
    );
    terminal.out(
      terminal.paint.faint(head!) +
        body.map((line) => (line.startsWith("*") ? terminal.paint.strong(line) : line)).join(""),
    );
  }
  return 0;
}

async function diff(client: ControlClient, from: number, to: number | undefined, terminal: Terminal): Promise<number> {
  const newer = to ?? (await currentVersion(client));
  const { diff: text } = await client.get<{ diff: string }>(`/v1/config/diff?from=${from}&to=${newer}`);
  const { paint } = terminal;
  if (text === "") terminal.out(`versions ${from} and ${newer} say the same\n`);
  else
    terminal.out(
      text.replace(/^(?:([-+]{3} |@@)|(-)|(\+)).*$/gm, (line, head?: string, gone?: string) =>
        head !== undefined ? paint.faint(line) : gone !== undefined ? paint.error(line) : paint.strong(line),
      ),
    );
  return 0;
}

async function currentVersion(client: ControlClient): Promise<number> {
  const { versions } = await client.get<{ versions: Version[] }>("/v1/config/versions");
  const current = versions.find((one) => one.current);
  if (current !== undefined) return current.number;
  throw new CommandFailed("the config in force is not among the kept versions", "name two versions to compare");
}

function numbers(verb: string, words: readonly string[], least: number, most: number): number[] {
  if (words.length < least || words.length > most)
    throw new UsageError(
      most === 0 ? `config ${verb} takes nothing more` : `config ${verb} needs the number of a version`,
    );
  return words.map((word) => {
    if (/^[1-9]\d{0,8}$/.test(word)) return Number(word);
    throw new UsageError(`${JSON.stringify(word)} is not the number of a version`, "lintel config history lists them");
  });
}
