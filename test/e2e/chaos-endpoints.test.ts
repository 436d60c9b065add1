/**
 * Chaos: endpoints that are killed, frozen, refuse, or come and go, under load over two workers. Clients
 * see the right outcome each time, and an endpoint is out and back in as the config says.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import net from "node:net";
import { chaosGateway, event, eventsOf, LATE_MS, metric, nothingInFlight, PAGE, triesOf } from "../support/chaos.ts";
import type { Gateway } from "../support/gateway.ts";
import { Load, now, stopLoads } from "../support/load.ts";
import { OriginProcess, originProcesses } from "../support/origin-process.ts";
import { exchange, get, post } from "../support/raw.ts";
import { until } from "../support/until.ts";

const EVERY = 300;
const CHECK_TIMEOUT = 1000;
const PER_ATTEMPT = 1200;
const EJECT = 1000;
const EJECT_MAX = 2000;

const check = {
  http: { path: "/healthz" },
  every: `${EVERY}ms`,
  timeout: `${CHECK_TIMEOUT}ms`,
  rise: 2,
  fall: 3,
  initial: "up",
};
const passive = { failures: 3, window: "10s", ejectFor: `${EJECT}ms`, ejectMax: `${EJECT_MAX}ms` };
/** Every second request meets the bad endpoint until it is out: more than the default budget allows. */
const retry = { attempts: 2, budget: "100%" };
const impatient = { ...retry, on: ["connect", "reset", "malformed", "timeout"], perAttempt: `${PER_ATTEMPT}ms` };

let all: OriginProcess[] & Disposable;
/** The first endpoint of `choked`, where hardly anybody can wait. */
let choked: OriginProcess;
let gateway: Gateway;
const origins: Record<string, OriginProcess[]> = {};

/** Upstreams, each with so many origin servers of its own. */
const UPSTREAMS: Readonly<Record<string, readonly [endpoints: number, settings: object]>> = {
  checked: [2, { retry, health: { check, passive: "off" } }],
  watched: [2, { retry, health: { passive } }],
  frozen: [2, { retry: impatient, health: { passive } }],
  "frozen-checked": [2, { retry: impatient, health: { check, passive: "off" } }],
  "frozen-silent": [2, { retry: impatient, timeouts: { firstOctet: "1s" }, health: { passive: "off" } }],
  choked: [1, { retry, timeouts: { connect: "500ms" }, health: { passive: "off" } }],
  refused: [2, { retry, health: { passive } }],
  flapping: [2, { retry, health: { passive } }],
  restless: [2, { retry, health: { check, passive } }],
  busy: [2, { retry: { ...retry, on: [503] }, health: { passive } }],
  "all-fail": [2, { retry, health: { check, passive: "off", whenAllDown: "fail" } }],
  "all-try": [2, { retry, health: { check: { ...check, every: "1h", initial: "unknown" }, whenAllDown: "try-all" } }],
  alone: [1, { retry: 0, health: { passive } }],
  tiers: [4, { retry: { attempts: 3, budget: "100%" }, health: { check, passive: "off" } }],
};

/** Where the endpoints of `tiers` stand, best first. */
const TIERS = [{ locality: "here" }, { locality: "there" }, { priority: 1, locality: "here" }, { backup: true }];

beforeAll(async () => {
  all = await originProcesses(Object.values(UPSTREAMS).reduce((sum, [count]) => sum + count, 0));
  choked = await OriginProcess.start(0, 1);
  const left = [...all];
  const upstreams = Object.entries(UPSTREAMS).map(([name, [count, settings]]) => {
    const own = left.splice(0, count);
    if (name === "choked") own.unshift(choked);
    origins[name] = own;
    const endpoints = own.map(({ address }, i) => (name === "tiers" ? { address, ...TIERS[i] } : address));
    return [name, { endpoints, ...settings }];
  });
  await origins["refused"]![0]!.kill();
  await Promise.all(origins["all-try"]!.map((origin) => origin.kill()));
  gateway = await chaosGateway(Object.fromEntries(upstreams), { locality: "here" });
}, 30_000);

afterAll(async () => {
  await stopLoads();
  try {
    await nothingInFlight(gateway);
  } finally {
    await gateway.stop();
    choked.stop();
    all[Symbol.dispose]();
  }
}, 30_000);

