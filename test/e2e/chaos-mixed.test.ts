/**
 * Chaos: everything at once, by chance. Endpoints die, freeze, fail and cut; clients leave; a worker is
 * killed; with checks, ejection, retries, hedging, limits, queue and sticky clients all on. In the
 * meantime every answer is a true one, and when it is over nothing is left of it.
 */
import { expect, test } from "bun:test";
import { chaosGateway, LATE_MS, nothingInFlight } from "../support/chaos.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Behaviour, type OriginProcess, originProcesses } from "../support/origin-process.ts";
import { exchange, get, post, RawClient, wire } from "../support/raw.ts";
import { until } from "../support/until.ts";

const CHAOS_MS = 6000;
const CLIENTS = 12;
const HELLO = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

const BEHAVIOURS: readonly Behaviour[] = [
  { kind: "answer" },
  { kind: "answer", delayMs: 50 },
  { kind: "answer", delayMs: 250 },
  { kind: "answer", status: 503 },
  { kind: "silent" },
  { kind: "octets", octets: "", after: "reset" },
  { kind: "octets", octets: "HTTP/1.1 200", after: "end" },
  { kind: "octets", octets: `${HELLO}hel`, after: "reset" },
  { kind: "octets", octets: `${HELLO}hello and more`, after: "keep" },
  { kind: "octets", octets: `${HELLO}hello`, everyMs: 5, after: "keep" },
];

const any = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)]!;

test("everything at once: answers are true, and nothing is left of it", async () => {
  using origins = await originProcesses(3);
  const endpoints = origins.map(({ address }) => ({ address, maxInFlight: 4 }));
  const mixed = {
    endpoints,
    balance: "least-requests",
    sticky: { cookie: { name: "to" } },
    slowStart: "500ms",
    queue: { size: 20, timeout: "1s" },
    hedge: { after: "80ms" },
    retry: {
      attempts: 2,
      on: ["connect", "reset", "malformed", "timeout", 503],
      perAttempt: "400ms",
      content: "64KiB",
    },
    circuit: { failures: "90%", requests: 50, openFor: "300ms" },
    health: {
      check: { http: { path: "/healthz" }, every: "200ms", timeout: "200ms", rise: 1, fall: 2 },
      passive: { ejectFor: "200ms", ejectMax: "400ms" },
    },
  };
  await using gateway = await chaosGateway({ mixed });
  const end = performance.now() + CHAOS_MS;
  const seen = new Map<string, number>();
  const true200 = new Set(["hello", ...origins.map(({ address }) => address)]);
  const times = (kind: string) => seen.get(kind) ?? 0;
  const hasSeenEnough = () => times("200") > 20 && times("left") > 3;
  // On a busy machine it takes longer until much has happened.
  const isOver = () => performance.now() > (hasSeenEnough() ? end : end + LATE_MS);

  const endpointChaos = async (origin: OriginProcess): Promise<void> => {
    while (!isOver()) {
      await origin.behave(any(BEHAVIOURS));
      await Bun.sleep(100 + Math.random() * 400);
      const fate = Math.random();
      if (fate < 0.15) await origin.kill();
      else if (fate < 0.3) origin.freeze();
      else continue;
      await Bun.sleep(Math.random() * 600);
      if (fate < 0.15) await origin.restart();
      else origin.thaw();
    }
    await origin.behave({ kind: "answer" });
  };

  const client = async (): Promise<void> => {
    while (!isOver()) {
      const what = await visit(gateway, Math.random() < 0.2);
      if (what.startsWith("200 ")) expect(true200).toContain(what.slice(4));
      const kind = what.startsWith("200 ") ? "200" : what;
      seen.set(kind, times(kind) + 1);
      await Bun.sleep(Math.random() * 20);
    }
  };

  const killOneWorker = async (): Promise<void> => {
    await Bun.sleep(CHAOS_MS / 2);
    gateway.signal("SIGKILL", gateway.workers[0]!);
  };

  await Promise.all([...origins.map(endpointChaos), ...Array.from({ length: CLIENTS }, client), killOneWorker()]);
  expect([...seen.keys()].filter((kind) => !/^(200|502|503|504|cut|left)$/.test(kind))).toEqual([]);
  expect(Object.fromEntries(seen)).toSatisfy(hasSeenEnough);

  // Once all are well for long enough, everything is as if nothing had been.
  const allWell = async () => {
    const answers = await Promise.all(Array.from({ length: 24 }, () => exchange(gateway.port, get("/mixed/"))));
    return answers.every(({ status }) => status === 200) && new Set(answers.map(({ text }) => text)).size === 3;
  };
  await until(allWell, "answers of all endpoints", LATE_MS);
  await nothingInFlight(gateway);
  const open = async () => [...(await gateway.metrics())].filter(([series, value]) => isOpen(series) && value !== 0);
  await until(async () => (await open()).length === 0, "no connection that is active", LATE_MS).catch(() => {});
  expect(await open()).toEqual([]);
}, 120_000);

const isOpen = (series: string): boolean => /^lintel_(upstream_)?connections_active\b/.test(series);

/** @param leaves before it has its answer, mostly */
async function visit(gateway: Gateway, leaves: boolean): Promise<string> {
  using client = await RawClient.connect(gateway.port);
  const method = any(["GET", "POST", "PUT"]);
  if (method === "GET") await client.send(get("/mixed/"));
  else if (method === "POST") await client.send(post("/mixed/", "content"));
  else {
    await client.send(`${wire("PUT /mixed/ HTTP/1.1", "Host: a", "Content-Length: 2000", "", "")}${"a".repeat(1000)}`);
    await Bun.sleep(Math.random() * 30);
    await client.send("b".repeat(1000));
  }
  if (leaves) {
    await Bun.sleep(Math.random() * 150);
    client.reset();
    return "left";
  }
  try {
    const { status, text } = await client.response(method, LATE_MS);
    return status === 200 ? `200 ${text}` : String(status);
  } catch (thrown) {
    return /^(end|reset) of the connection/.test((thrown as Error).message) ? "cut" : (thrown as Error).message;
  }
}
