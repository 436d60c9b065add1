import { describe, expect, test } from "bun:test";
import type { Exchange } from "../http/exchange.ts";
import { FieldSection } from "../http/field-section.ts";
import { HttpResponse } from "../http/message.ts";
import { request } from "../middleware/testing.ts";
import { Branding } from "./branding.ts";

const shop = new Branding("https://shop.vendor.example");

interface View {
  readonly scheme?: "http" | "https";
  readonly authority?: string;
  /** What the client asked for, and what a rewrite made of it. */
  readonly path?: string;
  readonly sent?: string;
  readonly branding?: Branding;
}

function exchangeOf({ scheme = "https", authority = "www.ours.example", path = "/", sent = path }: View): Exchange {
  const exchange = request(path, { scheme, authority });
  exchange.request.target = sent;
  return exchange;
}

/** What the client gets for a field of the origin server. */
function rewritten(name: string, values: string | readonly string[], view: View = {}): string[] {
  const response = new HttpResponse(200, FieldSection.of({ [name]: values }));
  (view.branding ?? shop).rewrite(response, exchangeOf(view));
  return response.fields.getAll(name);
}

describe.each(["location", "content-location"])("%s", (name) => {
  test.each([
    ["https://shop.vendor.example/cart?a=b#c", "https://www.ours.example/cart?a=b#c"],
    ["http://shop.vendor.example/cart", "https://www.ours.example/cart"],
    ["HTTPS://SHOP.Vendor.example/Cart", "https://www.ours.example/Cart"],
    ["//shop.vendor.example/cart", "https://www.ours.example/cart"],
    ["https://shop.vendor.example", "https://www.ours.example"],
    ["https://shop.vendor.example?a", "https://www.ours.example?a"],
    ["https://shop.vendor.example:443/cart", "https://www.ours.example/cart"],
    ["http://shop.vendor.example:80/cart", "https://www.ours.example/cart"],
  ])("%s is ours", (value, expected) => {
    expect(rewritten(name, value)).toEqual([expected]);
  });

  test.each([
    "/cart",
    "cart/2",
    "?page=2",
    "#top",
    "../up",
    "https://pay.example/x?back=https://shop.vendor.example/",
    "https://shop.vendor.example.evil.example/",
    "https://shop.vendor.examples/",
    "https://notshop.vendor.example/",
    "https://shop-vendor.example/",
    "https://shop.vendor.example:8443/admin",
    "https://shop.vendor.example@evil.example/",
    "//evil.example/shop.vendor.example/",
    "ftp://shop.vendor.example/",
    "mailto:a@shop.vendor.example",
  ])("%s stays as it is", (value) => {
    expect(rewritten(name, value)).toEqual([value]);
  });
});

test("a port that is not the scheme's own belongs to the identity", () => {
  const branding = new Branding("http://cms.internal:8080");
  const at = (value: string) => rewritten("location", value, { branding, scheme: "http", authority: "ours:81" })[0];
  expect(branding.authority).toBe("cms.internal:8080");
  expect(at("http://cms.internal:8080/x")).toBe("http://ours:81/x");
  expect(at("http://cms.internal/x")).toBe("http://cms.internal/x");
  expect(at("http://cms.internal:80800/x")).toBe("http://cms.internal:80800/x");
});

test("an IPv6 identity is text, not a pattern", () => {
  const branding = new Branding("http://[2001:db8::1]:8080");
  expect(rewritten("location", "http://[2001:db8::1]:8080/x", { branding })).toEqual(["https://www.ours.example/x"]);
});

test("a host name is text where it is put in, too", () => {
  expect(rewritten("location", "https://shop.vendor.example/x", { authority: "a$&b$'c" })).toEqual([
    "https://a$&b$'c/x",
  ]);
});

test("a client that named no host gets a path", () => {
  const view = { scheme: "http", authority: "" } as const;
  expect(rewritten("location", "https://shop.vendor.example/cart", view)).toEqual(["/cart"]);
  expect(rewritten("location", "https://shop.vendor.example", view)).toEqual(["/"]);
});

test.each([
  ["5; url=https://shop.vendor.example/later", "5; url=https://www.ours.example/later"],
  ["5;URL='https://shop.vendor.example/later'", "5;URL='https://www.ours.example/later'"],
  ['0; url="https://shop.vendor.example"', '0; url="https://www.ours.example"'],
  ["5, url = //shop.vendor.example/a;b", "5, url = https://www.ours.example/a;b"],
  ["5; https://shop.vendor.example/later", "5; https://www.ours.example/later"],
  ["5; url=https://elsewhere.example/?u=https://shop.vendor.example/", null],
  ["5; url=/later", null],
  ["5", null],
])("Refresh: %s", (value, expected) => {
  expect(rewritten("refresh", value)).toEqual([expected ?? value]);
});

