import { afterEach, expect, test } from "bun:test";
import { createLog, SILENT } from "../base/log.ts";
import { sockaddrHost, sockaddrPort } from "../net/address.ts";
import { until } from "../net/testing.ts";
import type { Endpoint } from "./endpoint.ts";
import { type Lookup, Resolver } from "./resolver.ts";
import { endpoint } from "./testing.ts";

let resolver: Resolver | null = null;
afterEach(() => resolver?.stop());

/** A lookup that gives each answer once, then the last for ever. */
function answering(...answers: (readonly string[] | Error)[]): Lookup & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    refreshMs: 5,
    retryMs: 5,
    async find(host) {
      asked.push(host);
      const answer = answers[Math.min(asked.length, answers.length) - 1]!;
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
}

const known = ({ sockaddrs }: Endpoint) => sockaddrs.map((one) => `${sockaddrHost(one)} ${sockaddrPort(one)}`);

test("an IP literal is not looked up", async () => {
  const lookup = answering([]);
  resolver = new Resolver(SILENT, lookup);
  for (const [address, expected] of [
    ["192.0.2.1:80", "192.0.2.1 80"],
    ["[2001:db8::1]:8080", "2001:db8::1 8080"],
    ["unix:/run/app.sock", " 0"],
  ] as const) {
    const one = endpoint(address);
    await resolver.follow(one);
    expect(known(one)).toEqual([expected]);
  }
  expect(lookup.asked).toEqual([]);
});

test("localhost has the addresses the system gives it, with the endpoint's port", async () => {
  resolver = new Resolver(SILENT);
  const one = endpoint("localhost:3000");
  await resolver.follow(one);
  expect(known(one)).toContain("127.0.0.1 3000");
  for (const address of known(one)) expect(["127.0.0.1 3000", "::1 3000"]).toContain(address);
});

test("a name keeps its addresses in the order they came, of both families", async () => {
  resolver = new Resolver(SILENT, answering(["2001:db8::1", "192.0.2.1", "192.0.2.2"]));
  const one = endpoint("app.internal:80");
  await resolver.follow(one);
  expect(known(one)).toEqual(["2001:db8::1 80", "192.0.2.1 80", "192.0.2.2 80"]);
});

test("it is looked up again and again, and what changes is taken over", async () => {
  const lookup = answering(["192.0.2.1"], ["192.0.2.2"]);
  resolver = new Resolver(SILENT, lookup);
  const one = endpoint("app.internal:80");
  await resolver.follow(one);
  await until(() => known(one)[0] === "192.0.2.2 80");
  await until(() => lookup.asked.length > 3);
});

test("a lookup that fails, or finds nothing, keeps what was known and says so in the log", async () => {
  const lines: string[] = [];
  const log = createLog({ level: "warn", format: "text", write: (line) => lines.push(line) });
  const lookup = answering(["192.0.2.1"], new Error("EAI_AGAIN"), [], ["192.0.2.9"]);
  resolver = new Resolver(log, lookup);
  const one = endpoint("app.internal:80");
  await resolver.follow(one);
  await until(() => lookup.asked.length === 3);
  expect(known(one)).toEqual(["192.0.2.1 80"]);
  await until(() => known(one)[0] === "192.0.2.9 80");
  expect(lines).toHaveLength(2);
  expect(lines[0]).toContain("endpoint=app.internal:80");
  expect(lines[0]).toContain("EAI_AGAIN");
});

test("a name that fails at the start leaves no address, does not throw, and is tried again", async () => {
  resolver = new Resolver(SILENT, answering(new Error("ENOTFOUND"), ["192.0.2.1"]));
  const one = endpoint("app.internal:80");
  await resolver.follow(one);
  expect(known(one)).toEqual([]);
  await until(() => known(one).length === 1);
});

test("after stop nothing is looked up any more, not even by a lookup that was on its way", async () => {
  const lookup = answering(["192.0.2.1"]);
  const { promise, resolve } = Promise.withResolvers<void>();
  resolver = new Resolver(SILENT, { ...lookup, find: (host) => promise.then(() => lookup.find(host)) });
  const following = resolver.follow(endpoint("app.internal:80"));
  resolver.stop();
  resolve();
  await following;
  await Bun.sleep(40);
  expect(lookup.asked).toHaveLength(1);
});

test("what is no address is refused", async () => {
  resolver = new Resolver(SILENT, answering([]));
  await expect(resolver.follow(endpoint("nonsense"))).rejects.toThrow("nonsense is not an address");
});
