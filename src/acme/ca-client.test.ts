/**
 * Against pebble where a CA does this by itself. What no CA does on purpose is done by a small server of ours
 * in front of it (`FrontCa`), or in its place.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { needs, program } from "../base/testing.ts";
import type { CaOrder } from "./ca-answers.ts";
import { CaClient, type CaClientOptions, newPrivateKey } from "./ca-client.ts";
import { CaProblem } from "./ca-problem.ts";
import { FrontCa, freePort, Pebble, pebblePath, problem } from "./testing.ts";

const never = new AbortController().signal;
const running: { stop(): unknown }[] = [];
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop();
});

async function clientOf(directory: string, roots: string | null, more: Partial<CaClientOptions> = {}) {
  const ca = { name: "a CA", directory, roots: null, accountBinding: null, preferredChain: null };
  const client = new CaClient({
    ca,
    roots,
    accountKey: await newPrivateKey("ecdsa-p256"),
    accountUrl: null,
    ...more,
  });
  running.push({ stop: () => client.close() });
  return client;
}

/** What a promise is rejected with. */
async function problemOf(work: Promise<unknown>): Promise<CaProblem> {
  const thrown = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(thrown).toBeInstanceOf(CaProblem);
  return thrown as CaProblem;
}

needs(program("pebble", pebblePath)).describe("against pebble", () => {
  let pebble: Pebble;
  let front: FrontCa;
  let client: CaClient;
  let order: CaOrder;
  beforeAll(async () => {
    pebble = await Pebble.start();
    front = new FrontCa(pebble, await freePort());
    const ca = { name: "a CA", directory: front.url, roots: null, accountBinding: null, preferredChain: null };
    client = new CaClient({ ca, roots: front.roots, accountKey: await newPrivateKey("ecdsa-p256"), accountUrl: null });
    await client.register("ops@example.com", never);
    order = await client.order("a.test", null, never);
  });
  afterAll(async () => {
    client.close();
    await front.stop();
    await pebble.stop();
  });
  afterEach(() => {
    front.interfere = () => null;
    front.alter = (answer) => answer;
  });

  test("a key that has an account gets the same one again (RFC 8555 §7.3.1)", async () => {
    const accountKey = await newPrivateKey("ecdsa-p256");
    const first = await clientOf(pebble.url, pebble.roots, { accountKey });
    const second = await clientOf(pebble.url, pebble.roots, { accountKey });
    const url = await first.register("ops@example.com", never);
    expect([first.accountUrl, second.accountUrl]).toEqual([url, null]);
    expect(await second.register(null, never)).toBe(url);
    const other = await clientOf(pebble.url, pebble.roots);
    expect(await other.register(null, never)).not.toBe(url);
  }, 120_000);

  test("an address that the CA does not take is told with its reason", async () => {
    const other = await clientOf(pebble.url, pebble.roots);
    const { kind, message } = await problemOf(other.register("an address", never));
    expect(kind).toMatch(/^(invalid|unsupported)(Contact|Email)$|^malformed$/);
    expect(message).toStartWith("the account: ");
    expect(other.accountUrl).toBeNull();
  }, 120_000);

  test("a nonce that is refused is exchanged, whatever the request (RFC 8555 §6.5)", async () => {
    const strict = await Pebble.start({ nonceReject: 10 });
    running.push(strict);
    const between = new FrontCa(strict, await freePort());
    running.push(between);
    const other = await clientOf(between.url, between.roots);
    await other.register(null, never);
    let [asked, answered] = [0, 0];
    const posts = () => between.requests.filter((one) => one.startsWith("POST /my-order/")).length;
    const own = await other.order("nonce.test", null, never);
    do {
      asked++;
      answered += (await other.look(own, never)).status === "pending" ? 1 : 0;
    } while (posts() === asked && asked < 500);
    expect(answered).toBe(asked);
    expect(posts()).toBeGreaterThan(asked);
  }, 120_000);

  test("a CA that refuses every nonce is not asked for ever", async () => {
    const strict = await Pebble.start({ nonceReject: 100 });
    running.push(strict);
    const between = new FrontCa(strict, await freePort());
    running.push(between);
    const { message } = await problemOf((await clientOf(between.url, between.roots)).register(null, never));
    expect(message).toContain("nonce");
    expect(between.requests.filter((one) => one === "POST /sign-me-up")).toHaveLength(6);
  }, 120_000);

  const looks: readonly (readonly [string, () => Promise<unknown>])[] = [
    ["an account", async () => (await clientOf(front.url, front.roots)).register(null, never)],
    ["a new order", () => client.order("b.test", null, never)],
    ["an order", () => client.look(order, never)],
    ["an authorization", () => client.authorization(order.authorizations[0]!, never)],
    ["a signing request", () => client.finalize(order, "-----BEGIN X-----\nAAAA\n-----END X-----", never)],
  ];
  const location = { location: "https://localhost/my-order/1" };
  const wrong: readonly (readonly [string, () => Response, string])[] = [
    [
      "a page",
      () => new Response("<html>\n<h1>parked", { status: 201, headers: location }),
      "is no JSON object: <html>",
    ],
    ["nothing", () => new Response("", { status: 201, headers: location }), "is no JSON object"],
    ["null", () => Response.json(null, { status: 201, headers: location }), "is no JSON object: null"],
    ["a number", () => Response.json(12, { status: 201, headers: location }), "is no JSON object: 12"],
    ["JSON that breaks off", () => new Response('{"status":', { status: 201, headers: location }), "is no JSON object"],
    ["2 MB", () => new Response("x".repeat(2_000_000), { status: 201 }), "is too long"],
    [
      "2 MB that come as 2 KB",
      () => new Response(Bun.gzipSync(Buffer.alloc(2_000_000)), { headers: { "content-encoding": "gzip" } }),
      "is too long",
    ],
    ["a redirect", () => new Response("", { status: 302, headers: { location: "/dir" } }), "status 302"],
    ["another", () => new Response("", { status: 307, headers: { location: "/dir" } }), "status 307"],
    ["an error of its own", () => new Response("<html>", { status: 500 }), "status 500"],
    ["a proxy's error", () => new Response("<html>bad gateway", { status: 502 }), "status 502"],
    ["a problem of other types", () => Response.json({ type: 1, detail: {} }, { status: 400 }), "status 400"],
  ];
  for (const [asked, ask] of looks) {
    test.each(wrong)(
      `${asked}: a CA that answers %s`,
      async (_what, answer, said) => {
        front.interfere = (request) => (request.method === "POST" ? answer() : null);
        const { kind, message } = await problemOf(ask());
        expect(message).toContain(said);
        expect(message).not.toContain("\n");
        expect(kind).toBe("");
      },
      120_000,
    );
  }

  test.each(["{}", '{"status":"pending"}', '{"status":1,"authorizations":[1],"finalize":"x"}', "[]"])(
    "JSON that is no order or authorization is told: %s",
    async (text) => {
      front.interfere = ({ method }) => (method === "POST" ? new Response(text, { status: 200 }) : null);
      expect((await problemOf(client.look(order, never))).message).toContain("is no order (RFC 8555 §7.1.3)");
      const [url] = order.authorizations;
      expect((await problemOf(client.authorization(url!, never))).message).toContain("is no authorization");
    },
    120_000,
  );

  test("challenges without a token, or with one that leads elsewhere, are left out (RFC 8555 §8.3)", async () => {
    const more = ["../../etc", "a b", "", 7, null].map((token) => ({
      type: "http-01",
      url: "x",
      status: "pending",
      token,
    }));
    front.alter = (answer) => ({ ...answer, challenges: [...more, null, "x", ...(answer["challenges"] as unknown[])] });
    const { challenges } = await client.authorization(order.authorizations[0]!, never);
    expect(challenges.map(({ type }) => type).sort()).toEqual(["dns-01", "http-01", "tls-alpn-01"]);
  }, 120_000);

  test("what is downloaded has to be PEM (RFC 8555 §9.1)", async () => {
    const ready: CaOrder = { ...order, status: "valid", certificate: `${new URL(front.url).origin}/certZ/1` };
    front.interfere = (_request, path) => (path.startsWith("/certZ/") ? new Response("<html>") : null);
    expect((await problemOf(client.download(ready, never))).message).toContain("is no PEM");
    front.interfere = (_request, path) => (path.startsWith("/certZ/") ? Response.json({ certificate: "?" }) : null);
    expect((await problemOf(client.download(ready, never))).message).toContain("is no PEM");
    const { certificate: _none, ...without } = ready;
    expect((await problemOf(client.download(without, never))).message).toContain("URL not found");
  }, 120_000);

  test("a problem is told whole, in one line, with its kind and its parts (RFC 8555 §6.7.1)", async () => {
    const subproblems = [
      { detail: "no A record", identifier: { type: "dns", value: "b.test" } },
      "odd",
      { detail: 7, identifier: null },
    ];
    const type = "urn:ietf:params:acme:error:dns";
    front.interfere = (_request, path) =>
      path === "/order-plz"
        ? Response.json({ type, detail: `two\nlines\u001b[31m${"!".repeat(5000)}`, subproblems }, { status: 400 })
        : null;
    const long = await problemOf(client.order("b.test", null, never));
    expect([long.kind, long.message.length < 1100]).toEqual(["dns", true]);
    expect(long.message).not.toMatch(/[\x00-\x1f]/);
    front.interfere = (_request, path) =>
      path === "/order-plz" ? Response.json({ type, detail: "not found", subproblems }, { status: 400 }) : null;
    const { message } = await problemOf(client.order("b.test", null, never));
    expect(message).toBe("a new order: not found; b.test: no A record; : ; :  (dns)");
  }, 120_000);

  test.each([
    ["3600", 3_600_000],
    ["0", 0],
    ["99999999", 7 * 86_400_000],
    ["soon", null],
    ["-5", null],
    ["Sat, 01 Jan 2000 00:00:00 GMT", 0],
    ["Fri, 01 Jan 2100 00:00:00 GMT", 7 * 86_400_000],
  ])(
    "Retry-After: %s with an error (RFC 8555 §6.6)",
    async (value, expected) => {
      for (const status of [429, 503]) {
        front.interfere = (_request, path) =>
          path === "/order-plz" ? problem("rateLimited", "later", status, { "retry-after": value }) : null;
        expect((await problemOf(client.order("b.test", null, never))).retryAfterMs).toBe(expected);
      }
    },
    120_000,
  );

  test("Retry-After with an order or an authorization says when to look again (RFC 8555 §7.4, §7.5.1)", async () => {
    expect((await client.look(order, never)).askAgainMs).toBeNull();
    const { status, authorizations, finalize } = order;
    const identifier = { type: "dns", value: "a.test" };
    front.interfere = ({ method }) => {
      const answer = { status, authorizations, finalize, identifier, challenges: [] };
      return method === "POST" ? Response.json(answer, { headers: { "retry-after": "7" } }) : null;
    };
    expect((await client.look(order, never)).askAgainMs).toBe(7000);
    expect((await client.authorization(authorizations[0]!, never)).askAgainMs).toBe(7000);
  }, 120_000);

  test("a client that is called off says why", async () => {
    const reason = new Error("the gateway stops");
    expect(client.order("b.test", null, AbortSignal.abort(reason))).rejects.toBe(reason);
    const calling = new AbortController();
    const arrived = Promise.withResolvers<void>();
    front.interfere = (_request, path) => {
      if (path !== "/order-plz") return null;
      arrived.resolve();
      return new Promise(() => {});
    };
    const asking = client.order("b.test", null, calling.signal);
    await arrived.promise;
    calling.abort(reason);
    await expect(asking).rejects.toBe(reason);
  }, 120_000);

  test("a CA whose own certificate is not of the roots is not asked", async () => {
    const { message } = await problemOf((await clientOf(front.url, pebble.roots)).register(null, never));
    expect(message).toContain("the CA's own certificate is not trusted");
    expect(message).toContain('"roots" names another CA file');
  }, 120_000);
});