describe("cookies", () => {
  test.each([
    ["sid=1", null],
    ["sid=1; Domain=shop.vendor.example; Path=/a; HttpOnly", "sid=1; Path=/a; HttpOnly"],
    ["sid=1; domain=.vendor.example", "sid=1"],
    ["sid=1;DOMAIN = Vendor.Example ;Secure", "sid=1;Secure"],
    ["sid=1; Domain=cdn.shop.vendor.example", null], // Not the origin's to set: the browser refuses it, as it would there.
    ["sid=1; Domain=dor.example", null],
    ["sid=1; Domain=", null],
    ["a=Domain=vendor.example; Path=/", null],
    ["a=x%3B; SameSite=None; Secure; Partitioned", null],
  ])("over https: %s", (cookie, expected) => {
    expect(rewritten("set-cookie", cookie)).toEqual([expected ?? cookie]);
  });

  test.each([
    ["sid=1; Secure; HttpOnly", "sid=1; HttpOnly"],
    ["sid=1; secure", "sid=1"],
    ["sid=1; SameSite=None; Secure", "sid=1"],
    ["sid=1; SameSite=Lax; Secure", "sid=1; SameSite=Lax"],
    ["sid=1; Secure; SameSite=None; Partitioned", "sid=1"],
    ["secure=1; Path=/", "secure=1; Path=/"],
  ])("over http, where a browser would refuse a secure one: %s", (cookie, expected) => {
    expect(rewritten("set-cookie", cookie, { scheme: "http" })).toEqual([expected]);
  });

  test("each of several, in their order", () => {
    expect(rewritten("set-cookie", ["a=1; Domain=vendor.example", "b=2", "c=3; Path=/x"])).toEqual([
      "a=1",
      "b=2",
      "c=3; Path=/x",
    ]);
  });
});

describe("where a rewrite moved the path, it is moved back", () => {
  const stripped = { path: "/shop/cart/1?a=b", sent: "/cart/1?a=b" };
  const added = { path: "/cart", sent: "/store/cart" };
  const both = { path: "/de/cart", sent: "/store/de-DE/cart" };

  test.each([
    [stripped, "/cart/2", "/shop/cart/2"],
    [stripped, "/", "/shop/"],
    [stripped, "https://shop.vendor.example/cart?a#b", "https://www.ours.example/shop/cart?a#b"],
    [stripped, "https://shop.vendor.example", "https://www.ours.example"],
    [stripped, "2", "2"],
    [stripped, "https://elsewhere.example/cart", "https://elsewhere.example/cart"],
    [stripped, "//elsewhere.example/cart", "//elsewhere.example/cart"],
    [added, "/store/x", "/x"],
    [added, "https://shop.vendor.example/store?x", "https://www.ours.example?x"],
    [added, "/stores/x", "/stores/x"],
    [added, "/other", "/other"],
    [both, "/store/de-DE/x", "/de/x"],
    [{ path: "/anything", sent: "/index.php" }, "/login", "/login"],
  ])("%j: Location %s", (view, location, expected) => {
    expect(rewritten("location", location, view)).toEqual([expected]);
  });

  test.each([
    [stripped, "a=1; Path=/; HttpOnly", "a=1; Path=/shop; HttpOnly"],
    [stripped, "a=1; path=/cart", "a=1; Path=/shop/cart"],
    [stripped, "a=1", "a=1"],
    [added, "a=1; Path=/store/cart", "a=1; Path=/cart"],
    [added, "a=1; Path=/store", "a=1; Path=/"],
    [added, "a=1; Path=/", "a=1; Path=/"],
    [added, "a=1; Path=/other", "a=1; Path=/other"],
  ])("%j: Set-Cookie %s", (view, cookie, expected) => {
    expect(rewritten("set-cookie", cookie, view)).toEqual([expected]);
  });

  test("Refresh too", () => {
    expect(rewritten("refresh", "1; url=/cart", stripped)).toEqual(["1; url=/shop/cart"]);
  });
});

describe("the request", () => {
  const prepared = (fields: Record<string, string>, view: View = {}) => {
    const exchange = exchangeOf(view);
    for (const [name, value] of Object.entries(fields)) exchange.request.fields.set(name, value);
    shop.prepare(exchange);
    return Object.fromEntries(exchange.request.fields);
  };

  test("says the origin's own origin where the client said ours", () => {
    const referer = "https://www.ours.example/cart?a=b";
    expect(prepared({ origin: "https://www.ours.example", referer })).toEqual({
      origin: "https://shop.vendor.example",
      referer: "https://shop.vendor.example/cart?a=b",
    });
  });

  test.each([
    { origin: "https://evil.example", referer: "https://evil.example/https://www.ours.example/" },
    { origin: "null", referer: "https://www.ours.example.evil.example/" },
    { origin: "http://www.ours.example", referer: "http://www.ours.example/" },
    {},
  ])("anybody else's is not made the origin's own: %j", (fields) => {
    expect(prepared(fields)).toEqual(fields);
  });

  test("without a host of ours nothing is", () => {
    const fields = { origin: "", referer: "/x" };
    expect(prepared(fields, { authority: "" })).toEqual(fields);
  });
});
