import { expect, test } from "bun:test";
import { build, get, origin, problems } from "../testing.ts";
import { requestId } from "./request-id.ts";

/** As if a trusted proxy had said who its client is. */
function viaTrustedProxy(id: string) {
  const exchange = get("/", { "x-request-id": id });
  exchange.clientAddress = "203.0.113.9";
  return exchange;
}

test("each exchange gets an identifier that origin server, client and log share", async () => {
  const { handler, seen } = origin();
  const exchange = get();
  const response = await build(requestId, undefined)(handler)(exchange);
  expect(exchange.id).toMatch(/^[0-9a-f]{32}$/);
  expect(seen.fields.get("x-request-id")).toBe(exchange.id);
  expect(response.fields.get("x-request-id")).toBe(exchange.id);
});

test("a client's own identifier is replaced unless its proxy is trusted", async () => {
  const { handler, seen } = origin();
  const identify = build(requestId, {})(handler);
  await identify(get("/", { "x-request-id": "mine" }));
  expect(seen.fields.getAll("x-request-id")).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);
  const trusted = viaTrustedProxy("theirs-1");
  await identify(trusted);
  expect(trusted.id).toBe("theirs-1");
  expect(seen.fields.getAll("x-request-id")).toEqual(["theirs-1"]);
});

test('"always" takes it from anybody, "never" from nobody', async () => {
  const always = get("/", { "x-request-id": "mine" });
  await build(requestId, { accept: "always" })(origin().handler)(always);
  expect(always.id).toBe("mine");
  const never = viaTrustedProxy("theirs");
  await build(requestId, { accept: "never" })(origin().handler)(never);
  expect(never.id).not.toBe("theirs");
});

test.each(["", "a b", "a,b", 'a"b', "a\u00e9", "x".repeat(129), "<script>", "a\tb"])(
  "%j is no identifier to take over",
  async (id) => {
    const exchange = get("/", { "x-request-id": id });
    await build(requestId, { accept: "always" })(origin().handler)(exchange);
    expect(exchange.id).toMatch(/^[0-9a-f]{32}$/);
    expect(exchange.request.fields.get("x-request-id")).toBe(exchange.id);
  },
);

test.each(["x-request-id", "x-trace-id"])("%s does not come in under another spelling either", async (field) => {
  const exchange = get("/", { [field.replaceAll("-", "_").toUpperCase()]: "forged" });
  await build(requestId, { field })(origin().handler)(exchange);
  expect([...exchange.request.fields]).toEqual([[field, exchange.id]]);
});

test("two field lines are one list and therefore no identifier", async () => {
  const exchange = get("/", { "x-request-id": ["a", "b"] });
  await build(requestId, { accept: "always" })(origin().handler)(exchange);
  expect(exchange.request.fields.getAll("x-request-id")).toEqual([exchange.id]);
});

test.each(["x".repeat(128), "A-Za.z_0~9+/="])("%s is taken over", async (id) => {
  const exchange = get("/", { "x-request-id": id });
  await build(requestId, { accept: "always" })(origin().handler)(exchange);
  expect(exchange.id).toBe(id);
});

test.each([
  ["hex", /^[0-9a-f]{32}$/],
  ["uuid", /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/],
  ["uuidv7", /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/],
])("format %s", async (format, shape) => {
  const exchange = get();
  await build(requestId, { format })(origin().handler)(exchange);
  expect(exchange.id).toMatch(shape);
});

test("without `response` the client does not see it, and no promise is added", () => {
  const exchange = get();
  const response = origin(204);
  const made = build(requestId, { response: false, field: "X-Trace" })(response.handler)(exchange);
  expect(exchange.request.fields.get("x-trace")).toBe(exchange.id);
  return expect(Promise.resolve(made).then(({ fields }) => fields.size)).resolves.toBe(0);
});

test.each(["host", "content-length", "a b", ""])("%j cannot carry it", (field) => {
  expect(problems(requestId, { field })).toHaveLength(1);
});
