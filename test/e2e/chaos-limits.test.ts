/**
 * Chaos: what all workers share holds over all of them. The circuit, the limits and their queue, sticky
 * clients and slow start, each seen from the origin servers.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chaosGateway, event, eventsOf, LATE_MS, nothingInFlight, PAGE } from "../support/chaos.ts";
import type { Gateway } from "../support/gateway.ts";
import { Load, now, stopLoads } from "../support/load.ts";
import { type OriginProcess, originProcesses } from "../support/origin-process.ts";
import { exchange, get, type RawResponse } from "../support/raw.ts";
import { until } from "../support/until.ts";

const OPEN_FOR = 1500;
const PROBES = 2;
const LIMIT = 3;
const QUEUE_TIMEOUT = 1000;
const DEADLINE = 4000;
const SLOW_START = 3000;
const EJECT = 500;
const TOKEN = "for-tests-only";

const off = { passive: "off" } as const;
const queued = { maxInFlight: LIMIT, retry: 0, health: off };

const UPSTREAMS: Readonly<Record<string, readonly [endpoints: number, settings: object]>> = {
  circuit: [
    2,
    {
      circuit: { failures: "50%", requests: 10, window: "10s", openFor: `${OPEN_FOR}ms`, probes: PROBES },
      retry: 0,
      health: off,
    },
  ],
  waiting: [2, { ...queued, queue: { size: 1000, timeout: "10s" } }],
  full: [1, { ...queued, queue: { size: 2, timeout: "10s" } }],
  deadline: [1, { ...queued, queue: { size: 1000, timeout: `${QUEUE_TIMEOUT}ms` } }],
  bound: [3, { sticky: { cookie: { name: "to" } }, health: { passive: { ejectFor: "1m" } } }],
  drained: [2, { sticky: { cookie: { name: "to" } }, health: off }],
  growing: [
    2,
    {
      slowStart: `${SLOW_START}ms`,
      retry: { budget: "100%" },
      health: { passive: { ejectFor: `${EJECT}ms` } },
    },
  ],
};

const origins: Record<string, OriginProcess[]> = {};
let all: OriginProcess[] & Disposable;
let gateway: Gateway;

beforeAll(async () => {
  all = await originProcesses(Object.values(UPSTREAMS).reduce((sum, [count]) => sum + count, 0));
  const left = [...all];
  const upstreams = Object.entries(UPSTREAMS).map(([name, [count, settings]]) => {
    origins[name] = left.splice(0, count);
    return [name, { endpoints: origins[name].map(({ address }) => address), ...settings }];
  });
  gateway = await chaosGateway(Object.fromEntries(upstreams), { admin: { address: "127.0.0.1:0", token: TOKEN } });
}, 30_000);

afterAll(async () => {
  await stopLoads();
  try {
    await nothingInFlight(gateway);
  } finally {
    await gateway.stop();
    all[Symbol.dispose]();
  }
}, 30_000);

/** Each on a connection of its own, so that either worker has some. */
const ask = (path: string, ...fieldLines: string[]) =>
  exchange(gateway.port, get(path, ...fieldLines), "GET", 2 * LATE_MS);

const askAtOnce = (count: number, path: (i: number) => string) =>
  Promise.all(Array.from({ length: count }, (_, i) => ask(path(i))));

const requestsAt = async (name: string): Promise<number> =>
  (await Promise.all(origins[name]!.map((origin) => origin.counts()))).reduce((sum, { requests }) => sum + requests, 0);

const statuses = (responses: readonly RawResponse[]): Record<number, number> => {
  const counts: Record<number, number> = {};
  for (const { status } of responses) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};