/** A first and a second endpoint, and load on both. */
function of(name: string) {
  const [first, second] = origins[name]!;
  const load = new Load(gateway.port, `/${name}/`);
  return { first: first!, second: second!, load };
}

const ask = (name: string, what = "") => exchange(gateway.port, get(`/${name}/${what}`), "GET", LATE_MS);

/** Waits until requests that are made from then on reach it. */
async function isBack(load: Load, origin: OriginProcess, since: number): Promise<void> {
  await until(() => load.from(origin, since).length > 0, `answers of ${origin.address}`, LATE_MS);
}

/** Waits for a check to be over, so that the next one is not yet under way. */
async function betweenChecks(origin: OriginProcess): Promise<void> {
  const { checks } = await origin.counts();
  await until(async () => (await origin.counts()).checks > checks, `a check of ${origin.address}`);
}

/** For how long an endpoint was to be out, each time. */
const ejections = (name: string, { address }: OriginProcess): string[] =>
  eventsOf(gateway, name, "an endpoint is ejected")
    .filter(({ facts }) => facts["endpoint"] === address)
    .map(({ facts }) => facts["for"]!);

describe.concurrent("an endpoint that is killed under load", () => {
  test("with checks: no request fails, it is down after `fall` checks and up after `rise`", async () => {
    const { first, second, load } = of("checked");
    await load.more(20);
    await betweenChecks(first);
    await first.kill();
    const down = await event(gateway, "checked", "an endpoint is down");
    expect(down.facts).toMatchObject({ endpoint: first.address, reason: expect.stringContaining("ECONNREFUSED") });
    const meanwhile = await load.more(20);
    expect(new Set(meanwhile.map(({ origin }) => origin))).toEqual(new Set([second.address]));
    expect(await metric(gateway, "lintel_upstream_endpoint_up", { endpoint: first.address })).toBe(0);

    const startedAt = now();
    await first.restart();
    await isBack(load, first, startedAt);
    expect((await first.counts()).checks).toBeGreaterThanOrEqual(check.rise);
    await event(gateway, "checked", "an endpoint is up");
    expect(await metric(gateway, "lintel_upstream_endpoint_up", { endpoint: first.address })).toBe(1);
    await load.stop();
    expect(load.failures).toEqual([]);
    const refused = { upstream: "checked", code: "upstream-connect-refused" };
    expect(await metric(gateway, "lintel_upstream_failures_total", refused)).toBeGreaterThan(0);
  });

  test("without checks: no request fails, three of them eject it, and it is back after its time", async () => {
    const { first, second, load } = of("watched");
    await load.more(20);
    await first.kill();
    const out = await event(gateway, "watched", "an endpoint is ejected");
    expect(out.facts).toMatchObject({ endpoint: first.address, for: "1 s" });
    expect(out.facts["reason"]).toMatch(/^failed [3-9] times in a row: upstream-(connect-refused|reset|closed)$/);
    await first.restart();
    await isBack(load, first, out.at);
    await event(gateway, "watched", "an ejected endpoint is back");
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(load.from(second).length).toBeGreaterThan(0);
  });
});

