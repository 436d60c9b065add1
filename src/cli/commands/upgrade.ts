/** `lintel upgrade`: the program on the disk takes over from the one that runs. */
import type { z } from "zod";
import type { status } from "../../admin/schemas.ts";
import { parseDuration } from "../../base/option.ts";
import { type Command, CommandFailed, UsageError } from "../command.ts";
import { type ControlClient, Unreachable } from "../control-client.ts";
import { CONTROL_FLAGS, findControl } from "../find-control.ts";

type Status = z.output<typeof status>;

const POLL_MS = 100;

export const upgrade: Command = {
  name: "upgrade",
  summary: "Have the installed program take over from the one that runs, without losing a request.",
  parameters: "",
  flags: [
    { name: "timeout", value: "TIME", summary: "Give up waiting for it after this time. Default: 60s." },
    ...CONTROL_FLAGS,
  ],
  examples: [
    {
      line: "lintel upgrade",
      does: "After a new version was installed: it takes the listening sockets, and the old workers finish what they have.",
    },
  ],
  async run({ flags, rest, terminal }) {
    if (rest.length > 0) throw new UsageError(`upgrade takes no parameters: ${rest.join(" ")}`);
    const timeoutMs = parseDuration(flags.get("timeout") ?? "60s");
    if (timeoutMs === null) throw new UsageError(`${JSON.stringify(flags.get("timeout"))} is not a duration`);
    const client = await findControl(flags);
    const before = await client.get<Status>("/v1/status");
    const { version } = await client.post<{ version: string }>("/v1/upgrade");
    terminal.error(`${before.version} hands over to ${version}\n`);
    const after = await untilTakenOver(client, before, timeoutMs);
    const count = after.workers.length;
    terminal.out(`lintel ${after.version} has taken over with ${count} worker${count === 1 ? "" : "s"}\n`);
    return 0;
  },
};

async function untilTakenOver(client: ControlClient, before: Status, timeoutMs: number): Promise<Status> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    await Bun.sleep(POLL_MS);
    const now = await statusOf(client);
    if (now === null || now.startedAt === before.startedAt) continue;
    if (now.workers.every(({ state }) => state === "ready")) return now;
  }
  throw new CommandFailed(
    "it has not taken over in time",
    "its log says why; the program before serves on as long as the new one is not ready",
  );
}

/** null: between the two nobody answers. */
async function statusOf(client: ControlClient): Promise<Status | null> {
  try {
    return await client.get<Status>("/v1/status");
  } catch (thrown) {
    if (thrown instanceof Unreachable) return null;
    throw thrown;
  }
}
