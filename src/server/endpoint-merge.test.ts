import { expect, test } from "bun:test";
import type { UpstreamConfig } from "../config/gateway-config.ts";
import type { EndpointSpec } from "../upstream/endpoint-spec.ts";
import { mergeEndpoints, NO_OVERRIDE, type Override } from "./endpoint-merge.ts";

const spec = (address: string, more: Partial<EndpointSpec> = {}): EndpointSpec => ({
  address,
  weight: 1,
  backup: false,
  priority: 0,
  locality: null,
  maxInFlight: Infinity,
  ...more,
});
const config = (endpoints: EndpointSpec[], maxInFlight = Infinity) =>
  ({ endpoints, maxInFlight }) as unknown as UpstreamConfig;
const overrides = (entries: Record<string, Partial<Override>>) =>
  new Map(Object.entries(entries).map(([address, override]) => [address, { ...NO_OVERRIDE, ...override }]));
const shown = (...args: Parameters<typeof mergeEndpoints>) =>
  mergeEndpoints(...args).map(({ spec: { address, weight }, source }) => `${address} ${weight} ${source}`);

test("config, providers and operators in this order, each address once", () => {
  const provided = [
    ["dns", [spec("b:1", { weight: 2 }), spec("c:1")]],
    ["file", null],
  ] as const;
  const added = overrides({ "d:1": { added: spec("d:1") }, "a:1": { added: spec("a:1", { weight: 9 }) } });
  expect(shown(config([spec("a:1"), spec("b:1")]), provided, added)).toEqual([
    "a:1 1 config",
    "b:1 1 config",
    "c:1 1 dns",
    "d:1 1 operator",
  ]);
});

test("operators take out and weigh what others name", () => {
  const said = overrides({ "a:1": { removed: true }, "b:1": { weight: 0 } });
  expect(shown(config([spec("a:1"), spec("b:1")]), [], said)).toEqual(["b:1 0 config"]);
});

test("an endpoint without a limit of its own has the upstream's", () => {
  const merged = mergeEndpoints(config([], 7), [["dns", [spec("a:1"), spec("b:1", { maxInFlight: 3 })]]], new Map());
  expect(merged.map((one) => one.spec.maxInFlight)).toEqual([7, 3]);
});