describe.concurrent("an endpoint that is frozen: connections are accepted, and nobody answers", () => {
  test("without checks: perAttempt ends each attempt, another endpoint answers, it is ejected until it is thawed", async () => {
    const { first, load } = of("frozen");
    await load.more(20);
    first.freeze();
    const out = await event(gateway, "frozen", "an endpoint is ejected");
    expect(out.facts["reason"]).toMatch(/^failed \d+ times in a row: upstream-attempt-timeout$/);
    // While it stays frozen it is tried again, and ejected for twice the time.
    const again = await event(gateway, "frozen", "an endpoint is ejected", 2);
    expect(again.facts["for"]).toBe("2 s");
    first.thaw();
    await isBack(load, first, again.at);
    await load.stop();
    expect(load.failures).toEqual([]);
    const saved = { upstream: "frozen", code: "upstream-attempt-timeout" };
    expect(await metric(gateway, "lintel_upstream_failures_total", saved)).toBeGreaterThanOrEqual(3);
  });

  test("with checks: each takes its timeout, and no request fails meanwhile", async () => {
    const { first, load } = of("frozen-checked");
    await load.more(20);
    await betweenChecks(first);
    first.freeze();
    await event(gateway, "frozen-checked", "an endpoint is down");
    expect(eventsOf(gateway, "frozen-checked", "an endpoint is up")).toEqual([]);
    first.thaw();
    // The check that was under way at that moment may have been the first to pass.
    const up = await event(gateway, "frozen-checked", "an endpoint is up");
    await isBack(load, first, up.at);
    await load.stop();
    expect(load.failures).toEqual([]);
  });

  test("firstOctet is a timeout too; what is not idempotent is not sent twice (RFC 9110 §9.2.2)", async () => {
    const { first, second, load } = of("frozen-silent");
    await load.stop();
    await second.clear();
    first.freeze();
    const outcomes = await Promise.all(
      Array.from({ length: 6 }, (_, i) => exchange(gateway.port, post(`/frozen-silent/${i}`, "buy"), "POST", LATE_MS)),
    );
    const lines = await Promise.all(outcomes.map((_, i) => gateway.logOf(`/frozen-silent/${i}`)));
    for (const [i, { status, text }] of outcomes.entries()) {
      const isFirst = lines[i]!["endpoint"] === first.address;
      expect([status, lines[i]!["attempts"]]).toEqual([isFirst ? 504 : 200, 1]);
      if (isFirst) expect(lines[i]).toMatchObject({ outcome: { code: "upstream-first-octet-timeout" } });
      else expect(text).toBe(second.address);
    }
    expect(outcomes.filter(({ status }) => status === 504).length).toBeWithin(1, 6);
    const asked = await Promise.all(Array.from({ length: 6 }, (_, i) => ask("frozen-silent", `get${i}`)));
    expect(asked.map(({ status }) => status)).toEqual(Array(6).fill(200));
    first.thaw();
  });
});

test.concurrent("a frozen endpoint whose backlog is full: whatever the method, another one is tried after the connect timeout", async () => {
  const [first, second] = origins["choked"]!;
  first!.freeze();
  // The kernel accepts what the backlog holds, and is silent to those that come after.
  const waiting = Array.from({ length: 8 }, () => net.connect(first!.port, first!.host).on("error", () => {}));
  await until(() => waiting.filter(({ readyState }) => readyState === "open").length >= 2, "a full backlog");
  const asked = Array.from({ length: 6 }, async (_, i) => {
    const { status, text } = await exchange(gateway.port, post(`/choked/${i}`, "content"), "POST", LATE_MS);
    return { status, text, line: await gateway.logOf(`/choked/${i}`) };
  });
  const answers = await Promise.all(asked);
  for (const socket of waiting) socket.destroy();
  first!.thaw();
  for (const { status, text } of answers) expect([status, text]).toEqual([200, second!.address]);
  const late = answers.filter(({ line }) => line["attempts"] === 2);
  expect(late.length).toBeGreaterThan(0);
  for (const { line } of late) expect(triesOf(line)).toEqual(["upstream-connect-timeout", 200]);
});

test.concurrent("an endpoint that refuses costs nobody anything, whatever the method, and is ejected", async () => {
  const { first, second, load } = of("refused");
  for (let i = 0; i < 6; i++) {
    const response = await exchange(gateway.port, post(`/refused/${i}`, "content"), "POST", LATE_MS);
    expect([response.status, response.text]).toEqual([200, second.address]);
  }
  const out = await event(gateway, "refused", "an endpoint is ejected");
  expect(out.facts).toMatchObject({
    endpoint: first.address,
    reason: expect.stringMatching(/^failed [3-9] times in a row: upstream-connect-refused$/),
  });
  await event(gateway, "refused", "an endpoint is ejected", 2);
  await load.stop();
  expect(load.failures).toEqual([]);
  const lines = (await gateway.log()).filter((line) => String(line["target"]).startsWith("/refused/"));
  const failedOver = lines.filter((line) => line["attempts"] === 2);
  expect(failedOver.length).toBeGreaterThanOrEqual(3);
  for (const line of failedOver) expect(triesOf(line)).toEqual(["upstream-connect-refused", 200]);
});

