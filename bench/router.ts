/**
 * Nanoseconds to find a route, with nothing else around it: 10,000 hosts of 5 routes each, and one
 * site of 1,000 routes. The promise is at most 1,000 ns; it exits with 1 where a case takes more.
 *
 * @example bun bench/router.ts
 */
import type { MatchConfig } from "../src/config/gateway-config.ts";
import { RouteTable, type SiteSpec } from "../src/router/table.ts";
import { exchangeOf } from "../src/router/test-exchange.ts";

const MOST_NS = 1000;
const BATCH = 64;
const BATCHES = 4000;

interface Case {
  readonly name: string;
  readonly sites: readonly SiteSpec<number>[];
  request(): { readonly host: string; readonly target: string };
}

let seed = 1;
/** Whole numbers below `limit`, the same ones in every run. */
function random(limit: number): number {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 2 ** 32) * limit);
}

const WORDS = [
  "account",
  "billing",
  "cart",
  "docs",
  "events",
  "files",
  "groups",
  "help",
  "images",
  "jobs",
  "keys",
  "login",
];
const word = (i: number): string => WORDS[i % WORDS.length]! + (i >= WORDS.length ? Math.floor(i / WORDS.length) : "");

function site(name: string, hosts: readonly string[], paths: readonly (string | MatchConfig)[]): SiteSpec<number> {
  const routes = paths.map((path, i) => ({
    name: `${name}/${i}`,
    match: typeof path === "string" ? { path: [path] } : path,
    target: i,
  }));
  return { name, hosts, order: "specific", routes };
}

const hosts = Array.from({ length: 10_000 }, (_, i) =>
  site(`s${i}`, [`shop-${i}.customer.example`], ["/", "/assets/*", "/api/v1/users/:id", "/api/*", {}]),
);
const hostPaths = ["/", "/assets/app.8f3c.js", "/api/v1/users/1729", "/api/v2/orders", "/about/contact"];

const exact = site(
  "exact",
  [],
  Array.from({ length: 1000 }, (_, i) => `/${word(i % 40)}/${word(Math.floor(i / 40))}/view`),
);
const mixed = site(
  "mixed",
  [],
  [
    ...Array.from({ length: 400 }, (_, i) => `/${word(i % 20)}/${word(Math.floor(i / 20))}/view`),
    ...Array.from({ length: 300 }, (_, i) => `/${word(i)}/${word(i % 7)}/*`),
    ...Array.from({ length: 200 }, (_, i) => `/v1/${word(i)}/:id/${word(i % 5)}`),
    ...Array.from({ length: 99 }, (_, i): MatchConfig => ({ path: [`/rpc/${word(i)}`], method: ["POST"] })),
    "/*",
  ],
);

const CASES: readonly Case[] = [
  {
    name: "10,000 hosts x 5 routes",
    sites: hosts,
    request: () => ({ host: `shop-${random(10_000)}.customer.example`, target: hostPaths[random(5)]! }),
  },
  {
    name: "1,000 exact paths in one site",
    sites: [exact],
    request: () => ({ host: "a.example", target: `/${word(random(40))}/${word(random(25))}/view?page=${random(100)}` }),
  },
  {
    name: "1,000 routes of all kinds in one site",
    sites: [mixed],
    request: () => {
      const targets = [
        `/${word(random(20))}/${word(random(20))}/view`,
        `/${word(random(300))}/${word(random(7))}/a/b/c.png`,
        `/v1/${word(random(200))}/${random(1e6)}/${word(random(5))}`,
        `/rpc/${word(random(99))}`,
        `/${random(1e9).toString(36)}/${random(1e9).toString(36)}`,
      ];
      return { host: "a.example", target: targets[random(5)]! };
    },
  },
];

let sink = 0;

/**
 * As in life, each exchange is made just before it is matched, from strings whose hash nobody knows
 * yet, while the routes of 10,000 hosts are too many to lie in the processor's caches.
 * @returns nanoseconds, of the batch that lies in the middle
 */
function measure(table: RouteTable<number>, request: Case["request"]): number {
  const batches: number[] = [];
  for (let batch = 0; batch < BATCHES; batch++) {
    const exchanges = Array.from({ length: BATCH }, () => {
      const exchange = exchangeOf(request());
      exchange.host = fresh(exchange.host);
      exchange.path = fresh(exchange.path);
      return exchange;
    });
    const started = Bun.nanoseconds();
    for (const exchange of exchanges) sink += table.find(exchange) ?? -1;
    batches.push((Bun.nanoseconds() - started) / BATCH);
  }
  return batches.toSorted((a, b) => a - b)[BATCHES / 2]!;
}

const fresh = (text: string): string => Buffer.from(text).toString("latin1");

for (const { name, sites, request } of CASES) {
  const table = RouteTable.of(sites);
  measure(table, request); // Just-in-time compilers need it.
  const ns = measure(table, request);
  const verdict = ns <= MOST_NS ? "" : `: more than ${MOST_NS}`;
  if (verdict !== "") process.exitCode = 1;
  console.log(`${name.padEnd(40)} ${ns.toFixed(0).padStart(5)} ns per match${verdict}`);
}
if (Number.isNaN(sink)) throw new Error("no route had a number");
