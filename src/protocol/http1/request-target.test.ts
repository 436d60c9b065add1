import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isAuthority, resolveTarget } from "./request-target.ts";
import { RUNS } from "./testing.ts";

const refused = expect.objectContaining({ code: "request-malformed", status: 400 });

describe("Host (RFC 9112 §3.2, RFC 3986 §3.2.2)", () => {
  test.each([
    "a",
    "example.com",
    "example.com.",
    "EXAMPLE.com:8080",
    "a:",
    "a:0",
    "a:65535",
    "a:00080",
    "127.0.0.1",
    "127.0.0.1:80",
    "[::1]",
    "[::1]:80",
    "[2001:DB8::1]:",
    "[::ffff:192.0.2.1]",
    "xn--exmple-cua.example",
    "under_score",
    "a%20b",
    "sub-delims!$&'()*+,;=",
    "-",
    "~",
  ])("%j is a host and an optional port", (host) => {
    expect(isAuthority(host)).toBe(true);
    expect(resolveTarget("GET", "/", host, 11).authority).toBe(host.toLowerCase());
  });

  test.each([
    "",
    ":80",
    "a b",
    "a\tb",
    "user@a",
    "user:password@a",
    "a/b",
    "a?b",
    "a#b",
    "a\\b",
    'a"b',
    "a<b",
    "a|b",
    "a^b",
    "a{b}",
    "ex\xe4mple",
    "\u00a0a",
    "a:b",
    "a:-1",
    "a:+1",
    "a:65536",
    "a:99999",
    "a:000080",
    "a:80:80",
    "a: 80",
    "::1",
    "[::1",
    "::1]",
    "[]",
    "[:]",
    "[abc]",
    "[1.2.3.4]",
    "[12345::]",
    "[1:2:3:4:5:6:7:8:9]",
    "[fe80::1%eth0]",
    "[fe80::1%25eth0]",
    "[::1]a",
    "[::1]:a",
    "[[::1]]",
    "[v1.x]",
    "a%",
    "a%2",
    "a%zz",
    "a, b",
    "a[::1]",
  ])("%j is refused", (host) => {
    expect(() => resolveTarget("GET", "/", host, 11)).toThrow(refused);
  });

  test("a list is one name of sub-delims to RFC 3986, but no name of a host has a space", () => {
    expect(isAuthority("a,b")).toBe(true);
    expect(isAuthority("a, b")).toBe(false);
  });

  test("HTTP/1.1 needs one, HTTP/1.0 does not (RFC 9112 §3.2)", () => {
    expect(() => resolveTarget("GET", "/", null, 11)).toThrow(refused);
    expect(resolveTarget("GET", "/", null, 10)).toEqual({ authority: "", target: "/" });
  });

  test("an HTTP/1.0 Host must be valid all the same", () => {
    expect(() => resolveTarget("GET", "/", "a b", 10)).toThrow(refused);
  });

  test("any text is either refused or in lower case", () => {
    const any = fc.string({ unit: fc.constantFrom(..."abAZ09.-:[]%@/?#\\ \xe4,;_".split("")), maxLength: 12 });
    fc.assert(
      fc.property(any, (host) => {
        if (!isAuthority(host)) return;
        expect(resolveTarget("GET", "/", host, 11).authority).toBe(host.toLowerCase());
        expect(host).not.toMatch(/[@/?#\\ \xe4]/);
      }),
      { numRuns: RUNS },
    );
  });
});

describe("request target (RFC 9112 §3.2)", () => {
  test.each([
    // origin-form: §3.2.1
    ["GET", "/", "h", "/"],
    ["GET", "//evil.example/a", "h", "//evil.example/a"],
    ["GET", "/?q", "h", "/?q"],
    ["GET", "/a:b@c", "h", "/a:b@c"],
    ["OPTIONS", "/*", "h", "/*"],
    // absolute-form wins over Host: §3.2.2
    ["GET", "http://Other:81/a?b", "other:81", "/a?b"],
    ["GET", "HTTPS://other/a", "other", "/a"],
    ["GET", "http://other", "other", "/"],
    ["GET", "http://other?q", "other", "/?q"],
    ["GET", "http://[::1]:8080/x", "[::1]:8080", "/x"],
    ["GET", "http://other//", "other", "//"],
    ["POST", "http://other/http://third/", "other", "/http://third/"],
    // authority-form: §3.2.3
    ["CONNECT", "Other:443", "other:443", "Other:443"],
    ["CONNECT", "[::1]:443", "[::1]:443", "[::1]:443"],
    // asterisk-form: §3.2.4
    ["OPTIONS", "*", "h", "*"],
    ["OPTIONS", "http://other", "other", "*"],
    ["OPTIONS", "http://other:80/", "other:80", "/"],
    ["OPTIONS", "http://other?q", "other", "/?q"],
  ])("%s %s is for %s and %s", (method, target, authority, path) => {
    expect(resolveTarget(method, target, "H", 11)).toEqual({ authority, target: path });
  });

  test.each([
    ["GET", "*"],
    ["POST", "*"],
    ["OPTIONS", "**"],
    ["GET", "a"],
    ["GET", "a/b"],
    ["GET", "a:80"],
    ["GET", "?q"],
    ["GET", "ftp://a/"],
    ["GET", "ws://a/"],
    ["GET", "http:/a"],
    ["GET", "http:a"],
    ["GET", "http://"],
    ["GET", "http:///a"],
    ["GET", "http://?q"],
    ["GET", "http://user@a/"],
    ["GET", "http://user:password@a/"],
    ["GET", "http://a:b/"],
    ["GET", "http://a:65536/"],
    ["GET", "http://[::1/"],
    ["GET", "http://a%/"],
    ["GET", "httpx://a/"],
    ["GET", "%2f"],
    ["GET", ";"],
    ["CONNECT", "/"],
    ["CONNECT", "*"],
    ["CONNECT", "a"],
    ["CONNECT", "a:"],
    ["CONNECT", "a:65536"],
    ["CONNECT", "a:80/"],
    ["CONNECT", ":80"],
    ["CONNECT", "user@a:80"],
    ["CONNECT", "http://a:80"],
    ["CONNECT", "::1:80"],
  ])("%s %s is refused", (method, target) => {
    expect(() => resolveTarget(method, target, "h", 11)).toThrow(refused);
  });

  test("an absolute-form target does not excuse a missing or bad Host", () => {
    expect(() => resolveTarget("GET", "http://a/", null, 11)).toThrow(refused);
    expect(() => resolveTarget("GET", "http://a/", "b c", 11)).toThrow(refused);
  });
});