test.concurrent("an endpoint that comes and goes is out for longer each time, and no request fails", async () => {
  const { first, load } = of("flapping");
  await load.more(20);
  // Up for less time than it was out for, so that nothing is forgiven.
  for (let i = 1; i <= 3; i++) {
    await first.kill();
    await event(gateway, "flapping", "an endpoint is ejected", i);
    await first.restart();
    await event(gateway, "flapping", "an ejected endpoint is back", i);
  }
  await load.stop();
  expect(load.failures).toEqual([]);
  expect(ejections("flapping", first).slice(0, 3)).toEqual(["1 s", "2 s", "2 s"]);
});

test.concurrent("up and down every second, whatever checks and traffic make of it: no request fails", async () => {
  const { first, load } = of("restless");
  for (let i = 0; i < 4; i++) {
    await load.more(10);
    await (i % 2 === 0 ? first.kill() : first.restart());
    await Bun.sleep(1000);
  }
  await isBack(load, first, now());
  await load.stop();
  expect(load.failures).toEqual([]);
});

test.concurrent("an endpoint that answers 503 is ejected as well, and back once it is well", async () => {
  const { first, load } = of("busy");
  await load.more(10);
  await first.behave({ kind: "answer", status: 503 });
  const out = await event(gateway, "busy", "an endpoint is ejected");
  expect(out.facts["reason"]).toMatch(/answered 503$/);
  await first.behave({ kind: "answer" });
  await isBack(load, first, out.at);
  await load.stop();
  expect(load.failures).toEqual([]);
});

describe.concurrent("when all endpoints are down", () => {
  test("`fail` says 503 at once, with a page and a line in the log, until one is up", async () => {
    const [first, second] = origins["all-fail"]!;
    await Promise.all([first!.kill(), second!.kill()]);
    await event(gateway, "all-fail", "an endpoint is down", 2);
    expect(await ask("all-fail", "now")).toMatchObject({ status: 503, text: PAGE });
    expect(await gateway.logOf("/all-fail/now")).toMatchObject({
      status: 503,
      endpoint: null,
      attempts: 0,
      outcome: { code: "no-endpoint", message: expect.stringContaining("of 2, 2 are down by health check") },
    });
    await first!.restart();
    await event(gateway, "all-fail", "an endpoint is up");
    for (let i = 0; i < 6; i++) expect((await ask("all-fail")).text).toBe(first!.address);
  });

  test("`try-all` tries them, so that one that is back serves before any check has seen it", async () => {
    const [, second] = origins["all-try"]!;
    await event(gateway, "all-try", "an endpoint is down", 2);
    expect((await ask("all-try", "now")).status).toBe(502);
    expect(triesOf(await gateway.logOf("/all-try/now"))).toEqual([
      "upstream-connect-refused",
      "upstream-connect-refused",
    ]);
    await second!.restart();
    for (let i = 0; i < 6; i++) expect((await ask("all-try")).text).toBe(second!.address);
    expect(eventsOf(gateway, "all-try", "an endpoint is up")).toEqual([]);
  });
});

test.concurrent("an endpoint that is alone is never ejected", async () => {
  const [only] = origins["alone"]!;
  await only!.behave({ kind: "answer", status: 503 });
  for (let i = 0; i < 20; i++) expect((await ask("alone")).text).toBe(only!.address);
  await only!.kill();
  for (let i = 0; i < 20; i++) expect((await ask("alone")).status).toBe(502);
  await only!.restart();
  await only!.behave({ kind: "answer" });
  for (let i = 0; i < 6; i++) expect(await ask("alone")).toMatchObject({ status: 200, text: only!.address });
  expect(eventsOf(gateway, "alone")).toEqual([]);
});

test.concurrent("tiers take over one after the other (locality, priority, backup) and give back, and no request fails", async () => {
  const list = origins["tiers"]!;
  await using load = new Load(gateway.port, "/tiers/");
  const onlyFrom = async (origin: OriginProcess): Promise<void> =>
    until(
      async () => (await load.more(12)).every((answer) => answer.origin === origin.address),
      `only answers of ${origin.address}`,
      LATE_MS,
    );
  await onlyFrom(list[0]!);
  for (let i = 0; i < 3; i++) {
    await list[i]!.kill();
    await onlyFrom(list[i + 1]!);
  }
  for (let i = 2; i >= 0; i--) {
    await list[i]!.restart();
    await onlyFrom(list[i]!);
  }
  expect(load.failures).toEqual([]);
});
