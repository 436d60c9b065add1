import { describe, expect, test } from "bun:test";
import type { StickyConfig, StickyCookieConfig } from "../config/gateway-config.ts";
import { HttpResponse, type Scheme } from "../http/message.ts";
import { exchangeOf } from "../router/test-exchange.ts";
import type { Endpoint } from "./endpoint.ts";
import { Status } from "./endpoint-state.ts";
import { Sticky } from "./sticky.ts";
import { endpoint } from "./testing.ts";

const COOKIE: StickyCookieConfig = {
  name: "lintel",
  ttl: null,
  secure: "auto",
  httpOnly: true,
  sameSite: "lax",
  path: "/",
  domain: null,
};

const withCookie = (cookie: Partial<StickyCookieConfig> = {}, secret: string | null = null): StickyConfig => ({
  cookie: { ...COOKIE, ...cookie },
  field: null,
  secret,
});
const withField: StickyConfig = { cookie: null, field: "x-session", secret: null };

const [a, b] = [endpoint("127.0.0.1:18000"), endpoint("127.0.0.1:18001")];

function stickyOf(config: StickyConfig, ...endpoints: Endpoint[]): Sticky {
  const sticky = new Sticky(config);
  sticky.update(endpoints);
  return sticky;
}

/** What a response of this endpoint tells a client that sent these fields. */
function bound(sticky: Sticky, to: Endpoint, fields: Record<string, string> = {}, scheme: Scheme = "http") {
  const response = new HttpResponse(200);
  sticky.bind(exchangeOf({ fields, scheme }), response, to);
  return response.fields;
}
const setCookie = (...from: Parameters<typeof bound>) => bound(...from).getAll("set-cookie");
const idOf = (sticky: Sticky, to: Endpoint) => /=([^;]*)/.exec(setCookie(sticky, to)[0]!)![1]!;
const sent = (value: string) => exchangeOf({ fields: { cookie: value } });

describe("by cookie", () => {
  test.each([
    ["127.0.0.1:18000", "67a50ca8e3065fe219bc575777624e15"],
    ["127.0.0.1:18001", "4fe29bfd9c8f409267d4e1249c1c9c4d"],
    ["127.0.0.1:18002", "fd8e3f25c017998df9a0f85bc451a8cd"],
  ])("without a secret %s has the id that nginx gives it", (address, id) => {
    const one = endpoint(address);
    expect(idOf(stickyOf(withCookie(), one), one)).toBe(id);
  });

  test("a client without one gets one, and comes back by it", () => {
    const sticky = stickyOf(withCookie(), a, b);
    expect(sticky.find(exchangeOf())).toBeNull();
    expect(setCookie(sticky, b)).toEqual([`lintel=${idOf(sticky, b)}; Path=/; HttpOnly; SameSite=Lax`]);
    expect(sticky.find(sent(`theme=dark; lintel=${idOf(sticky, b)}; lang=en`))).toBe(b);
  });

  test("who has the right one gets none", () => {
    const sticky = stickyOf(withCookie(), a, b);
    expect(setCookie(sticky, b, { cookie: `lintel=${idOf(sticky, b)}` })).toEqual([]);
  });

  test("who has another's, because that one could not be used, gets a new one", () => {
    const sticky = stickyOf(withCookie(), a, b);
    expect(setCookie(sticky, b, { cookie: `lintel=${idOf(sticky, a)}` })).toHaveLength(1);
  });

  test.each(["", "nobody", "67a50ca8e3065fe219bc575777624e1", "__proto__", "constructor"])(
    "the unknown id %j is as none",
    (id) => {
      const sticky = stickyOf(withCookie(), a, b);
      expect(sticky.find(sent(`lintel=${id}`))).toBeNull();
      expect(setCookie(sticky, a, { cookie: `lintel=${id}` })).toHaveLength(1);
    },
  );

  test("with a ttl it is renewed with each response (RFC 6265 §4.1.2.2)", () => {
    const sticky = stickyOf(withCookie({ ttl: 3_600_000 }), a, b);
    expect(setCookie(sticky, a, { cookie: `lintel=${idOf(sticky, a)}` })).toEqual([
      `lintel=${idOf(sticky, a)}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax`,
    ]);
  });

  test.each<[Partial<StickyCookieConfig>, Scheme, string]>([
    [{}, "https", "Path=/; HttpOnly; Secure; SameSite=Lax"],
    [{ secure: false }, "https", "Path=/; HttpOnly; SameSite=Lax"],
    [{ secure: true }, "http", "Path=/; HttpOnly; Secure; SameSite=Lax"],
    [{ sameSite: "strict", httpOnly: false }, "http", "Path=/; SameSite=Strict"],
    [{ sameSite: "none" }, "https", "Path=/; HttpOnly; Secure; SameSite=None"],
    [{ sameSite: "none" }, "http", "Path=/; HttpOnly"],
    [{ path: "/shop", domain: "example.com" }, "http", "Path=/shop; Domain=example.com; HttpOnly; SameSite=Lax"],
    [{ ttl: 1500 }, "http", "Path=/; Max-Age=2; HttpOnly; SameSite=Lax"],
  ])("attributes %j over %s are %j", (cookie, scheme, attributes) => {
    const sticky = stickyOf(withCookie(cookie), a);
    expect(setCookie(sticky, a, {}, scheme)).toEqual([`lintel=${idOf(sticky, a)}; ${attributes}`]);
  });

  test("the origin server's own cookies stay", () => {
    const sticky = stickyOf(withCookie(), a);
    const response = new HttpResponse(200);
    response.fields.append("set-cookie", "session=1");
    sticky.bind(exchangeOf(), response, a);
    expect(response.fields.getAll("set-cookie")).toEqual(["session=1", expect.stringContaining("lintel=")]);
  });
});