test("a CA that does not listen", async () => {
  const client = await clientOf(`http://127.0.0.1:${await freePort()}/dir`, null);
  expect((await problemOf(client.register(null, never))).message).toBe("the account: the CA does not listen");
});

// Servers of ours in the CA's place: slow ones, and a directory that is none.
const endless = (piece: string, pauseMs: number) =>
  new ReadableStream({
    async pull(controller) {
      controller.enqueue(Buffer.from(piece));
      await Bun.sleep(pauseMs);
    },
  });

test.each([
  ["says nothing", () => new Promise<Response>(() => {})],
  ["stops within its answer", () => new Response(endless("{", 600_000))],
  ["sends octet by octet for ever", () => new Response(endless(" ", 20))],
])(
  "a CA that %s is given up after a while",
  async (_what, answer) => {
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0, fetch: answer });
    running.push({ stop: () => server.stop(true) });
    const client = await clientOf(server.url.href, null, { requestMs: 200 });
    expect((await problemOf(client.register(null, never))).message).toBe("the account: the CA did not answer in time");
  },
  120_000,
);

test.each([
  ["a page", () => new Response("<html>")],
  ["null", () => Response.json(null)],
  ["an empty object", () => Response.json({})],
  ["an error", () => new Response("", { status: 404 })],
])("a directory that is %s", async (_what, answer) => {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer });
  running.push({ stop: () => server.stop(true) });
  const { message } = await problemOf((await clientOf(server.url.href, null)).register(null, never));
  expect(message).toMatch(/^the account: (the CA's answer is no JSON object|Unable to locate API resource|status 404)/);
});

test("a connection that breaks within an answer is told as that", async () => {
  const server = Bun.listen({
    port: 0,
    hostname: "127.0.0.1",
    socket: {
      data(socket) {
        socket.end("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{");
      },
    },
  });
  running.push({ stop: () => server.stop(true) });
  const { message } = await problemOf((await clientOf(`http://127.0.0.1:${server.port}/`, null)).register(null, never));
  expect(message).toMatch(/^the account: /);
  expect(message).not.toContain("too long");
});
