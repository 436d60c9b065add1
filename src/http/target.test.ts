import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { encodePath, hostOf, normalizePath, pathOf, queryOf } from "./target.ts";

describe("the normal form of a path (RFC 3986 §6.2.2)", () => {
  test.each([
    ["/", "/"],
    ["/a/b", "/a/b"],
    ["/a/b/", "/a/b/"],
    ["/a.b/c..d/..e/f.", "/a.b/c..d/..e/f."],
    ["/.well-known/acme", "/.well-known/acme"],
    // Percent-encoding, decoded once.
    ["/%61dmin", "/admin"],
    ["/%41", "/A"],
    ["/a%20b", "/a b"],
    ["/caf%C3%A9", "/café"],
    ["/caf%e9", "/café"],
    ["/caf%C3%A9%ff", "/caféÿ"],
    ["/caf%C3%A9%2f%e2%82", "/café/\xe2\x82"],
    ["/%E2%82%AC%ff%F0%9F%98%80%ed%a0%80", "/€ÿ😀\xed\xa0\x80"],
    ["/%252e%252e/a", "/%2e%2e/a"],
    ["/a%2Fb", "/a/b"],
    ["/a%5cb", "/a/b"],
    ["/a%3Fb%23c", "/a?b#c"],
    ["/%EF%BB%BFadmin", "/\ufeffadmin"],
    // Dot segments.
    ["/a/./b", "/a/b"],
    ["/a/../b", "/b"],
    ["/a/b/..", "/a/"],
    ["/a/b/.", "/a/b/"],
    ["/a/..", "/"],
    ["/a/%2e%2e/b", "/b"],
    ["/a/.%2E/b", "/b"],
    ["/a/%2e/b", "/a/b"],
    ["/a/.../b", "/a/.../b"],
    // Empty segments.
    ["//a", "/a"],
    ["/a///b", "/a/b"],
    ["/a//", "/a/"],
    ["///", "/"],
    ["/a%2F%2Fb", "/a/b"],
    ["/a%2f", "/a/"],
    // Parameters.
    ["/a;v=1/b;w", "/a/b"],
    ["/a;/b", "/a/b"],
    ["/a;v=1", "/a"],
    ["/a/;v=1", "/a/"],
    ["/a%3Bv=1", "/a"],
    ["/a%3bv/b", "/a/b"],
    ["/;x/a", "/a"],
  ])("%s is %s", (path, normal) => {
    expect(normalizePath(path)).toBe(normal);
  });

  test.each([
    ["/..", "climbs above the root"],
    ["/a/../../b", "climbs above the root"],
    ["/%2e%2e/etc/passwd", "climbs above the root"],
    ["/./..", "climbs above the root"],
    ["/a%00b", "an encoded NUL"],
    ["/%", "without two hexadecimal digits"],
    ["/a%2", "without two hexadecimal digits"],
    ["/a%zz", "without two hexadecimal digits"],
    ["/%u002e", "without two hexadecimal digits"],
    ["/%2e%2", "without two hexadecimal digits"],
    // Each of these leads one origin server into /admin and another out of it.
    ["/admin/..;/public", "a disguised dot segment"],
    ["/admin/..%3b/public", "a disguised dot segment"],
    ["/admin/.;x/public", "a disguised dot segment"],
    ["/admin/..%2fpublic", "a disguised dot segment"],
    ["/admin/%2e%2e%2Fpublic", "a disguised dot segment"],
    ["/admin/..%5cpublic", "a disguised dot segment"],
    ["/admin/x%2f..", "a disguised dot segment"],
    ["/admin/x%5c..%5c..", "a disguised dot segment"],
    ["/admin//../public", "two ways"],
    ["/admin//x/../../public", "two ways"],
    ["/admin/;x/../public", "two ways"],
    ["/admin%2fx/../public", "two ways"],
    ["/admin%5cx/../public", "two ways"],
    ["/admin;x=%2f..", "encoded slash"],
    ["/admin;%5cpublic", "encoded slash"],
    ["/admin%3b%2fpublic", "encoded slash"],
    ["/public/%c0%ae%c0%ae/admin", "overlong UTF-8"],
    ["/public%c0%afadmin", "overlong UTF-8"],
    ["/public%e0%80%afadmin", "overlong UTF-8"],
    ["/public%f0%80%80%afadmin", "overlong UTF-8"],
    ["/public%c1%9cadmin", "overlong UTF-8"],
    ["/a%c0%80", "overlong UTF-8"],
  ])("%s is refused: %s", (path, why) => {
    expect(() => normalizePath(path)).toThrow(expect.objectContaining({ code: "request-malformed", status: 400 }));
    expect(() => normalizePath(path)).toThrow(why);
  });

  const pieces = [
    "/",
    "/",
    "a",
    "b",
    ".",
    "..",
    "%2e",
    "%2E%2e",
    "%2f",
    "%5C",
    ";",
    ";p=1",
    "%3b",
    "%61",
    "%25",
    "%ef%bb%bf",
    "%c3%a9",
    "%ff",
    "~",
  ];
  const attack = fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((parts) => `/${parts.join("")}`);

  /** The normal form, or null if it is refused. */
  const normal = (path: string): string | null => {
    try {
      return normalizePath(path);
    } catch {
      return null;
    }
  };

  test("whatever is not refused has no empty or dot segment, no parameters and no backslash left", () => {
    fc.assert(
      fc.property(attack, (path) => {
        const form = normal(path);
        if (form !== null) expect(form).not.toMatch(/\/\/|\/\.{1,2}(?:\/|$)|;|\\|^[^/]/);
      }),
      { numRuns: 5000 },
    );
  });

  test("a normal form written as a target again has the same normal form", () => {
    fc.assert(
      fc.property(attack, (path) => {
        const form = normal(path);
        if (form !== null) expect(normalizePath(encodePath(form))).toBe(form);
      }),
      { numRuns: 5000 },
    );
  });

  test("an accepted path is where an origin server gets to, however it reads parameters, empty segments and encoded slashes", () => {
    fc.assert(
      fc.property(attack, (path) => {
        const form = normal(path);
        if (form === null) return;
        const comparable = form.replaceAll("%", "%25");
        for (const reading of READINGS) expect(reading(path)).toBe(comparable);
      }),
      { numRuns: 5000 },
    );
  });
});

