/** `lintel drain`, `enable`, `disable`: takes an endpoint of a running Lintel out of service and back. */
import { parseDuration } from "../../base/option.ts";
import type { Flags } from "../arguments.ts";
import { type Command, CommandFailed, UsageError } from "../command.ts";
import { type ControlClient, endpointPath } from "../control-client.ts";
import type { EndpointAnswer, UpstreamAnswer } from "../endpoint-table.ts";
import { CONTROL_FLAGS, findControl } from "../find-control.ts";
import type { Terminal } from "../terminal.ts";

const PERSIST = { name: "persist", value: null, summary: "Keep it so over restarts." };
const POLL_MS = 250;

export const drain: Command = {
  name: "drain",
  summary: "Let an endpoint finish what it has, and send it nothing new.",
  parameters: "UPSTREAM ADDRESS",
  flags: [
    {
      name: "deadline",
      value: "TIME",
      summary: "After it, clients bound to it (sticky) go elsewhere too, such as 30s.",
    },
    { name: "wait", value: null, summary: "Return when nothing is in flight there any more." },
    PERSIST,
    ...CONTROL_FLAGS,
  ],
  examples: [
    { line: "lintel drain app 10.0.0.2:8080", does: "New exchanges go to the others; what runs there finishes." },
    {
      line: "lintel drain app 10.0.0.2:8080 --deadline 30s --wait && systemctl restart app",
      does: "On the endpoint's machine: restarts it once nobody is waiting for it.",
    },
  ],
  async run({ flags, rest, terminal }) {
    const [upstream, address] = words("drain", rest);
    const deadline = flags.get("deadline");
    if (deadline !== null && parseDuration(deadline) === null)
      throw new UsageError(`${JSON.stringify(deadline)} is not a duration`, "write a number with ms, s, m, h or d");
    const client = await findControl(flags);
    const content = { ...duty("draining", flags), ...(deadline === null ? {} : { deadline }) };
    const changed = await client.patch<UpstreamAnswer>(endpointPath(upstream, address), content);
    if (!flags.has("wait")) {
      const { inFlight } = find(changed, address);
      terminal.out(`${upstream} ${address} drains: ${inFlight} in flight\n`);
      return 0;
    }
    if (changed.sticky && deadline === null)
      throw new CommandFailed(
        `it drains, but nobody can tell when it is done: clients are bound to ${address}, and come back to it`,
        "give a --deadline after which they go elsewhere",
      );
    await untilDrained(client, upstream, address, terminal);
    terminal.out(`${upstream} ${address} is drained\n`);
    return 0;
  },
};

export const disable: Command = dutyCommand(
  "disable",
  "disabled",
  "Send an endpoint nothing at all, not even what is bound to it.",
);
export const enable: Command = dutyCommand(
  "enable",
  "enabled",
  "Take an endpoint that was drained or disabled back into service.",
);

function dutyCommand(name: "enable" | "disable", wanted: "enabled" | "disabled", summary: string): Command {
  return {
    name,
    summary,
    parameters: "UPSTREAM ADDRESS",
    flags: [PERSIST, ...CONTROL_FLAGS],
    examples: [
      {
        line: `lintel ${name} app 10.0.0.2:8080`,
        does:
          name === "enable"
            ? "It gets its share again, slowly if the upstream has slowStart."
            : "What runs there finishes.",
      },
    ],
    async run({ flags, rest, terminal }) {
      const [upstream, address] = words(name, rest);
      const client = await findControl(flags);
      const changed = await client.patch<UpstreamAnswer>(endpointPath(upstream, address), duty(wanted, flags));
      const { condition, inFlight } = find(changed, address);
      const but = wanted === "enabled" && condition !== "up" ? `, but ${condition}` : "";
      terminal.out(
        `${upstream} ${address} is ${wanted}${but}${wanted === "disabled" ? `: ${inFlight} in flight` : ""}\n`,
      );
      return 0;
    },
  };
}

function words(command: string, rest: readonly string[]): [upstream: string, address: string] {
  if (rest.length === 2) return [rest[0]!, rest[1]!];
  throw new UsageError(`${command} needs an upstream and an address`, `such as: lintel ${command} app 10.0.0.2:8080`);
}

function duty(wanted: "enabled" | "draining" | "disabled", flags: Flags) {
  return { duty: wanted, ...(flags.has("persist") ? { persist: true } : {}) };
}

/** Clients that are bound to it come back until it is disabled; else it is done once nothing is in flight. */
async function untilDrained(
  client: ControlClient,
  upstream: string,
  address: string,
  terminal: Terminal,
): Promise<void> {
  let told = -1;
  while (true) {
    const answer = await client.get<UpstreamAnswer>(`/v1/upstreams/${encodeURIComponent(upstream)}`);
    const endpoint = answer.endpoints.find((one) => isSame(one, address));
    if (endpoint === undefined || endpoint.condition === "up") {
      const now = endpoint === undefined ? "it is gone" : "it was enabled";
      throw new CommandFailed(`${upstream} ${address} does not drain any more: ${now}`);
    }
    const { inFlight, condition } = endpoint;
    if (inFlight === 0 && (!answer.sticky || condition === "disabled")) return;
    if (inFlight !== told) terminal.error(`${inFlight} in flight\n`);
    told = inFlight;
    await Bun.sleep(POLL_MS);
  }
}

function find({ name, endpoints }: UpstreamAnswer, address: string): EndpointAnswer {
  const found = endpoints.find((one) => isSame(one, address));
  if (found === undefined) throw new CommandFailed(`${name} ${address} is gone`);
  return found;
}

const isSame = ({ address }: EndpointAnswer, written: string): boolean =>
  address === written || address === written.toLowerCase();
