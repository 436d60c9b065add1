import { describe, expect, test } from "bun:test";
import { CidrSet } from "../router/cidr.ts";
import { exchangeOf } from "../router/test-exchange.ts";
import { clientAddress, clientScheme } from "./client-address.ts";

const trusted = new CidrSet(["10.0.0.0/8", "fd00::/8", "192.0.2.1"]);

const addressOf = (fields: Record<string, string | readonly string[]>, peer = "10.0.0.1") =>
  clientAddress(exchangeOf({ client: peer, fields }), trusted);

describe("X-Forwarded-For is read from the right, past trusted proxies", () => {
  test.each<[string | readonly string[], string]>([
    ["203.0.113.7", "203.0.113.7"],
    ["1.1.1.1, 203.0.113.7", "203.0.113.7"],
    ["203.0.113.7, 10.0.0.9", "203.0.113.7"],
    ["1.1.1.1, 203.0.113.7, 10.0.0.9,192.0.2.1", "203.0.113.7"],
    ["10.0.0.7, 10.0.0.9", "10.0.0.7"], // All are proxies of ours: the first of them asked.
    [["1.1.1.1", "203.0.113.7, 10.0.0.9"], "203.0.113.7"],
    ["  203.0.113.7\t", "203.0.113.7"],
    ["203.0.113.7:51234", "203.0.113.7"],
    ["2001:db8::7", "2001:db8::7"],
    ["[2001:db8::7]", "2001:db8::7"],
    ["[2001:db8::7]:51234", "2001:db8::7"],
    ["203.0.113.7, fd00::1, [fd00::2]:80", "203.0.113.7"],
  ])("%j: %s", (list, expected) => {
    expect(addressOf({ "x-forwarded-for": list })).toBe(expected);
  });

  test.each([
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["203.0.113.7, ::ffff:10.0.0.9", "203.0.113.7"],
    ["2001:DB8:0:0::7", "2001:db8::7"],
  ])("an address has one spelling, whatever the proxy's: %s", (list, expected) => {
    expect(addressOf({ "x-forwarded-for": list })).toBe(expected);
  });
});

// Whoever stands left of an entry that says nothing may have been made up: what is right of it is believed.
test.each<[string, string]>([
  ["", "10.0.0.1"],
  ["unknown", "10.0.0.1"],
  ["203.0.113.7, unknown", "10.0.0.1"],
  ["203.0.113.7, unknown, 10.0.0.9", "10.0.0.9"],
  ["203.0.113.7, , 10.0.0.9", "10.0.0.9"],
  ["203.0.113.7,", "10.0.0.1"],
  ["localhost", "10.0.0.1"],
  ["203.0.113.999", "10.0.0.1"],
  ["203.0.113.7:port", "10.0.0.1"],
  ["203.0.113.7:1:2", "10.0.0.1"],
  ["[2001:db8::7", "10.0.0.1"],
  ["[203.0.113.7]x", "10.0.0.1"],
  ["2001:db8::7%eth0", "10.0.0.1"],
  ['"203.0.113.7"', "10.0.0.1"],
  ["<script>", "10.0.0.1"],
])("junk in X-Forwarded-For ends the walk: %j gives %s", (list, expected) => {
  expect(addressOf({ "x-forwarded-for": list })).toBe(expected);
});

describe("Forwarded", () => {
  test.each<[string | readonly string[], string]>([
    ["for=203.0.113.7", "203.0.113.7"],
    ["For=203.0.113.7;proto=https;by=10.0.0.9", "203.0.113.7"],
    ["proto=https ; for=203.0.113.7", "203.0.113.7"],
    ["for=1.1.1.1, for=203.0.113.7, for=10.0.0.9", "203.0.113.7"],
    [["for=1.1.1.1", "for=203.0.113.7"], "203.0.113.7"],
    ['for="203.0.113.7:4711"', "203.0.113.7"],
    ['for="[2001:db8::7]"', "2001:db8::7"],
    ['for="[2001:db8::7]:4711", for=10.0.0.9', "2001:db8::7"],
    ["for=unknown", "10.0.0.1"],
    ["for=203.0.113.7, for=_hidden", "10.0.0.1"],
    ["for=203.0.113.7, proto=https", "10.0.0.1"],
    ["by=203.0.113.7", "10.0.0.1"],
    ["xfor=203.0.113.7", "10.0.0.1"],
    // A quote that the client opened does not swallow what the proxy appended.
    ['for="1.1.1.1, for=203.0.113.7', "203.0.113.7"],
    ["", "10.0.0.1"],
  ])("%j: %s", (value, expected) => {
    expect(addressOf({ forwarded: value })).toBe(expected);
  });

  test("counts only where there is no X-Forwarded-For", () => {
    expect(addressOf({ "x-forwarded-for": "203.0.113.7", forwarded: "for=203.0.113.8" })).toBe("203.0.113.7");
    expect(addressOf({ "x-forwarded-for": "unknown", forwarded: "for=203.0.113.8" })).toBe("10.0.0.1");
  });
});

test("without either it is the peer", () => {
  expect(addressOf({})).toBe("10.0.0.1");
  expect(addressOf({ "x-real-ip": "203.0.113.7" }, "fd00::1")).toBe("fd00::1");
});

test.each([
  ["https", "https"],
  ["http", "http"],
  ["HTTPS", "https"],
  [" https ", "https"],
  ["ftp", "http"],
  ["https, http", "http"],
  ["", "http"],
] as const)("X-Forwarded-Proto %j of a trusted proxy: %s", (value, expected) => {
  expect(clientScheme(exchangeOf({ fields: { "x-forwarded-proto": value } }))).toBe(expected);
});

test("without X-Forwarded-Proto the scheme is that of our own connection", () => {
  expect(clientScheme(exchangeOf({ scheme: "https" }))).toBe("https");
  expect(clientScheme(exchangeOf())).toBe("http");
});