test.concurrent("a circuit opens for both workers, lets its probes through, opens for longer, and closes", async () => {
  const everybody = (behaviour: Parameters<OriginProcess["behave"]>[0]) =>
    Promise.all(origins["circuit"]!.map((origin) => origin.behave(behaviour)));
  await everybody({ kind: "answer", status: 503 });
  for (let i = 0; (await ask(`/circuit/fail${i}`)).text !== PAGE; i++) expect(i).toBeLessThan(20);
  const open = await event(gateway, "circuit", "the circuit is open");
  expect(open.facts).toMatchObject({ for: "1.5 s", reason: expect.stringContaining("exchanges failed") });
  const before = await requestsAt("circuit");
  // Not before `requests`; some more if a window began meanwhile, since what is older counts for less.
  expect(before).toBeGreaterThanOrEqual(10);
  // Forty connections: either worker has some of them.
  const refused = await askAtOnce(40, (i) => `/circuit/refused${i}`);
  expect(statuses(refused)).toEqual({ 503: 40 });
  for (const response of refused) expect(Number(response.field("retry-after"))).toBeOneOf([1, 2]);
  expect(await requestsAt("circuit")).toBe(before);
  expect(await gateway.logOf("/circuit/refused0")).toMatchObject({ attempts: 0, outcome: { code: "circuit-open" } });
  // The first after its time is a probe, and fails: it is open for twice as long.
  for (let i = 0; eventsOf(gateway, "circuit", "the circuit is open").length < 2; i++) await ask(`/circuit/first${i}`);
  const again = await event(gateway, "circuit", "the circuit is open", 2);
  expect(again.facts).toMatchObject({ for: "3 s", reason: "a probe failed" });
  // Of many at once only the probes get through, over both workers.
  await everybody({ kind: "hold" });
  await Promise.all(origins["circuit"]!.map((origin) => origin.clear()));
  await until(async () => (await ask("/circuit/early", "Accept: x")).status === 503, "the circuit to be open");
  const probing = new Load(gateway.port, "/circuit/probing", { clients: 20 });
  await until(async () => (await requestsAt("circuit")) === PROBES, "the probes", LATE_MS);
  await probing.more(60);
  expect(await requestsAt("circuit")).toBe(PROBES);
  await everybody({ kind: "answer" });
  await event(gateway, "circuit", "the circuit is closed");
  await probing.more(20);
  await probing.stop();
  const last = await askAtOnce(10, (i) => `/circuit/well${i}`);
  expect(statuses(last)).toEqual({ 200: 10 });
});

describe.concurrent("maxInFlight over both workers", () => {
  test("is never passed, and all that wait are served", async () => {
    await Promise.all(origins["waiting"]!.map((origin) => origin.behave({ kind: "answer", delayMs: 60 })));
    const responses = await askAtOnce(60, () => "/waiting/");
    expect(statuses(responses)).toEqual({ 200: 60 });
    for (const origin of origins["waiting"]!) {
      const { most, requests } = await origin.counts();
      expect(most).toBe(LIMIT);
      expect(requests).toBeGreaterThan(10);
    }
  });

  test("a full queue is 503 with Retry-After, and what has room is served", async () => {
    const [origin] = origins["full"]!;
    await origin!.behave({ kind: "hold" });
    let refused = 0;
    const asked = Array.from({ length: 20 }, async (_, i) => {
      const response = await ask(`/full/${i}`);
      if (response.status === 503) refused++;
      return response;
    });
    // Three run and each worker has room for one more, if it is asked.
    await until(() => refused >= 20 - LIMIT - 2, "the others to be refused");
    await until(async () => (await origin!.counts()).running === LIMIT, "all room to be taken");
    await origin!.behave({ kind: "answer" });
    const responses = await Promise.all(asked);
    const { 200: served = 0 } = statuses(responses);
    expect(served + refused).toBe(20);
    expect(served).toBeOneOf([LIMIT + 1, LIMIT + 2]);
    expect((await origin!.counts()).most).toBe(LIMIT);
    for (const [i, response] of responses.entries()) {
      if (response.status !== 503) continue;
      expect([response.text, response.field("retry-after")]).toEqual([PAGE, "1"]);
      expect(await gateway.logOf(`/full/${i}`)).toMatchObject({ outcome: { phase: "queue", code: "queue-full" } });
    }
  });

  test("who has waited for the queue's time in vain has 503", async () => {
    const [origin] = origins["deadline"]!;
    await origin!.behave({ kind: "silent" });
    const held = Array.from({ length: LIMIT }, () => ask("/deadline/held").catch(() => null));
    await until(async () => (await origin!.counts()).running === LIMIT, "all room to be taken");
    const response = await ask("/deadline/late");
    expect([response.status, response.field("retry-after")]).toEqual([503, "1"]);
    expect(await gateway.logOf("/deadline/late")).toMatchObject({ attempts: 0, outcome: { code: "queue-timeout" } });
    await origin!.kill();
    await Promise.all(held);
    await origin!.restart();
    await origin!.behave({ kind: "answer" });
    expect((await ask("/deadline/again")).status).toBe(200);
  });
});

