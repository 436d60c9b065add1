import { expect, test } from "bun:test";
import { build, ChunkedBody, get, origin, post, problems } from "../testing.ts";
import { bodyLimit } from "./body-limit.ts";

const limit = build(bodyLimit, { max: 10 });

test.each([0, 10])("declared content of %i octets passes a limit of 10", async (size) => {
  const response = await limit(origin().handler)(post(size));
  expect(response.status).toBe(200);
});

test("declared content over the limit is refused before the origin server is reached", () => {
  const { handler, seen } = origin();
  expect(() => limit(handler)(post(11))).toThrow("exceeds body-limit.max of 10");
  expect(seen.received).toBe(0);
});

test("content of unknown length is cut at the limit and never looks complete", async () => {
  const { handler, seen } = origin();
  const body = new ChunkedBody(6, 6, 6);
  await limit(handler)(post(body));
  expect(seen).toMatchObject({ received: 6, outcome: "content-too-large" });
  expect(body.cancelled?.status).toBe(413);
});

test("content of unknown length that stays within the limit arrives whole", async () => {
  const { handler, seen } = origin();
  await limit(handler)(post(new ChunkedBody(6, 4)));
  expect(seen).toMatchObject({ received: 10, outcome: "complete" });
});

test("the limit takes the place of the site's, whether smaller or larger", async () => {
  const exchange = get();
  await limit(origin().handler)(exchange);
  expect(exchange.maxContentOctets).toBe(10);
});

test("of two limits on a way the inner one replaces the site's and the outer one still counts", () => {
  const outer = build(bodyLimit, "10B");
  const inner = build(bodyLimit, "20B");
  const exchange = post(15);
  expect(() => outer(inner(origin().handler))(exchange)).toThrow("max of 10");
});

test('"off" lets any content pass without counting it', async () => {
  const { handler, seen } = origin();
  const body = new ChunkedBody(100, 100);
  const exchange = post(body);
  await build(bodyLimit, "off")(handler)(exchange);
  expect(exchange.request.body).toBe(body);
  expect(exchange.maxContentOctets).toBe(Infinity);
  expect(seen.received).toBe(200);
});

test("the size alone is enough, and nothing at all means 10MB", () => {
  expect(bodyLimit.options.parse("1KiB")).toEqual({ max: 1024 });
  expect(bodyLimit.options.parse(5)).toEqual({ max: 5 });
  expect(bodyLimit.options.parse(undefined)).toEqual({ max: 10_000_000 });
  expect(bodyLimit.options.parse({})).toEqual({ max: 10_000_000 });
});

test("a size that is none is refused", () => {
  expect(problems(bodyLimit, "10 apples").join()).toContain("is not a size");
  expect(problems(bodyLimit, { max: "10MB", maxSize: 3 }).join()).toContain("maxSize");
});
