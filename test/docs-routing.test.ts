/** The examples of the pages on routing, variables and forwarded fields are served, and do what the pages say. */
import { afterEach, expect, test } from "bun:test";
import { PageReader } from "./support/page-reader.ts";
import { closeClients } from "./support/raw.ts";

afterEach(closeClients);

test("docs/routing.md", async () => {
  await using reader = await PageReader.open("routing.md");
  const { one } = reader;
  await reader.next();
  expect((await reader.askOf("example.com", "GET /")).text).toBe("one /");
  expect((await reader.askOf("a.preview.example.com", "GET /")).text).toBe("two /");
  expect(await reader.askOf("a.b.preview.example.com", "GET /")).toMatchObject({
    status: 421,
    text: "not served here\n",
  });

  await reader.next();
  const answers = (path: string) => reader.askOf("example.com", `GET ${path}`).then(({ text }) => text);
  expect(await answers("/x")).toBe("one /x");
  expect(await answers("/api/x")).toBe("two /api/x");
  expect(await answers("/api/users/7")).toBe("two /api/users/7");
  expect(await answers("/api/health")).toBe("ok");

  await reader.next();
  const shop = (...fields: string[]) => reader.askOf("example.com", "GET /shop/x", ...fields);
  expect((await shop("Cookie: beta=1", "User-Agent: curl")).text).toBe("two /shop/x");
  expect((await shop("Cookie: beta=1", "User-Agent: a bot")).text).toBe("one /shop/x");
  expect((await shop("Cookie: beta=0")).text).toBe("one /shop/x");
  expect((await reader.askOf("example.com", "GET /admin/x")).status).toBe(403);
  const length = "Content-Length: 1000001";
  expect((await reader.askOf("example.com", "PUT /x", length)).status).toBe(413);
  expect((await reader.askOf("example.com", "GET /x?edit", length)).status).toBe(413);
  one.script = (request) => request.reply({ content: "taken" });
  expect((await reader.askOf("example.com", "PATCH /x", length)).text).toBe("taken");

  await reader.next();
  expect((await reader.ask("GET /search")).field("location")).toBe("/");
  expect((await reader.ask("GET /search?q")).text).toBe("one /search?q");
  expect((await reader.ask("GET /admin/x", "User-Agent: MSIE")).text).toBe("one /admin/x");
  expect(reader.left).toBe(0);
}, 60_000);

test("docs/variables.md", async () => {
  await using reader = await PageReader.open("variables.md");
  const { one } = reader;
  await reader.next();
  const response = await reader.ask("GET /x", "Cookie: language=eo");
  expect(response.field("x-served-by")).toBe(one.address);
  expect(one.last.field("x-language")).toBe("eo");
  expect(one.last.field("x-client-port")).toMatch(/^\d+$/);
  expect((await reader.ask("GET /users/7")).field("location")).toBe("/people/7");
  expect(await reader.ask("GET /search")).toMatchObject({ status: 400, text: "what for?\n" });
  expect((await reader.ask("GET /search?q=a")).text).toBe("one /search?q=a");
  expect(reader.left).toBe(0);
}, 60_000);

test("docs/forwarded-fields.md", async () => {
  await using reader = await PageReader.open("forwarded-fields.md");
  const { one } = reader;
  const claimed = ["X-Forwarded-For: 198.51.100.9, 192.0.2.7, 10.1.1.1", "X-Forwarded-Proto: https"];
  await reader.next();
  await reader.ask("GET /", ...claimed);
  expect(["x-forwarded-for", "x-forwarded-proto"].map((name) => one.last.field(name))).toEqual(["127.0.0.1", "http"]);
  // We are one of those that are believed.
  await using trusting = await PageReader.open("forwarded-fields.md");
  await trusting.next({}, (text) => text.replace("[10.0.0.0/8", '["127.0.0.0/8", 10.0.0.0/8'));
  await trusting.ask("GET /", ...claimed);
  const told = trusting.one.last;
  expect(told.field("x-real-ip")).toBe("192.0.2.7");
  expect(told.field("x-forwarded-proto")).toBe("https");
  expect(reader.left).toBe(0);
}, 60_000);