describe.concurrent("a sticky client", () => {
  /** @returns the endpoint, and the cookie that the client has then */
  async function visit(name: string, cookie: string | null): Promise<{ at: string; cookie: string | null }> {
    const response = await ask(`/${name}/`, ...(cookie === null ? [] : [`Cookie: ${cookie}`]));
    expect(response.status).toBe(200);
    return { at: response.text, cookie: response.field("set-cookie")?.split(";")[0] ?? cookie };
  }

  test("stays with its endpoint over both workers, and is bound anew for good when it is dead", async () => {
    const list = origins["bound"]!;
    const first = await visit("bound", null);
    expect(first.cookie).toStartWith("to=");
    for (let i = 0; i < 20; i++) expect(await visit("bound", first.cookie)).toEqual(first);
    await list.find(({ address }) => address === first.at)!.kill();
    let { at, cookie } = first;
    for (let i = 0; i < 6; i++) ({ at, cookie } = await visit("bound", cookie));
    expect(at).not.toBe(first.at);
    expect(cookie).not.toBe(first.cookie);
    for (let i = 0; i < 20; i++) expect(await visit("bound", cookie)).toEqual({ at, cookie });
  });

  test("keeps an endpoint that is drained until the deadline, where nobody new is bound", async () => {
    const first = await visit("drained", null);
    const path = `/v1/upstreams/drained/endpoints/${encodeURIComponent(first.at)}`;
    const drained = await fetch(`${gateway.adminUrl}${path}`, {
      method: "PATCH",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
      body: JSON.stringify({ duty: "draining", deadline: `${DEADLINE}ms` }),
    });
    expect(drained.status).toBe(200);
    // Stays at first, while nobody new is bound to it; and leaves in the end.
    expect((await visit("drained", first.cookie)).at).toBe(first.at);
    await until(async () => {
      expect((await visit("drained", null)).at).not.toBe(first.at);
      return (await visit("drained", first.cookie)).at !== first.at;
    }, "the client to be sent elsewhere");
    const next = await visit("drained", first.cookie);
    expect(next.cookie).not.toBe(first.cookie);
    for (let i = 0; i < 10; i++) expect(await visit("drained", next.cookie)).toEqual(next);
  });
});

test.concurrent("an endpoint that is back starts slowly: its share grows to its whole within slowStart", async () => {
  const [first] = origins["growing"]!;
  const load = new Load(gateway.port, "/growing/", { clients: 6, pauseMs: 10 });
  await load.more(20);
  await first!.kill();
  await event(gateway, "growing", "an endpoint is ejected");
  await first!.restart();
  // It may have been tried once too early.
  await until(() => load.from(first!, eventsOf(gateway, "growing").at(-1)!.at).length > 0, "it to be back", LATE_MS);
  const back = eventsOf(gateway, "growing", "an ejected endpoint is back").at(-1)!;
  await Bun.sleep(Math.max(0, back.at + SLOW_START - now()));
  await load.more(100);
  await load.stop();
  expect(load.failures).toEqual([]);
  const share = (from: number, to: number): number => {
    const asked = load.answers.filter(({ startedAt }) => startedAt >= back.at + from && startedAt < back.at + to);
    return asked.filter(({ origin }) => origin === first!.address).length / asked.length;
  };
  // Of weights w and 1 the share is w / (w + 1): a tenth at first, a half in the end.
  const [early, whole] = [share(0, SLOW_START / 3), share(SLOW_START, Infinity)];
  expect(early).toBeLessThan(0.35);
  expect(whole).toBeWithin(0.35, 0.65);
});