/**
 * Origin servers as they are: each decodes, drops parameters, merges slashes and resolves dot
 * segments in an order of its own, or leaves a step out. What a step left undone is tidied at the
 * end, so that only where the path leads is compared.
 */
const READINGS = [
  [decode, dropParams, merge, resolve],
  [dropParams, decode, merge, resolve],
  [dropParams, decode, resolve],
  [decode, resolve],
  [decodeButSlashes, resolve],
  [decodeButSlashes, merge, resolve],
  [decodeButSlashes, dropParams, resolve],
].map((steps) => (path: string) => [...steps, decode, dropParams, merge].reduce((text, step) => step(text), path));

// "%25" stays as it is until the comparison: a second decoding would not be the origin server's.
function decode(path: string): string {
  return decodeButSlashes(path).replace(/%2f|%5c/gi, "/");
}

function decodeButSlashes(path: string): string {
  return path.replace(/(?:%(?!2f|5c|25)[0-9a-f]{2})+/gi, (run) => {
    return run
      .split(/%ff/i)
      .map((utf8) => decodeURIComponent(utf8))
      .join("\xff");
  });
}

function dropParams(path: string): string {
  return path.replace(/;[^/]*/g, "");
}

function merge(path: string): string {
  return path.replace(/\/{2,}/g, "/");
}

/** RFC 3986 §5.2.4. */
function resolve(path: string): string {
  const out: string[] = [];
  const segments = path.slice(1).split("/");
  for (const [i, segment] of segments.entries()) {
    if (segment === "..") out.pop();
    else if (segment !== ".") out.push(segment);
    if (i === segments.length - 1 && (segment === ".." || segment === ".")) out.push("");
  }
  return `/${out.join("/")}`;
}

test.each([
  ["/a?b?c", "/a", "b?c"],
  ["/a", "/a", ""],
  ["/a?", "/a", ""],
  ["*", "*", ""],
])("%s has the path %s and the query %j", (target, path, query) => {
  expect([pathOf(target), queryOf(target)]).toEqual([path, query]);
});

test.each([
  ["example.com", "example.com"],
  ["example.com:8080", "example.com"],
  ["example.com:", "example.com"],
  ["example.com.", "example.com"],
  ["example.com.:80", "example.com"],
  ["[::1]", "[::1]"],
  ["[::1]:80", "[::1]"],
  ["", ""],
])("the authority %j has the host %j", (authority, host) => {
  expect(hostOf(authority)).toBe(host);
});
