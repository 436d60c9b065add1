import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { ControlError } from "../server/control.ts";
import type { Admin } from "../server/supervisor.ts";
import { DirectoryError } from "../server/upstream-directory.ts";
import { operations } from "./operations/operations.ts";
import { startAdmin } from "./server.ts";
import { DocumentJudge, endpointView, type FakeControl, fakeControl } from "./testing.ts";

const TOKEN = "s3cret";
const ENDPOINTS = "/v1/upstreams/app/endpoints";
const judge = new DocumentJudge();
const folder = mkdtempSync(`${tmpdir()}/lintel-api-`);
const admins: Admin[] = [];
afterEach(() => {
  for (const admin of admins.splice(0)) admin.stop();
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Asked {
  /** JSON, or text as it is. */
  readonly content?: unknown;
  readonly fields?: Record<string, string>;
}

/** An API over a unix socket, or over TCP; each answer is held against the document. */
function api(control: FakeControl = fakeControl(), place: "unix" | "tcp" = "unix", token: string | null = null) {
  const path = `${folder}/${admins.length}.sock`;
  const admin = startAdmin({ address: place === "unix" ? `unix:${path}` : "127.0.0.1:0", token }, control);
  admins.push(admin);
  const base = place === "unix" ? "http://localhost/" : admin.url;
  return async (method: string, target: string, { content, fields = {} }: Asked = {}) => {
    const response = await fetch(base.slice(0, -1) + target, {
      method,
      ...(place === "unix" ? { unix: path } : {}),
      headers: { ...(content === undefined ? {} : { "content-type": "application/json" }), ...fields },
      ...(content === undefined ? {} : { body: typeof content === "string" ? content : JSON.stringify(content) }),
    });
    const copy = response.clone();
    const isKnown = response.status !== 404 && response.status !== 405;
    if (isKnown && method !== "HEAD") await judge.check(method, base.slice(0, -1) + target, copy);
    return response;
  };
}

async function told(response: Response): Promise<unknown> {
  return { status: response.status, ...((await response.json()) as object) };
}

describe("the admin API", () => {
  test("says what is running", async () => {
    const status = await told(await api()("GET", "/v1/status"));
    expect(status).toMatchObject({
      status: 200,
      version: "1.2.3",
      startedAt: "2026-01-01T00:00:00.000Z",
      config: { version: 2, generation: 2, lastFailure: { at: "2026-01-02T00:00:00.000Z", reason: "bad" } },
    });
  });

  test.each([
    "/v1/stats",
    "/v1/clients",
    "/v1/upstreams",
    "/v1/upstreams/app",
    "/v1/config/versions",
    "/v1/openapi.json",
  ])("answers GET %s", async (path) => {
    const response = await api()("GET", path);
    expect([response.status, response.headers.get("cache-control")]).toEqual([200, "no-store"]);
  });

  test("answers HEAD as GET, without content", async () => {
    const response = await api()("HEAD", "/v1/status");
    expect([response.status, await response.text()]).toEqual([200, ""]);
  });

  test("an upstream that is not there is a problem with the way out", async () => {
    expect(await told(await api()("GET", "/v1/upstreams/shop"))).toEqual({
      status: 404,
      type: "urn:lintel:problem:unknown-upstream",
      title: "There is no such upstream",
      detail: 'there is no upstream "shop"; there are app',
      hint: null,
    });
  });

  test("paths and methods that are not there say what is", async () => {
    const ask = api();
    expect(await told(await ask("GET", "/v1/upstream"))).toMatchObject({
      status: 404,
      hint: "GET /v1/openapi.json lists what there is",
    });
    const response = await ask("DELETE", "/v1/upstreams/app");
    expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });
});

describe("endpoints", () => {
  test("are added as the config writes them, with the config's defaults", async () => {
    const control = fakeControl();
    const ask = api(control);
    const response = await ask("POST", ENDPOINTS, { content: { address: "Host.Example:81", persist: true } });
    expect(await told(response)).toMatchObject({ status: 201, endpoints: [{}, { address: "host.example:81" }] });
    expect(control.asked).toEqual(["add app host.example:81 1 true"]);
  });

  test("that do not fit into the zone are refused, and not remembered", async () => {
    const control = fakeControl();
    const upstreams = { ...control.upstreams, add: () => {} };
    const response = await api({ ...control, upstreams })("POST", ENDPOINTS, { content: { address: "a:1" } });
    expect(await told(response)).toMatchObject({ status: 409, hint: expect.stringContaining("zone.endpoints") });
    expect(control.asked).toEqual(["restore app a:1"]);
  });

  test.each([
    [{ weight: 5 }, ["weigh app 10.0.0.1:80 5 "]],
    [{ weight: null, persist: false }, ["weigh app 10.0.0.1:80  false"]],
    [{ duty: "draining", deadline: "30s" }, ["setDuty app 10.0.0.1:80 draining 30000 "]],
    [{ duty: "draining" }, ["setDuty app 10.0.0.1:80 draining Infinity "]],
    [
      { duty: "enabled", weight: 1, persist: true },
      ["weigh app 10.0.0.1:80 1 true", "setDuty app 10.0.0.1:80 enabled Infinity true"],
    ],
  ])("are changed: %j", async (content, asked) => {
    const control = fakeControl();
    const response = await api(control)("PATCH", `${ENDPOINTS}/10.0.0.1%3A80`, { content });
    expect(response.status).toBe(200);
    expect(control.asked.map((one) => one.replace("null", ""))).toEqual(asked);
  });

  test.each([
    ["unix:/run/app.sock", "unix%3A%2Frun%2Fapp.sock"],
    ["[2001:db8::1]:80", "[2001:DB8::1]:80"],
    ["10.0.0.1:80", "10.0.0.1:80"],
  ])("%s is named as %s in a path", async (address, written) => {
    const control = fakeControl({}, [endpointView(address)]);
    const ask = api(control);
    expect((await ask("DELETE", `${ENDPOINTS}/${written}?persist=true`)).status).toBe(200);
    expect((await ask("POST", `${ENDPOINTS}/${written}/restore`)).status).toBe(200);
    expect(control.asked).toEqual([`remove app ${address} true`, `restore app ${address}`]);
  });

  test("that are not there, or there already, are a problem", async () => {
    const control = fakeControl();
    const refuse = (kind: DirectoryError["kind"]) => () => {
      throw new DirectoryError(kind, "no");
    };
    const upstreams = { ...control.upstreams, add: refuse("endpoint-exists"), remove: refuse("unknown-endpoint") };
    const ask = api({ ...control, upstreams });
    expect((await ask("POST", ENDPOINTS, { content: { address: "10.0.0.1:80" } })).status).toBe(409);
    expect((await ask("DELETE", `${ENDPOINTS}/x`)).status).toBe(404);
  });
});

describe("content", () => {
  const patch = (content: unknown, fields = {}) =>
    api()("PATCH", `${ENDPOINTS}/10.0.0.1:80`, { content, fields }).then(told);

  test("with several mistakes is told all of them, each with its place", async () => {
    expect(await patch({ weight: 1001, duty: "drain", wieght: 1 })).toMatchObject({
      status: 422,
      type: "urn:lintel:problem:bad-content",
      errors: [
        { pointer: "/weight", detail: '"weight" must be at most 1000, not the number 1001', hint: null },
        {
          pointer: "/duty",
          detail: '"duty" must be "enabled", "draining" or "disabled", not the text "drain"',
          hint: 'did you mean "draining"?',
        },
        {
          pointer: "/wieght",
          detail: '"content" has no key "wieght"',
          hint: 'did you mean "weight"? (keys: weight, duty, deadline, persist)',
        },
      ],
    });
  });

  test.each([
    [{}, "nothing is asked for"],
    [{ deadline: "30s" }, '"deadline" is for draining'],
    [
      { duty: "draining", deadline: "soon" },
      '"soon" is not a duration: write a number with ms, s, m, h or d, such as "30s"',
    ],
    [[], '"content" must be a map, not a list'],
  ])("%j is refused: %s", async (content, detail) => {
    expect(await patch(content)).toMatchObject({ status: 422, detail });
  });

  test("that is no JSON is refused with the place in it", async () => {
    expect(await patch('{"weight": }')).toMatchObject({ status: 400, detail: expect.stringContaining("not JSON") });
  });

  test.each(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])(
    "of type %j, as a form of another page can send, is refused",
    async (type) => {
      expect(await patch('{"weight":1}', { "content-type": type })).toMatchObject({ status: 415 });
    },
  );

  test("over 64 KiB is refused, declared or not", async () => {
    const long = JSON.stringify({ duty: "x".repeat(70_000) });
    expect(await patch(long)).toMatchObject({ status: 413 });
    const path = `${folder}/0.sock`;
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from(long));
        controller.close();
      },
    });
    const fields = { "content-type": "application/json" };
    const response = await fetch(`http://localhost${ENDPOINTS}/x`, {
      method: "PATCH",
      unix: path,
      body,
      headers: fields,
    });
    expect(response.status).toBe(413);
  });

  test("a query that is not known is refused", async () => {
    const response = await api()("DELETE", `${ENDPOINTS}/10.0.0.1:80?persits=true`);
    expect(await told(response)).toMatchObject({ status: 400, errors: [{ pointer: "?persits" }] });
  });
});

