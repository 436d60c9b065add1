/**
 * Nanoseconds per pick, for each balancer and number of endpoints: idle ones, ones that all have
 * exchanges in flight, and ones of which every other is down. As in a worker, `usable` reads the
 * shared state, and the exchange that was picked for ends some picks later.
 */
import { parseArgs } from "node:util";
import type { z } from "zod";
import { tickTimers } from "../src/base/timer.ts";
import { exchangeOf } from "../src/router/test-exchange.ts";
import type { Balancer, BalancerDefinition } from "../src/upstream/balancers/balancer.ts";
import { balancers } from "../src/upstream/balancers/index.ts";
import type { Endpoint } from "../src/upstream/endpoint.ts";
import { privateMemory, Status } from "../src/upstream/endpoint-state.ts";
import { endpoint, stateIn } from "../src/upstream/testing.ts";

const HELP = `npx bun bench/balancers.ts [options]

  --only <names>      balancers, separated by commas (all)
  --sizes <numbers>   how many endpoints (3,100,5000)
  --ms <number>       time per measurement (150)
  --help
`;

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    sizes: { type: "string", default: "3,100,5000" },
    ms: { type: "string", default: "150" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}

const SLOTS = 4;
/** Exchanges that are under way at one time. */
const UNDER_WAY = 64;

interface Case {
  readonly name: string;
  readonly definition: BalancerDefinition;
  readonly options: unknown;
}

const withOptions = (name: string, options: unknown, label = name): Case => {
  const definition = balancers.find((one) => one.name === name)!;
  return { name: label, definition, options: (definition.options as z.ZodType).parse(options) };
};
const key = "{client.address}";
const cases: readonly Case[] = balancers
  .flatMap(({ name }) =>
    name === "hash"
      ? [
          withOptions(name, { key }),
          withOptions(name, { key, boundedLoad: 1.25 }, "hash, bounded"),
          withOptions(name, { key, consistent: false }, "hash, modulo"),
        ]
      : [withOptions(name, {})],
  )
  .filter(({ name }) => values.only === undefined || values.only.split(",").includes(name));

type Situation = "idle" | "weighted" | "busy" | "half down";
const SITUATIONS: readonly Situation[] = ["idle", "weighted", "busy", "half down"];

function endpointsOf(size: number, situation: Situation): Endpoint[] {
  const memory = privateMemory(size, SLOTS);
  return Array.from({ length: size }, (_, i) => {
    const one = endpoint(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}:80`, {
      state: stateIn(memory, i),
      weight: situation === "weighted" ? 1 + (i % 5) : 1,
      latencyMs: 5 + (i % 10),
    });
    if (situation === "busy") for (let n = 0; n < 4 + (i % 3); n++) one.state.begin();
    if (situation === "half down" && i % 2 === 1) one.state.mark(Status.down);
    return one;
  });
}

const exchanges = Array.from({ length: 1024 }, (_, i) => exchangeOf({ client: `192.0.${i >> 8}.${i & 255}` }));
const usable = ({ state, spec }: Endpoint): boolean =>
  state.status === 0 && spec.weight > 0 && (spec.maxInFlight === Infinity || state.inFlight < spec.maxInFlight);

/** Best of five: what else the machine does only ever adds. */
function nanosecondsPerPick(balancer: Balancer, forMs: number): number {
  const underWay = new Array<Endpoint | null>(UNDER_WAY).fill(null);
  let at = 0;
  const batch = (picks: number): number => {
    tickTimers();
    const started = Bun.nanoseconds();
    for (let i = 0; i < picks; i++) {
      const picked = balancer.pick(exchanges[at & 1023]!, usable)!;
      underWay[at % UNDER_WAY]?.state.end();
      underWay[at % UNDER_WAY] = picked;
      picked.state.begin();
      at++;
    }
    return (Bun.nanoseconds() - started) / picks;
  };
  batch(2000);
  const picks = Math.max(200, Math.round((forMs * 1e6) / 5 / batch(1000)));
  const best = Math.min(...Array.from({ length: 5 }, () => batch(picks)));
  for (const one of underWay) one?.state.end();
  return best;
}

/** Of a set with another endpoint in it each time. */
function microsecondsPerUpdate(definition: BalancerDefinition, options: unknown, size: number): string {
  const balancer = definition.create(options, 0);
  const endpoints = endpointsOf(size + 1, "idle");
  const times = Array.from({ length: 9 }, (_, i) => {
    const set = endpoints.toSpliced(i % (size + 1), 1);
    const started = Bun.nanoseconds();
    balancer.update(set);
    return (Bun.nanoseconds() - started) / 1000;
  });
  return Math.min(...times)
    .toFixed(0)
    .padStart(16);
}

const sizes = values.sizes.split(",").map(Number);
console.log(`${"ns per pick".padEnd(16)}${sizes.map((size) => `${size} endpoints`.padStart(40)).join("")}`);
console.log(`${"".padEnd(16)}${sizes.map(() => SITUATIONS.map((name) => name.padStart(10)).join("")).join("")}`);
const updates: string[] = [];
for (const { name, definition, options } of cases) {
  updates.push(name.padEnd(16) + sizes.map((size) => microsecondsPerUpdate(definition, options, size)).join(""));
  const row = sizes.flatMap((size) =>
    SITUATIONS.map((situation) => {
      const balancer = definition.create(options, 0);
      balancer.update(endpointsOf(size, situation));
      return nanosecondsPerPick(balancer, Number(values.ms)).toFixed(0).padStart(10);
    }),
  );
  console.log(name.padEnd(16) + row.join(""));
}
console.log(`\n${"µs per update".padEnd(16)}${sizes.map((size) => `${size} endpoints`.padStart(16)).join("")}`);
for (const line of updates) console.log(line);
