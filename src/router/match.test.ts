import { describe, expect, test } from "bun:test";
import { matchOf } from "../config/schema/match.ts";
import { variables } from "../http/variable-rules.ts";
import { conjunction } from "./match.ts";
import { exchangeOf, type RequestFacts } from "./test-exchange.ts";

const matchSchema = matchOf(variables);

const matches = (match: unknown, facts: RequestFacts): boolean =>
  conjunction(matchSchema.parse(match)).matches(exchangeOf(facts));

describe("a condition", () => {
  test.each<[unknown, RequestFacts]>([
    [{}, {}],
    ["/a/*", { target: "/a/b" }],
    [{ path: ["/x", "~^/a"] }, { target: "/a" }],
    [{ host: "*.example" }, { host: "a.example:80" }],
    [{ host: ["b.test", ".example"] }, { host: "x.y.example" }],
    [{ method: ["GET", "HEAD"] }, { method: "HEAD" }],
    [{ scheme: "https" }, { scheme: "https" }],
    [{ protocol: ["HTTP/1.0", "HTTP/1.1"] }, { protocol: "HTTP/1.0" }],
    [{ client: ["10.0.0.0/8", "::1"] }, { client: "10.9.8.7" }],
    [{ field: { "X-Key": "a" } }, { fields: { "x-key": "a" } }],
    [{ field: { "x-key": 7 } }, { fields: { "X-Key": "7" } }],
    [{ field: { "x-key": ["b", "~^a"] } }, { fields: { "x-key": "abc" } }],
    [{ field: { "x-key": "b" } }, { fields: { "x-key": ["a", "b"] } }],
    [{ field: { "x-key": "a, b" } }, { fields: { "x-key": ["a", "b"] } }],
    [{ field: { accept: "~json" } }, { fields: { accept: "application/json" } }],
    [{ field: { "x-key": true } }, { fields: { "x-key": "" } }],
    [{ field: { "x-key": false } }, {}],
    [{ query: { q: "a b" } }, { target: "/?q=a+b" }],
    [{ query: { q: "2" } }, { target: "/?q=1&q=2" }],
    [{ query: { q: true } }, { target: "/?q" }],
    [{ query: { q: false } }, { target: "/?p=1" }],
    [{ cookie: { sid: "~." } }, { fields: { cookie: "a=1; sid=2" } }],
    [{ cookie: { sid: false } }, { fields: { cookie: "a=1" } }],
    [{ variable: { "request.port": "8443" } }, { host: "a.example:8443" }],
    [{ variable: { "request.port": [80, "~^8"] } }, {}],
    [
      { variable: { "request.field.x-key": "~^a, b$", listener: "web" } },
      { fields: { "x-key": ["a", "b"] }, listener: "web" },
    ],
    [{ variable: { "request.query": true } }, { target: "/?a" }],
    [{ variable: { "request.query": false } }, { target: "/" }],
    [{ variable: { "tls.version": "" } }, {}],
    [{ not: { variable: { "tls.version": true } } }, {}],
    [{ not: { method: "GET" } }, { method: "PUT" }],
    [{ not: { path: "/a/*", method: "GET" } }, { target: "/b" }],
    [{ any: ["/a", { method: "PUT" }] }, { method: "PUT" }],
    [{ all: [{ field: { a: true } }, "/x"] }, { target: "/x", fields: { a: "1" } }],
    [{ any: [{ not: { any: ["/a"] } }] }, { target: "/b" }],
  ])("%j holds for %j", (match, facts) => {
    expect(matches(match, facts)).toBe(true);
  });

  test.each<[unknown, RequestFacts]>([
    ["/a", { target: "/b" }],
    [{ host: "*.example" }, { host: "x.y.example" }],
    [{ method: "GET" }, { method: "HEAD" }],
    [{ scheme: "https" }, {}],
    [{ protocol: "HTTP/1.0" }, {}],
    [{ client: "10.0.0.0/8" }, { client: "" }],
    [{ field: { "x-key": "a" } }, { fields: { "x-key": "A" } }],
    [{ field: { "x-key": "a" } }, {}],
    [{ field: { "x-key": true } }, {}],
    [{ field: { "x-key": false } }, { fields: { "x-key": "" } }],
    [{ field: { a: "1", b: "2" } }, { fields: { a: "1" } }],
    [{ query: { q: "1" } }, { target: "/?q=11" }],
    [{ query: { q: false } }, { target: "/?q" }],
    [{ query: { q: "1" } }, { target: "/q=1" }],
    [{ cookie: { sid: "1" } }, { fields: { cookie: "sid=2; sid=1" } }],
    [{ variable: { "request.port": "80" } }, { scheme: "https" }],
    [{ variable: { "request.query": true } }, { target: "/" }],
    [{ variable: { "request.query": false } }, { target: "/?a" }],
    [{ variable: { "tls.version": "~." } }, {}],
    [{ variable: { "request.port": "80", "request.method": "PUT" } }, {}],
    [{ not: {} }, {}],
    [{ not: { method: "GET" } }, {}],
    [{ any: ["/a", "/b"] }, { target: "/c" }],
    [{ all: ["/a", { method: "PUT" }] }, { target: "/a" }],
  ])("%j does not hold for %j", (match, facts) => {
    expect(matches(match, facts)).toBe(false);
  });

  test.each([
    [{ method: ["GET", "HEAD", "PUT"], client: "10.0.0.0/8" }, "method GET, HEAD or PUT and client 10.0.0.0/8"],
    [{ field: { a: true, b: false, c: "x" } }, 'field a and no field b and field c "x"'],
    [{ query: { "a b": "1" } }, 'query parameter "a b" "1"'],
    [
      { variable: { "tls.version": "TLSv1.3", "tls.alpn": false } },
      'variable tls.version "TLSv1.3" and no variable tls.alpn',
    ],
    [{ not: { any: ["/a", { scheme: "https" }] } }, "not (any of (path /a; scheme https))"],
    [{}, "anything"],
  ])("%j reads: %s", (match, text) => {
    expect(conjunction(matchSchema.parse(match)).describe()).toBe(text);
  });
});
