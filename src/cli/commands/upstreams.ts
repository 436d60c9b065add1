/** `lintel upstreams`: looks at the endpoints of a running Lintel, adds and removes some. */
import { type Command, type Invocation, UsageError } from "../command.ts";
import { type ControlClient, endpointPath } from "../control-client.ts";
import { type UpstreamAnswer, upstreamTable } from "../endpoint-table.ts";
import { CONTROL_FLAGS, findControl } from "../find-control.ts";

interface Change {
  /** Words after the sub-command. */
  readonly words: readonly string[];
  make(client: ControlClient, words: readonly string[], invocation: Invocation): Promise<UpstreamAnswer>;
}

const CHANGES: Readonly<Record<string, Change>> = {
  add: {
    words: ["UPSTREAM", "ADDRESS"],
    make: (client, [upstream, address], { flags }) =>
      client.post(`/v1/upstreams/${encodeURIComponent(upstream!)}/endpoints`, {
        address,
        ...(flags.has("weight") ? { weight: readWeight(flags.get("weight")!) } : {}),
        ...(flags.has("backup") ? { backup: true } : {}),
        ...persisted(flags.has("persist")),
      }),
  },
  remove: {
    words: ["UPSTREAM", "ADDRESS"],
    make: (client, [upstream, address], { flags }) =>
      client.delete(`${endpointPath(upstream!, address!)}${flags.has("persist") ? "?persist=true" : ""}`),
  },
  weight: {
    words: ["UPSTREAM", "ADDRESS", "WEIGHT"],
    make: (client, [upstream, address, weight], { flags }) =>
      client.patch(endpointPath(upstream!, address!), {
        weight: weight === "default" ? null : readWeight(weight!),
        ...persisted(flags.has("persist")),
      }),
  },
  restore: {
    words: ["UPSTREAM", "ADDRESS"],
    make: (client, [upstream, address]) => client.post(endpointPath(upstream!, address!, "/restore")),
  },
};

export const upstreams: Command = {
  name: "upstreams",
  summary: "Show the endpoints of a running Lintel; add and remove some.",
  parameters: "[NAME] | add|remove|restore UPSTREAM ADDRESS | weight UPSTREAM ADDRESS WEIGHT",
  flags: [
    { name: "json", value: null, summary: "For scripts: as the admin API answers." },
    { name: "persist", value: null, summary: "Keep the change over restarts." },
    { name: "weight", value: "N", summary: "With add: its share, 0 to 1000." },
    { name: "backup", value: null, summary: "With add: used only while no other is usable." },
    ...CONTROL_FLAGS,
  ],
  examples: [
    { line: "lintel upstreams", does: "Shows all endpoints: condition, load, latency, last check." },
    { line: "lintel upstreams add app 10.0.0.3:8080 --weight 2", does: "Adds one until the next restart." },
    {
      line: "lintel upstreams remove app 10.0.0.2:8080 --persist",
      does: "Takes one out for good, whatever the config says.",
    },
    {
      line: "lintel upstreams weight app 10.0.0.1:8080 5",
      does: "Changes its share; `default` for what the config says.",
    },
    {
      line: "lintel upstreams restore app 10.0.0.2:8080",
      does: "Undoes all that was said of it: as in the config again.",
    },
  ],
  async run(invocation) {
    const { flags, rest, terminal } = invocation;
    const show = (list: readonly UpstreamAnswer[]) =>
      terminal.out(list.map((one) => upstreamTable(one, terminal.paint)).join("\n"));
    if (rest.length > 1) {
      const changed = await change(invocation);
      if (flags.has("json")) terminal.out(`${JSON.stringify(changed, null, 2)}\n`);
      else show([changed]);
      return 0;
    }
    for (const name of ["persist", "weight", "backup"])
      if (flags.has(name))
        throw new UsageError(`--${name} is for changes`, `such as: lintel upstreams add app 10.0.0.3:8080`);
    const client = await findControl(flags);
    const [name] = rest;
    if (name === undefined) {
      const answer = await client.get<{ upstreams: UpstreamAnswer[] }>("/v1/upstreams");
      if (flags.has("json")) terminal.out(`${JSON.stringify(answer, null, 2)}\n`);
      else if (answer.upstreams.length === 0) terminal.out("There are no upstreams.\n");
      else show(answer.upstreams);
      return 0;
    }
    const answer = await client.get<UpstreamAnswer>(`/v1/upstreams/${encodeURIComponent(name)}`);
    if (flags.has("json")) terminal.out(`${JSON.stringify(answer, null, 2)}\n`);
    else show([answer]);
    return 0;
  },
};

async function change(invocation: Invocation): Promise<UpstreamAnswer> {
  const [verb, ...words] = invocation.rest as [string, ...string[]];
  const found = Object.hasOwn(CHANGES, verb) ? CHANGES[verb]! : null;
  if (found === null)
    throw new UsageError(`upstreams shows one upstream, or changes one: ${Object.keys(CHANGES).join(", ")}`);
  if (words.length !== found.words.length)
    throw new UsageError(
      `upstreams ${verb} needs ${found.words.join(" ")}`,
      `such as: lintel upstreams ${verb} ${SAMPLE[verb]}`,
    );
  if (verb !== "add" && (invocation.flags.has("weight") || invocation.flags.has("backup")))
    throw new UsageError("--weight and --backup are for add");
  return found.make(await findControl(invocation.flags), words, invocation);
}

const SAMPLE: Readonly<Record<string, string>> = {
  add: "app 10.0.0.3:8080",
  remove: "app 10.0.0.3:8080",
  restore: "app 10.0.0.3:8080",
  weight: "app 10.0.0.3:8080 5",
};

function readWeight(text: string): number {
  if (/^\d{1,4}$/.test(text) && Number(text) <= 1000) return Number(text);
  throw new UsageError(`${JSON.stringify(text)} is not a weight: weights are 0 to 1000`);
}

/** Without the flag it stays as it is. */
const persisted = (wanted: boolean) => (wanted ? { persist: true } : {});
