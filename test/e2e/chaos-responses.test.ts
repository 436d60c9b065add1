/**
 * Chaos: origin servers that break off, say too little, too much or nonsense, or are slow. Whatever they
 * do, a client gets a whole and true response, an honest error, or a message that is seen to be cut.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { needs, program } from "../../src/base/testing.ts";
import { chaosGateway, event, LATE_MS, metric, nothingInFlight, triesOf } from "../support/chaos.ts";
import { curl, curlPath } from "../support/curl.ts";
import type { Gateway } from "../support/gateway.ts";
import { Load, stopLoads } from "../support/load.ts";
import { type Behaviour, type OriginProcess, originProcesses } from "../support/origin-process.ts";
import { exchange, get, post, RawClient } from "../support/raw.ts";

const UPSTREAM_IDLE = 800;
const PER_ATTEMPT = 900;
const HEDGE_AFTER = 400;
const SLOW = 300;

const octets = (after: "keep" | "end" | "reset", text: string): Behaviour => ({ kind: "octets", octets: text, after });
const WELL = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/** What is no response: another endpoint is asked if nothing can be done twice, else it is a 502. */
const NO_RESPONSE: readonly (readonly [name: string, Behaviour, code: string])[] = [
  ["closes before the head", octets("end", ""), "upstream-closed"],
  ["resets before the head", octets("reset", ""), "upstream-reset"],
  ["closes within the head", octets("end", "HTTP/1.1 200 OK\r\nContent-Le"), "upstream-closed"],
  ["resets within the head", octets("reset", "HTTP/1.1 200 OK\r\nContent-Le"), "upstream-reset"],
  ["resets after a 103", octets("reset", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), "upstream-reset"],
  ["speaks another protocol", octets("end", "SSH-2.0-OpenSSH_9.9\r\n"), "upstream-malformed"],
  ["has a status of two digits", octets("end", "HTTP/1.1 20 OK\r\n\r\n"), "upstream-malformed"],
  [
    "has two lengths (RFC 9112 §6.3)",
    octets("end", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    "upstream-malformed",
  ],
  [
    "has a length that is none",
    octets("end", "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello"),
    "upstream-malformed",
  ],
  ["has a field line without a colon", octets("end", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), "upstream-malformed"],
  [
    "drips its head for longer than perAttempt",
    { ...octets("keep", WELL), everyMs: 60 } as Behaviour,
    "upstream-attempt-timeout",
  ],
];

/** What begins as a response and never ends as one; the last word is the code that the log has. */
const CUT: readonly (readonly [name: string, Behaviour, code: string])[] = [
  ["closes after the head", octets("end", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), "upstream-truncated"],
  [
    "closes before its length",
    octets("end", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
    "upstream-truncated",
  ],
  [
    "resets before its length",
    octets("reset", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
    "upstream-truncated",
  ],
  [
    "closes before the last chunk",
    octets("end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    "upstream-truncated",
  ],
  [
    "resets before the last chunk",
    octets("reset", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    "upstream-truncated",
  ],
  ["resets content that its close would end", octets("reset", "HTTP/1.1 200 OK\r\n\r\nhello"), "upstream-truncated"],
  [
    "stops in the middle",
    octets("keep", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
    "upstream-idle-timeout",
  ],
  [
    "sends a chunk that is none",
    octets("keep", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX5\r\n"),
    "upstream-malformed",
  ],
];

/** More than a response: what is beyond its end is nobody's, and above all not the next client's. */
const TOO_MUCH: readonly (readonly [name: string, Behaviour])[] = [
  ["more than its length", octets("keep", `${WELL} and more`)],
  [
    "a second response that nobody asked for",
    octets("keep", `${WELL}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`),
  ],
  [
    "octets after the last chunk",
    octets("keep", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nmore"),
  ],
];

const off = { passive: "off" } as const;
const anything = { on: ["connect", "reset", "malformed", "timeout"], perAttempt: `${PER_ATTEMPT}ms`, budget: "100%" };

const origins: Record<string, OriginProcess[]> = {};
let all: OriginProcess[] & Disposable;
let gateway: Gateway;
let bad: OriginProcess;
let good: OriginProcess;

const key = (what: string, i: number): string => `${what}-${i}`;

beforeAll(async () => {
  all = await originProcesses(2 + 9);
  const left = [...all];
  [bad, good] = left.splice(0, 2) as [OriginProcess, OriginProcess];
  const upstreams: Record<string, object> = {};
  const cases = [
    ...NO_RESPONSE.map(([, behaviour], i) => [key("none", i), behaviour] as const),
    ...CUT.map(([, behaviour], i) => [key("cut", i), behaviour] as const),
    ...TOO_MUCH.map(([, behaviour], i) => [key("much", i), behaviour] as const),
  ];
  for (const [name, behaviour] of cases) {
    const settings = { retry: anything, timeouts: { idle: `${UPSTREAM_IDLE}ms` }, health: off };
    const second = { address: good.address, priority: 1 };
    upstreams[name] = { ...settings, endpoints: bad.address };
    upstreams[`${name}-two`] = { ...settings, endpoints: [bad.address, second] };
    for (const below of [name, `${name}-two`]) await bad.behaveBelow(below, behaviour);
  }
  const several = (name: string, count: number, settings: object): void => {
    origins[name] = left.splice(0, count);
    upstreams[name] = { endpoints: origins[name].map(({ address }) => address), ...settings };
  };
  several("least-time", 2, { balance: "least-time", health: off });
  several("outlier", 3, {
    health: { passive: { failures: "off", latency: 3, rateRequests: 10, window: "5s", ejectFor: "1s" } },
  });
  several("hedged", 2, { hedge: { after: `${HEDGE_AFTER}ms` }, retry: { budget: "100%" }, health: off });
  several("killed", 2, { health: off, retry: anything });
  gateway = await chaosGateway(upstreams);
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

const ask = (path: string) => exchange(gateway.port, get(path), "GET", LATE_MS);

describe.concurrent("an origin server that", () => {
  test.each(NO_RESPONSE.map(([name, , code], i) => [name, key("none", i), code] as const))(
    "%s: a GET is answered by another, alone it is an error",
    async (_name, upstream, code) => {
      const saved = await ask(`/${upstream}-two/saved`);
      expect([saved.status, saved.text]).toEqual([200, good.address]);
      expect(triesOf(await gateway.logOf(`/${upstream}-two/saved`))).toEqual([code, 200]);
      const lost = await ask(`/${upstream}/lost`);
      expect(lost.status).toBe(code.endsWith("timeout") ? 504 : 502);
      expect(await gateway.logOf(`/${upstream}/lost`)).toMatchObject({
        attempts: 1,
        outcome: { by: "upstream", code },
      });
      const posted = await exchange(gateway.port, post(`/${upstream}-two/posted`, "buy"), "POST", LATE_MS);
      expect(posted.status).toBe(lost.status);
      expect(await metric(gateway, "lintel_upstream_failures_total", { upstream, code })).toBe(1);
    },
  );

  test.each(CUT.map(([name, , code], i) => [name, key("cut", i), code] as const))(
    "%s: the client sees that the response is cut, and nobody is asked again",
    async (_name, upstream, code) => {
      await expect(ask(`/${upstream}-two/raw`)).rejects.toThrow(/^(end|reset) of the connection/);
      await expect(ask(`/${upstream}/raw`)).rejects.toThrow(/^(end|reset) of the connection/);
      const line = await gateway.logOf(`/${upstream}/raw`);
      expect(line).toMatchObject({
        status: 200,
        attempts: 1,
        outcome: { by: "upstream", phase: "response-content", code },
      });
      expect((await gateway.logOf(`/${upstream}-two/raw`))["attempts"]).toBe(1);
      expect(await metric(gateway, "lintel_failures_total", { code })).toBeGreaterThan(0);
    },
  );

  needs(program("curl", curlPath)).test.each(CUT.map(([name], i) => [name, key("cut", i)] as const))(
    "%s: curl sees that the response is cut",
    async (_name, upstream) => {
      // 18: partial file, 56: failure while receiving; what came before is there, and no more.
      const { exitCode, text } = await curl("--no-show-error", `${gateway.url()}/${upstream}/curl`);
      expect([18, 56]).toContain(exitCode);
      expect("hello".startsWith(text)).toBe(true);
    },
  );

  test.each(TOO_MUCH.map(([name], i) => [name, key("much", i)] as const))(
    "sends %s: clients get the response and nothing of the rest",
    async (_name, upstream) => {
      const answers = await Promise.all(
        Array.from({ length: 4 }, async (_, client) => {
          using connection = await RawClient.connect(gateway.port);
          const texts: string[] = [];
          for (let i = 0; i < 6; i++) {
            await connection.send(get(`/${upstream}/${client}-${i}`));
            const { status, text } = await connection.response("GET", LATE_MS);
            texts.push(`${status} ${text}`);
          }
          return texts;
        }),
      );
      expect(new Set(answers.flat())).toEqual(new Set(["200 hello"]));
    },
  );
});

describe.concurrent("an origin server that is killed", () => {
  test("in the middle of a response: the client sees that it is cut", async () => {
    const [first, second] = origins["killed"]!;
    for (const origin of [first!, second!])
      await origin.behave(octets("keep", "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello"));
    using client = await RawClient.connect(gateway.port);
    await client.send(get("/killed/middle"));
    await client.until("hello", LATE_MS);
    await Promise.all([first!.kill(), second!.kill()]);
    expect(await client.closed(LATE_MS)).toMatch(/end|reset/);
    expect(await gateway.logOf("/killed/middle")).toMatchObject({
      attempts: 1,
      outcome: { code: "upstream-truncated" },
    });
  });
});

describe.concurrent("a slow endpoint", () => {
  test("gets little where `least-time` balances", async () => {
    const [slow, fast] = origins["least-time"]!;
    await slow!.behave({ kind: "answer", delayMs: SLOW });
    const load = new Load(gateway.port, "/least-time/");
    await load.more(100);
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(load.from(slow!).length).toBeLessThan(load.from(fast!).length / 4);
  });

  test("is ejected where others are faster, and back after its time", async () => {
    const [slow] = origins["outlier"]!;
    await slow!.behave({ kind: "answer", delayMs: SLOW });
    const load = new Load(gateway.port, "/outlier/", { clients: 6 });
    const out = await event(gateway, "outlier", "an endpoint is ejected");
    expect(out.facts).toMatchObject({ endpoint: slow!.address, for: "1 s" });
    expect(out.facts["reason"]).toMatch(/^slow: .* where others take /);
    await slow!.behave({ kind: "answer" });
    await event(gateway, "outlier", "an ejected endpoint is back");
    await load.stop();
    expect(load.failures).toEqual([]);
  });

  test("is hedged: another one answers, and the slow attempt is called off", async () => {
    const [slow, fast] = origins["hedged"]!;
    await slow!.behave({ kind: "silent" });
    for (let i = 0; i < 4; i++) expect((await ask(`/hedged/${i}`)).text).toBe(fast!.address);
    const lines = await Promise.all([0, 1, 2, 3].map((i) => gateway.logOf(`/hedged/${i}`)));
    // The fast one may be late as well, on a busy machine, and win all the same.
    const hedged = lines.filter((line) => line["endpoint"] === fast!.address && triesOf(line)[0] === null);
    expect(hedged.length).toBeGreaterThan(0);
    for (const line of hedged)
      expect(line["tries"]).toMatchObject([
        { endpoint: slow!.address, hedge: false, status: null, code: null },
        { endpoint: fast!.address, hedge: true, status: 200, code: null },
      ]);
  });
});