describe("config and program", () => {
  test("a reload tells what is different", async () => {
    const changes = ['route "shop" is new'];
    const control = fakeControl({
      reload: async (trigger) => ({
        outcome: "applied",
        generation: 3,
        version: null,
        changes: [...changes, trigger],
        diagnostics: [],
        tookMs: 12,
      }),
    });
    expect(await told(await api(control)("POST", "/v1/reload"))).toMatchObject({
      status: 200,
      outcome: "applied",
      changes: [...changes, "admin API"],
    });
    expect(await told(await api()("POST", "/v1/reload"))).toMatchObject({ outcome: "unchanged", changes: [] });
  });

  test("a config that cannot be served is told with every diagnostic, and that nothing has changed", async () => {
    const diagnostic = {
      file: "lintel.yaml",
      line: 1,
      column: 2,
      length: 3,
      severity: "error",
      code: "x",
      message: "m",
      hint: null,
      path: "sites",
      excerpt: "text",
    } as const;
    const control = fakeControl({
      reload: async () => ({ outcome: "refused", reason: "the config has 1 error", diagnostics: [diagnostic] }),
    });
    expect(await told(await api(control)("POST", "/v1/reload"))).toMatchObject({
      status: 422,
      type: "urn:lintel:problem:config-refused",
      detail: "the config has 1 error",
      hint: expect.stringContaining("nothing has changed"),
      diagnostics: [diagnostic],
    });
  });

  test("versions are listed, shown, compared and served again", async () => {
    const ask = api();
    expect(await told(await ask("GET", "/v1/config/versions"))).toMatchObject({
      versions: [{ number: 2, current: true, at: "2026-01-02T00:00:00.000Z" }, { number: 1 }],
    });
    expect(await told(await ask("GET", "/v1/config/versions/1"))).toMatchObject({ number: 1, text: "a: 1\n" });
    expect(await told(await ask("GET", "/v1/config/diff?from=1&to=2"))).toMatchObject({ diff: "-a: 1\n+a: 2\n" });
    const content = { version: 1 };
    expect(await told(await ask("POST", "/v1/config/rollback", { content }))).toMatchObject({ changes: ["x"] });
  });

  test.each([
    ["GET", "/v1/config/versions/3", 404],
    ["GET", "/v1/config/versions/x", 400],
    ["GET", "/v1/config/diff?from=1&to=9", 404],
    ["GET", "/v1/config/diff?from=1", 400],
    ["POST", "/v1/config/rollback", 404],
  ])("%s %s of a version that is not there is %i", async (method, path, status) => {
    const content = method === "POST" ? { content: { version: 9 } } : {};
    expect((await api()(method, path, content)).status).toBe(status);
  });

  test("an upgrade is begun, or refused with the reason", async () => {
    expect(await told(await api()("POST", "/v1/upgrade"))).toEqual({ status: 202, version: "1.2.4" });
    const refused = fakeControl({
      upgrade: async () => {
        throw new ControlError("upgrade-refused", "it does not start", "look at it");
      },
    });
    expect(await told(await api(refused)("POST", "/v1/upgrade"))).toMatchObject({
      status: 409,
      detail: "it does not start",
      hint: "look at it",
    });
  });

  test("what is thrown unforeseen is 500", async () => {
    const control = fakeControl({
      reload: async () => {
        throw new TypeError("oops");
      },
    });
    expect(await told(await api(control)("POST", "/v1/reload"))).toMatchObject({ status: 500, detail: "oops" });
  });
});

