/**
 * The clients of the soak: begins exchanges of all kinds at the rate it is told, and reports how
 * they ended. It runs on Node.js, so that nothing of it shares code with what it judges. Bundled
 * and started by soak.ts with its arguments: the port, the one with TLS, the file of the authority,
 * and what the names of kinds must hold.
 */
import type { ClientHttp2Session } from "node:http2";
import { Http2Sessions } from "./http2-sessions.ts";
import { kinds as allKinds, type Bench, type Kind } from "./kinds.ts";
import type { Counts, FromClient, ToClient } from "./messages.ts";
import type { Verdict } from "./verdict.ts";
import { Wire } from "./wire.ts";

const port = Number(process.argv[2]);
const sessions = new Http2Sessions({ plain: port, secure: Number(process.argv[3]), ca: process.argv[4]! });
const kinds = allKinds.filter(({ name }) => name.includes(process.argv[5] ?? ""));
const TICK_MS = 20;
/** Beyond this many at once the machine is too slow for the rate; further ones are left out and counted. */
const MOST_RUNNING = 400;
const DEADLINE_MS = 20_000;
/** Less than Lintel's keep-alive time in the soak: a kept connection must still be there. */
const IDLE_MS = 2500;
const USES = 100;

const counts: Record<string, Counts> = Object.fromEntries(
  kinds.map(({ name }) => [name, { good: 0, expected: 0, wrong: 0 }]),
);
const idle: { wire: Wire; since: number; uses: number }[] = [];
const uses = new WeakMap<Wire, number>();
const totalWeight = kinds.reduce((sum, { weight }) => sum + weight, 0);

let rate = 0;
let due = 0;
let running = 0;
let skipped = 0;
let seed = 1;
let quieting = false;

function tell(message: FromClient): void {
  process.send?.(message);
}

function pick(): Kind {
  let at = Math.random() * totalWeight;
  for (const kind of kinds) if ((at -= kind.weight) < 0) return kind;
  return kinds[0]!;
}

async function exchange(kind: Kind): Promise<void> {
  running++;
  // Apart by more than one exchange uses, odd (kinds choose by remainders), small enough for a path.
  seed = (seed + 17) % 900_000_000;
  const own = new Set<Wire>();
  const opened = (wire: Wire) => {
    own.add(wire);
    return wire;
  };
  const ownSessions = new Set<ClientHttp2Session>();
  const bench: Bench = {
    port,
    seed,
    open: () => opened(new Wire(port)),
    borrow: () => opened(borrow()),
    giveBack(wire) {
      own.delete(wire);
      giveBack(wire);
    },
    openHttp2(over) {
      const session = sessions.open(over);
      ownSessions.add(session);
      return session;
    },
    shareHttp2: (over) => sessions.share(over),
  };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Verdict>((resolve) => {
    timer = setTimeout(resolve, DEADLINE_MS, { wrong: `not over after ${DEADLINE_MS} ms` } satisfies Verdict);
  });
  const used = bench.seed;
  let verdict: Verdict;
  try {
    verdict = await Promise.race([kind.run(bench), late]);
  } catch (error) {
    verdict = { wrong: error instanceof Error ? error.message : String(error) };
  }
  clearTimeout(timer);
  for (const wire of own) wire.close();
  for (const session of ownSessions) session.destroy();
  running--;
  if (typeof verdict === "string") {
    counts[kind.name]![verdict]++;
    return;
  }
  counts[kind.name]!.wrong++;
  tell({ wrong: `${kind.name} (seed ${used}): ${verdict.wrong}` });
}

function borrow(): Wire {
  for (let last = idle.pop(); last !== undefined; last = idle.pop()) {
    if (last.wire.usable && Date.now() - last.since < IDLE_MS && last.uses < USES) {
      uses.set(last.wire, last.uses + 1);
      return last.wire;
    }
    last.wire.close();
  }
  return new Wire(port);
}

function giveBack(wire: Wire): void {
  idle.push({ wire, since: Date.now(), uses: uses.get(wire) ?? 0 });
}

function sweep(maxIdleMs: number): void {
  sessions.sweep(maxIdleMs);
  const now = Date.now();
  for (let i = idle.length - 1; i >= 0; i--) {
    if (now - idle[i]!.since < maxIdleMs) continue;
    idle[i]!.wire.close();
    idle.splice(i, 1);
  }
}

process.on("message", (message: ToClient) => {
  if ("rate" in message) rate = message.rate;
  else {
    rate = 0;
    quieting = true;
  }
});
process.on("disconnect", () => process.exit(0));
// One exchange must not end the others; what it did shows as wrong.
process.on("uncaughtException", (error) => tell({ wrong: `the client itself: ${error.stack}` }));

setInterval(() => {
  due += (rate * TICK_MS) / 1000;
  for (; due >= 1; due--) {
    if (running < MOST_RUNNING) void exchange(pick());
    else skipped++;
  }
  if (quieting && running === 0) {
    quieting = false;
    sweep(0);
    tell({ counts, running, skipped });
    tell({ quiet: true });
  }
}, TICK_MS);
setInterval(() => {
  sweep(IDLE_MS);
  tell({ counts, running, skipped });
}, 1000);
