/** `lintel top`: what a running Lintel does right now, refreshed each second. */
import { type Command, CommandFailed, UsageError } from "../command.ts";
import { type ControlClient, Refused } from "../control-client.ts";
import type { UpstreamAnswer } from "../endpoint-table.ts";
import { CONTROL_FLAGS, findControl } from "../find-control.ts";
import type { Terminal } from "../terminal.ts";
import { frame, type Order } from "../top/frame.ts";
import { type ClientAnswer, ratesOf, type Sample } from "../top/rates.ts";
import { Screen } from "../top/screen.ts";

const EVERY_MS = 1000;
/** Workers report their clients each second; a little more, so that the first report is in. */
const ONCE_MS = 1300;

const ORDERS: Readonly<Record<string, Order>> = { r: "requests", e: "errors", l: "latency" };

export const top: Command = {
  name: "top",
  summary: "Watch a running Lintel: rates, latencies, endpoints, errors, top routes and clients.",
  parameters: "",
  flags: [
    { name: "once", value: null, summary: "Show one second and end, for scripts." },
    { name: "sort", value: "BY", summary: "requests (default), errors or latency. Keys while it runs: r, e, l." },
    ...CONTROL_FLAGS,
  ],
  examples: [
    { line: "lintel top", does: "Refreshes each second; q quits." },
    { line: "lintel top --once --sort errors", does: "One look, with what fails most first." },
  ],
  async run({ flags, rest, terminal }) {
    if (rest.length > 0) throw new UsageError(`top takes no parameters: ${rest.join(" ")}`);
    const sort = flags.get("sort") ?? "requests";
    const order = Object.values(ORDERS).find((one) => one === sort);
    if (order === undefined) throw new UsageError(`--sort ${sort} is none`, "requests, errors or latency");
    const client = await findControl(flags);
    if (flags.has("once")) return once(client, order, terminal);
    if (!process.stdin.isTTY || !process.stdout.isTTY)
      throw new UsageError("top needs a terminal", "--once shows one second without");
    return live(client, order, terminal);
  },
};

async function once(client: ControlClient, order: Order, terminal: Terminal): Promise<number> {
  const before = await look(client);
  await Bun.sleep(ONCE_MS);
  const after = await look(client);
  const lines = frame(after, ratesOf(before, after), { width: 80, height: null, order, paint: terminal.paint });
  terminal.out(`${lines.join("\n")}\n`);
  return 0;
}

async function live(client: ControlClient, first: Order, { paint }: Terminal): Promise<number> {
  let order = first;
  let samples: { readonly before: Sample; readonly after: Sample } | null = null;
  let trouble: string | null = null;
  const ended = Promise.withResolvers<void>();
  const draw = () => {
    const view = { width: screen.width, height: screen.height, order, paint };
    const lines = samples === null ? [] : frame(samples.after, ratesOf(samples.before, samples.after), view);
    screen.draw(trouble === null ? lines : [paint.error(trouble), ...lines.slice(1)]);
  };
  const screen = new Screen({
    onKey(key) {
      if (key === "q") return ended.resolve();
      order = ORDERS[key] ?? order;
      draw();
    },
    onResize: draw,
    onEnd: ended.resolve,
  });
  let last = await look(client);
  screen.open();
  const refresh = async () => {
    try {
      const now = await look(client);
      samples = { before: last, after: now };
      last = now;
      trouble = null;
    } catch (thrown) {
      // It may be restarted: the picture stays until it answers again.
      if (!(thrown instanceof CommandFailed)) throw thrown;
      trouble = `no answer: ${thrown.message}`;
    }
    draw();
  };
  try {
    draw();
    for (let running = true; running; ) {
      running = await Promise.race([Bun.sleep(EVERY_MS).then(() => true), ended.promise.then(() => false)]);
      if (running) await refresh();
    }
    return 0;
  } finally {
    screen.close();
  }
}

async function look(client: ControlClient): Promise<Sample> {
  const [status, stats, { upstreams }, clients] = await Promise.all([
    client.get<Sample["status"]>("/v1/status"),
    client.get<Sample["stats"]>("/v1/stats"),
    client.get<{ upstreams: UpstreamAnswer[] }>("/v1/upstreams"),
    clientsOf(client),
  ]);
  return { status, stats, upstreams, clients };
}

async function clientsOf(client: ControlClient): Promise<Sample["clients"]> {
  try {
    return (await client.get<{ clients: ClientAnswer[] }>("/v1/clients")).clients;
  } catch (thrown) {
    if (thrown instanceof Refused && thrown.status === 403) return "not shown: over TCP it needs a token";
    throw thrown;
  }
}