describe("with a secret", () => {
  const id = (secret: string, one: Endpoint) => idOf(stickyOf(withCookie({}, secret), one), one);

  test("ids are 128 bits that look like nothing, the same wherever the secret is", () => {
    expect(id("s3cret", a)).toMatch(/^[\w-]{22}$/);
    expect(id("s3cret", a)).toBe(id("s3cret", endpoint(a.address)));
    expect(new Set([id("s3cret", a), id("s3cret", b), id("other", a), id("other", b)]).size).toBe(4);
  });

  test("an id made without it is unknown", () => {
    const open = stickyOf(withCookie(), a);
    expect(stickyOf(withCookie({}, "s3cret"), a).find(sent(`lintel=${idOf(open, a)}`))).toBeNull();
  });
});

describe("by field", () => {
  test("each response names the endpoint, and a request that does comes back to it", () => {
    const sticky = stickyOf(withField, a, b);
    const id = bound(sticky, b).get("x-session")!;
    expect(id).toBe("4fe29bfd9c8f409267d4e1249c1c9c4d");
    expect(sticky.find(exchangeOf({ fields: { "X-Session": id } }))).toBe(b);
    expect(bound(sticky, b, { "x-session": id }).getAll("x-session")).toEqual([id]);
    expect(bound(sticky, b).has("set-cookie")).toBe(false);
  });

  test("a field of that name from the origin server is replaced", () => {
    const response = new HttpResponse(200);
    response.fields.append("x-session", "theirs");
    stickyOf(withField, a).bind(exchangeOf(), response, a);
    expect(response.fields.getAll("x-session")).toEqual(["67a50ca8e3065fe219bc575777624e15"]);
  });

  test("several ids are as none", () => {
    const sticky = stickyOf(withField, a, b);
    const ids = ["67a50ca8e3065fe219bc575777624e15", "4fe29bfd9c8f409267d4e1249c1c9c4d"];
    expect(sticky.find(exchangeOf({ fields: { "x-session": ids } }))).toBeNull();
  });
});

describe("when the endpoints change", () => {
  test("who stays is still found, who is gone is not", () => {
    const sticky = stickyOf(withCookie(), a, b);
    const [idA, idB] = [idOf(sticky, a), idOf(sticky, b)];
    const c = endpoint("127.0.0.1:18002");
    sticky.update([c, b]);
    expect([sticky.find(sent(`lintel=${idA}`)), sticky.find(sent(`lintel=${idB}`))]).toEqual([null, b]);
    expect(idOf(sticky, c)).toBe("fd8e3f25c017998df9a0f85bc451a8cd");
  });

  test("a response of an endpoint that is gone binds nobody", () => {
    const sticky = stickyOf(withCookie(), a, b);
    sticky.update([b]);
    expect(setCookie(sticky, a)).toEqual([]);
  });
});

test("an endpoint that is being drained is found, but binds nobody and renews nothing", () => {
  const leaving = endpoint("127.0.0.1:18000");
  const sticky = stickyOf(withCookie({ ttl: 60_000 }), leaving, b);
  const id = idOf(sticky, leaving);
  leaving.state.mark(Status.draining);
  expect(sticky.find(sent(`lintel=${id}`))).toBe(leaving);
  expect(setCookie(sticky, leaving, { cookie: `lintel=${id}` })).toEqual([]);
});
