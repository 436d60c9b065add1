import { afterEach, beforeEach, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../test/support/until.ts";
import { createLog } from "../base/log.ts";
import { catalog } from "../cli/catalog.ts";
import { loadConfig } from "../config/load.ts";
import type { Published } from "./certificate-directory.ts";
import { type LocalClock, LocalSource } from "./local-source.ts";

const SECOND_MS = 1000;

/** Time that passes as the test says. */
class Clock implements LocalClock {
  #now = Date.UTC(2026, 0, 1);
  #alarm: { readonly at: number; readonly run: () => void } | null = null;

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    // It has one at most.
    expect(this.#alarm).toBeNull();
    const alarm = { at: this.#now + ms, run };
    this.#alarm = alarm;
    return () => {
      if (this.#alarm === alarm) this.#alarm = null;
    };
  }

  get isIdle(): boolean {
    return this.#alarm === null;
  }

  /** @returns whether the alarm went off within that time, which has passed no further then */
  pass(ms: number): boolean {
    const alarm = this.#alarm;
    if (alarm === null || alarm.at > this.#now + ms) {
      this.#now += ms;
      return false;
    }
    this.#now = alarm.at;
    this.#alarm = null;
    alarm.run();
    return true;
  }
}

let folder: string;
let clock: Clock;
let source: LocalSource;
/** What the workers have, and how often they were told. */
let published: Published;
let times: number;

async function use(local: object | false): Promise<void> {
  const tree = {
    listeners: [{ name: "secure", address: ":443", tls: true }],
    tls: { local, certificates: { cert: "a.pem", key: "a.key" } },
    sites: [{ hosts: ["app.test", "*.demand.test"], to: "localhost:1" }],
  };
  const { config } = await loadConfig({ tree, origin: "test" }, catalog, {});
  await source.use(config!, folder, async (next) => {
    published = next;
    times += 1;
  });
}

const certificateOf = (name: string): X509Certificate | null => {
  const found = published.certificates?.find(({ names }) => names.includes(name));
  return found === undefined ? null : new X509Certificate(found.cert);
};

/** Lets time pass up to the next alarm, and the workers hear of what it brought. */
async function untilTold(mostMs: number): Promise<void> {
  const before = times;
  expect(clock.pass(mostMs)).toBe(true);
  await until(() => times > before, "the workers to be told");
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lintel-local-source-"));
  clock = new Clock();
  published = {};
  times = 0;
  const log = createLog({ level: "error", format: "text", write: () => {} });
  source = new LocalSource({ folder, log, coverage: () => () => false, clock });
});

afterEach(() => {
  source.stop();
  expect(clock.isIdle).toBe(true);
  rmSync(folder, { recursive: true, force: true });
});

// Below a lifetime of ten minutes, the look that comes anyway would be too late.
test.each([
  ["60s", 60 * SECOND_MS],
  ["10m", 600 * SECOND_MS],
  ["1h", 3600 * SECOND_MS],
])("certificates that live for %s are made anew at two thirds of it, again and again", async (lifetime, lifetimeMs) => {
  await use({ lifetime });
  let current = certificateOf("app.test")!;
  for (let renewals = 0; renewals < 3; ) {
    await untilTold(lifetimeMs);
    expect(clock.now()).toBeLessThan(current.validToDate.getTime());
    const next = certificateOf("app.test")!;
    if (next.fingerprint256 === current.fingerprint256) continue;
    renewals += 1;
    // Certificates tell whole seconds.
    const left = current.validToDate.getTime() - clock.now();
    expect(Math.round(left / SECOND_MS)).toBe(lifetimeMs / 3 / SECOND_MS);
    expect(next.validToDate.getTime() - clock.now()).toBe(lifetimeMs);
    expect(source.renewalOf(next.fingerprint256.replaceAll(":", "").toLowerCase())).toBe(
      clock.now() + (lifetimeMs * 2) / 3,
    );
    current = next;
  }
});

test("one that was asked for goes when it is due, and who asks again gets another", async () => {
  await use({ lifetime: "60s" });
  // The alarm that stands is for those of the beginning.
  clock.pass(30 * SECOND_MS);
  await source.obtain("a.demand.test");
  const first = certificateOf("a.demand.test")!;
  await untilTold(10 * SECOND_MS);
  expect(certificateOf("a.demand.test")?.fingerprint256).toBe(first.fingerprint256);
  await untilTold(30 * SECOND_MS);
  expect(certificateOf("a.demand.test")).toBeNull();
  expect(clock.now()).toBeLessThan(first.validToDate.getTime());
  await source.obtain("a.demand.test");
  expect(certificateOf("a.demand.test")?.validToDate.getTime()).toBe(clock.now() + 60 * SECOND_MS);
});

test("a name that is none of the local CA's gets nothing; without it, nothing is served and nothing left to do", async () => {
  await use({});
  await source.obtain("stranger.example");
  expect(published.certificates?.map(({ names }) => names)).toEqual([["localhost"], ["app.test"]]);
  await use(false);
  await source.obtain("b.demand.test");
  expect(published).toEqual({});
  expect(clock.isIdle).toBe(true);
});
