/** Every example of the pages of middlewares is served, in the order of its page, and does what the page says. */
import { afterEach, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { PageReader, textOf } from "./support/page-reader.ts";
import { closeClients, get, RawClient } from "./support/raw.ts";

const pages = readdirSync(join(import.meta.dir, "../docs/middleware"))
  .filter((name) => name.endsWith(".md"))
  .map((name) => name.slice(0, -".md".length));

afterEach(closeClients);

const drivers: Record<string, (reader: PageReader) => Promise<void>> = {
  async headers(reader) {
    await reader.next();
    reader.one.script = (request) =>
      request.reply({ fields: { Server: "old", "X-Powered-By": "x", "Cache-Control": "max-age=5" } });
    const response = await reader.askOf("www.example.com", "GET /");
    expect([response.field("server"), response.field("x-powered-by")]).toEqual([undefined, undefined]);
    expect(response.field("x-content-type-options")).toBe("nosniff");
    expect(response.field("referrer-policy")).toBe("strict-origin-when-cross-origin");
    expect(response.field("cache-control")).toBe("max-age=5");
    reader.one.script = (request) => request.reply();
    expect((await reader.askOf("www.example.com", "GET /")).field("cache-control")).toBe("no-cache");

    await reader.next();
    await reader.ask("GET /", "X-Internal-Admin: yes", "X-Internal-Site: mine", "Cookie: tenant=acme");
    expect(reader.one.last.field("x-internal-admin")).toBeUndefined();
    for (const name of ["x-internal-site", "x-internal-route"])
      expect(reader.one.last.field(name)).toMatch(/^(?!mine)./);
    expect(reader.one.last.field("x-tenant")).toBe("acme");

    await reader.next();
    const fields = { "Set-Cookie": "a=b; Domain=app.internal; Path=/", Link: "<http://app.internal/draft/x>" };
    reader.one.script = (request) => request.reply({ fields });
    const replaced = await reader.ask("GET /");
    expect(replaced.field("set-cookie")).toBe("a=b; Path=/");
    expect(replaced.field("link")).toBe("<http://a.example/x>");
  },

  async rewrite(reader) {
    await reader.next();
    expect((await reader.ask("GET /api/a%2Fb?c")).text).toBe("one /a%2Fb?c");
    expect((await reader.ask("GET /apis")).text).toBe("two /apis");

    await reader.next();
    expect((await reader.ask("GET /article-12.html")).text).toBe("one /v2/articles/12");
    expect((await reader.ask("GET /other")).text).toBe("one /v2/other");

    await reader.next();
    const target = "/t/acme/list?utm_source=x&page=2&fbclid=y&tenant=other";
    expect((await reader.ask(`GET ${target}`)).text).toBe("one /list?page=2&tenant=acme");
  },

  async redirect(reader) {
    await reader.next();
    const renamed = await reader.askOf("example.com", "GET /a%20b?c=d");
    expect([renamed.status, renamed.field("location")]).toEqual([308, "https://www.example.com/a%20b?c=d"]);
    expect((await reader.askOf("www.example.com", "GET /a")).text).toBe("one /a");

    await reader.next();
    const moved = await reader.ask("GET /blog/2026/x");
    expect([moved.status, moved.field("location")]).toEqual([301, "/articles/2026/x"]);
    const away = await reader.ask("GET /status");
    expect([away.status, away.field("location")]).toEqual([302, "https://status.example.com/?from=a.example"]);
    expect((await reader.ask("GET /x")).text).toBe("one /x");

    await reader.next();
    const secure = await reader.askOf("a.example:8080", "GET /x?y");
    expect([secure.status, secure.field("location")]).toEqual([308, "https://a.example/x?y"]);
  },

  async respond(reader) {
    await reader.next();
    expect(await reader.ask("GET /healthz")).toMatchObject({ status: 200, text: "ok\n" });
    expect((await reader.ask("GET /internal/x")).status).toBe(404);
    expect((await reader.ask("GET /x")).text).toBe("one /x");

    await reader.next();
    const busy = await reader.ask("GET /any");
    expect(busy.status).toBe(503);
    expect(busy.text).toContain("<p>a.example is being worked on.");
    expect(["content-type", "retry-after", "cache-control"].map((name) => busy.field(name))).toEqual([
      "text/html; charset=utf-8",
      "600",
      "no-store",
    ]);

    await reader.next();
    const who = await reader.ask("GET /whoami", 'User-Agent: a "quoted" one');
    expect(JSON.parse(who.text)).toEqual({ address: "127.0.0.1", agent: 'a "quoted" one' });
  },

  async files(reader) {
    reader.put("public/index.html", "the start");
    reader.put("dist/index.html", "the application");
    reader.put("dist/assets/app-1f.js", "plain");
    reader.put("dist/assets/app-1f.js.br", "smaller");
    reader.put("releases/lintel.deb", "a package");
    await reader.next();
    expect((await reader.askOf("www.example.com", "GET /")).text).toBe("the start");
    expect((await reader.askOf("www.example.com", "GET /none")).status).toBe(404);

    await reader.next();
    expect((await reader.ask("GET /api/x")).text).toBe("one /api/x");
    const asset = await reader.ask("GET /assets/app-1f.js", "Accept-Encoding: br");
    expect([asset.text, asset.field("content-encoding"), asset.field("cache-control")]).toEqual([
      "smaller",
      "br",
      "public, max-age=31536000, immutable",
    ]);
    expect((await reader.ask("GET /assets/none.js")).status).toBe(404);
    const page = await reader.ask("GET /some/view");
    expect([page.text, page.field("cache-control")]).toEqual(["the application", "no-cache"]);

    await reader.next({}, (text) => text.replace("/srv/releases", "./releases"));
    const file = await reader.ask("GET /downloads/lintel.deb");
    expect([file.text, file.field("content-type")]).toEqual(["a package", "application/vnd.debian.binary-package"]);
    expect((await reader.ask("GET /x")).text).toBe("one /x");
  },

  async "body-limit"(reader) {
    const upload = (path: string, octets: number) =>
      reader.ask(`POST ${path}`, `Content-Length: ${octets}`, "Expect: 100-continue");
    await reader.next();
    reader.one.script = (request) => request.reply({ content: "taken" });
    expect((await upload("/upload/x", 1_900_000_000)).text).toBe("taken");
    expect((await upload("/upload/x", 2_000_000_001)).status).toBe(413);
    expect((await upload("/other", 65_536)).text).toBe("taken");
    expect((await upload("/other", 65_537)).status).toBe(413);

    await reader.next({ limits: { content: "1KB" } });
    reader.one.script = (request) => request.reply({ content: "taken" });
    expect((await upload("/ingest", 1_000_000_000)).text).toBe("taken");
    expect((await upload("/other", 1001)).status).toBe(413);
  },

  async timeouts(reader) {
    // What is told to wait for minutes waits for as long as the other takes to be given up.
    const answer = Promise.withResolvers<void>();
    const waits = async (path: string) => {
      const client = await RawClient.connect(reader.port);
      await client.send(get(path));
      await reader.one.next();
      return client;
    };
    await reader.next({}, (text) => text.replace("10s", "300ms"));
    reader.one.script = async (request) => {
      await answer.promise;
      await request.reply({ content: "in the end" });
    };
    const report = await waits("/reports/1");
    const quick = await waits("/quick");
    expect((await quick.response()).status).toBe(504);
    answer.resolve();
    expect((await report.response()).text).toBe("in the end");

    const rest = Promise.withResolvers<void>();
    await reader.next({ timeouts: { upstreamIdle: "300ms" } });
    reader.one.script = async (request) => {
      await request.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none");
      await rest.promise;
      await request.send("two");
    };
    const events = await waits("/events");
    const other = await waits("/other");
    expect(await other.untilClose()).toEndWith("one");
    rest.resolve();
    expect((await events.response()).text).toBe("onetwo");
  },

  async "request-id"(reader) {
    await reader.next();
    const response = await reader.ask("GET /", "X-Request-Id: mine");
    expect(response.field("x-request-id")).toMatch(/^[0-9a-f]{32}$/);
    expect(reader.one.last.field("x-request-id")).toBe(response.field("x-request-id"));

    await reader.next({}, (text) => text.replace("10.0.0.0/8", "127.0.0.0/8"));
    const kept = await reader.ask("GET /", "X-Correlation-Id: theirs", "X-Forwarded-For: 192.0.2.1");
    expect(reader.one.last.field("x-correlation-id")).toBe("theirs");
    expect(kept.field("x-correlation-id")).toBeUndefined();
    await reader.ask("GET /", "X-Correlation-Id: mine");
    expect(reader.one.last.field("x-correlation-id")).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  },

  async "error-pages"(reader) {
    const away = (text: string) => text.replaceAll("localhost:3000", `127.0.0.1:${reader.closed}`);
    await reader.next({}, away);
    const down = await reader.ask("GET /");
    expect(down.status).toBe(502);
    expect(down.text).toContain("<p>Something went wrong (502).");

    await reader.next();
    reader.one.script = (request) => request.reply({ status: 503, content: "the application's own" });
    expect(await reader.ask("GET /")).toMatchObject({ status: 503, text: expect.stringContaining("<title>Back soon") });
    const api = await reader.ask("GET /", "Accept: application/json");
    expect(JSON.parse(api.text)).toMatchObject({ title: "Service Unavailable", status: 503 });
    reader.one.script = (request) => request.reply({ status: 500, content: "the application's own" });
    expect(await reader.ask("GET /")).toMatchObject({ status: 500, text: "the application's own" });

    await reader.next({}, away);
    const problem = await reader.ask("GET /api/x");
    expect(problem.field("content-type")).toBe("application/problem+json");
    const example = /^```json\n(.*)\n```$/m.exec(textOf("middleware/error-pages.md"))![1]!;
    expect(Object.keys(JSON.parse(problem.text))).toEqual(Object.keys(JSON.parse(example)));
    expect(JSON.parse(problem.text)).toMatchObject({ title: "Bad Gateway", status: 502 });
    expect(JSON.parse((await reader.ask("GET /gone")).text)).toMatchObject({ title: "Gone", status: 410 });

    await reader.next({}, away);
    expect(await reader.ask("GET /none")).toMatchObject({ status: 404, text: "page errors/404.html" });
    expect(await reader.ask("GET /shop/x")).toMatchObject({ status: 502, text: "page errors/down.html" });
  },

  // Calls that succeed are in e2e/grpc-web.test.ts: here nobody listens at the endpoint.
  async "grpc-web"(reader) {
    const call = () =>
      reader.askOf(
        "api.example.com",
        "POST /shop.Cart/Add",
        "Content-Type: application/grpc-web+proto",
        "Content-Length: 0",
      );
    while (reader.left > 0) {
      await reader.next({}, (text) => text.replaceAll("10.0.0.5:50051", `127.0.0.1:${reader.closed}`));
      const answer = await call();
      expect(answer.status).toBe(200);
      expect(answer.field("content-type")).toBe("application/grpc-web+proto");
      expect(answer.field("grpc-status")).toBe("14");
    }
    const preflight = await reader.askOf("api.example.com", "OPTIONS /shop.Cart/Add");
    expect([preflight.status, preflight.field("access-control-allow-methods")]).toEqual([204, "POST"]);
    expect(preflight.field("access-control-allow-origin")).toBe("https://shop.example.com");
  },
};

test.each(pages)(
  "the examples of docs/middleware/%s.md do what the page says",
  async (page) => {
    const drive = drivers[page];
    if (drive === undefined) throw new Error(`nothing here drives the examples of ${page}`);
    await using reader = await PageReader.open(`middleware/${page}.md`);
    await drive(reader);
    expect(reader.left).toBe(0);
  },
  60_000,
);