const bearer = (token: string): Asked => ({ fields: { authorization: `Bearer ${token}` } });
const ALL = operations.map(({ id, method, path, access, content }) => ({
  id,
  method,
  access,
  target: path.replace("{name}", "app").replace("{address}", "10.0.0.1:80").replace("{number}", "1"),
  content: content === null ? undefined : {},
}));

describe.each(ALL)("$id", ({ method, target, access, content }) => {
  test("over TCP without a token set: reading only, and a hint how to set one", async () => {
    const control = fakeControl();
    const response = await api(control, "tcp")(method, target, { content });
    if (access === "read") return expect(response.status).toBe(200);
    expect(await told(response)).toMatchObject({ status: 403, hint: expect.stringContaining("admin: { token:") });
    expect(control.asked).toEqual([]);
  });

  test.each(["tcp", "unix"] as const)("over %s with a token set: nothing without it", async (place) => {
    const control = fakeControl();
    const ask = api(control, place, TOKEN);
    const without = await ask(method, target, { content });
    expect([without.status, without.headers.get("www-authenticate")]).toEqual([401, 'Bearer realm="lintel"']);
    for (const wrong of ["", "s3cre", "s3cret ", "s3cretx"].map(bearer)) {
      if (wrong.fields!["authorization"]!.trim() === `Bearer ${TOKEN}`) continue;
      expect((await ask(method, target, { ...wrong, content })).status).toBe(401);
    }
    expect(control.asked).toEqual([]);
    expect([401, 403]).not.toContain((await ask(method, target, { ...bearer(TOKEN), content })).status);
  });

  test("a page of another place may not ask", async () => {
    const ask = api();
    for (const fields of [
      { origin: "http://evil.example" },
      { origin: "null" },
      { origin: "http://localhost:81" },
      { "sec-fetch-site": "cross-site" },
    ] as Record<string, string>[]) {
      expect((await ask(method, target, { fields, content })).status).toBe(403);
    }
    expect((await ask(method, target, { fields: { origin: "http://localhost" }, content })).status).not.toBe(403);
  });
});

test("with a token set, metrics and health stay open", async () => {
  const url = startAdmin({ address: "127.0.0.1:0", token: TOKEN }, fakeControl());
  admins.push(url);
  expect((await fetch(`${url.url}metrics`)).status).toBe(200);
  expect((await fetch(`${url.url}health`)).status).toBe(200);
});

test("every operation has answered as the document says", () => {
  const fine = operations.map(({ id, status }) => `${id} ${status}`);
  expect(fine.filter((one) => !judge.seen.has(one))).toEqual([]);
});
