import { expect, test } from "bun:test";
import { build, get, origin, problems } from "../testing.ts";
import { timeouts } from "./timeouts.ts";

test("what is named is set on the exchange, the rest is left to the upstream and the gateway", async () => {
  const exchange = get();
  await build(timeouts, { connect: "2s", firstOctet: "off" })(origin().handler)(exchange);
  expect(exchange.timeouts).toEqual({ connectMs: 2000, firstOctetMs: Infinity });
});

test("of two on one way the inner one wins where both name a limit", async () => {
  const exchange = get();
  const outer = build(timeouts, { connect: "2s", exchange: "1m" });
  const inner = build(timeouts, { connect: "5s", upstreamIdle: "3s", tunnelIdle: "1h" });
  await outer(inner(origin().handler))(exchange);
  expect(exchange.timeouts).toEqual({
    connectMs: 5000,
    exchangeMs: 60_000,
    upstreamIdleMs: 3000,
    tunnelIdleMs: 3_600_000,
  });
});

test("exchanges share one object and cannot disturb each other", async () => {
  const handler = build(timeouts, { connect: "2s" })(origin().handler);
  const [first, second] = [get(), get()];
  await handler(first);
  await handler(second);
  expect(first.timeouts).toBe(second.timeouts!);
});

test("nothing to set, an unknown limit and a bad duration are errors", () => {
  expect(problems(timeouts, {}).join()).toContain("sets nothing");
  expect(problems(timeouts, { read: "1s" }).join()).toContain("read");
  expect(problems(timeouts, { connect: "soon" }).join()).toContain("is not a duration");
});
