import { describe, expect, test } from "bun:test";
import { NO_BODY } from "../http/body.ts";
import { type ClientInfo, Exchange, type Protocol } from "../http/exchange.ts";
import { FieldSection } from "../http/field-section.ts";
import { HttpRequest, type Scheme } from "../http/message.ts";
import { CidrSet } from "../router/cidr.ts";
import { clientAddress, clientScheme } from "./client-address.ts";
import { addForwardedFields } from "./forwarded.ts";

type Fields = Readonly<Record<string, string | readonly string[]>>;

interface Facts {
  readonly peer?: string;
  readonly authority?: string;
  readonly scheme?: Scheme;
  readonly protocol?: Protocol;
  readonly fields?: Fields;
  readonly client?: ClientInfo;
}

const clientOf = (peer: string): ClientInfo => ({
  listener: "http",
  peer,
  peerPort: 40000,
  localAddress: "",
  localPort: 80,
  tls: null,
});

function exchangeOf(facts: Facts): Exchange {
  const { peer = "203.0.113.7", authority = "a.example", scheme = "http", protocol = "HTTP/1.1", fields = {} } = facts;
  const request = new HttpRequest("GET", scheme, authority, "/", FieldSection.of(fields), NO_BODY);
  return new Exchange(facts.client ?? clientOf(peer), protocol, request, 0);
}

/** All that is sent: the client's fields, then the gateway's own. */
function sent({ request }: Exchange): [string, string][] {
  return [...request.fields, ...(request.gatewayFields ?? new FieldSection())];
}

/** What the origin server is told, with the peer not trusted. */
function told(facts: Facts): Record<string, string> {
  const exchange = exchangeOf(facts);
  addForwardedFields(exchange, false);
  const fields = sent(exchange);
  expect(fields.length).toBe(new Set(fields.map(([name]) => name)).size);
  return Object.fromEntries(fields);
}

/** As the gateway does it for a peer in 10.0.0.0/8. */
function toldByProxy(fields: Fields, facts: Facts = {}): Record<string, string | undefined> {
  const trusted = new CidrSet(["10.0.0.0/8"]);
  const exchange = exchangeOf({ peer: "10.0.0.1", ...facts, fields });
  exchange.clientAddress = clientAddress(exchange, trusted);
  exchange.request.scheme = clientScheme(exchange);
  addForwardedFields(exchange, true);
  const all = new FieldSection();
  for (const [name, value] of sent(exchange)) all.append(name, value);
  return Object.fromEntries([...all].map(([name]) => [name, all.get(name)]));
}

describe("a client that is nobody in particular", () => {
  test("is described in full", () => {
    expect(told({})).toEqual({
      "x-forwarded-for": "203.0.113.7",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "a.example",
      "x-forwarded-port": "80",
      "x-real-ip": "203.0.113.7",
      forwarded: "for=203.0.113.7;host=a.example;proto=http",
      via: "1.1 lintel",
    });
  });

  test.each<[string, Fields]>([
    ["X-Forwarded-For", { "X-Forwarded-For": "1.1.1.1" }],
    ["several X-Forwarded-For", { "x-forwarded-for": ["1.1.1.1", "2.2.2.2"] }],
    ["X-Forwarded-Proto", { "X-Forwarded-Proto": "https" }],
    ["X-Forwarded-Host", { "X-Forwarded-Host": "evil.example" }],
    ["X-Forwarded-Port", { "X-Forwarded-Port": "443" }],
    ["X-Real-IP", { "X-Real-IP": "1.1.1.1" }],
    ["Forwarded", { Forwarded: "for=1.1.1.1;proto=https" }],
    ["names that some origin servers take for these", { X_Forwarded_For: "1.1.1.1", "x_real-ip": "1.1.1.1" }],
  ])("cannot claim to be somebody else by %s", (_name, fields) => {
    expect(told({ fields })).toEqual(told({}));
  });

  test("keeps all its other fields", () => {
    expect(told({ fields: { accept: "*/*", "x-forwarded-prefix": "/a" } })).toMatchObject({
      accept: "*/*",
      "x-forwarded-prefix": "/a",
    });
  });

  // RFC 7239 §6: an IPv6 address in brackets, and quoted; §4: a value that is no token is quoted.
  test.each([
    [{ peer: "2001:db8::7" }, `for="[2001:db8::7]";host=a.example;proto=http`],
    [{ peer: "" }, "for=unknown;host=a.example;proto=http"],
    [{ authority: "a.example:8080" }, `for=203.0.113.7;host="a.example:8080";proto=http`],
    [{ authority: "[::1]:8080" }, `for=203.0.113.7;host="[::1]:8080";proto=http`],
    [{ authority: "" }, "for=203.0.113.7;proto=http"],
    [{ scheme: "https" }, "for=203.0.113.7;host=a.example;proto=https"],
  ] as const)("Forwarded for %j", (facts, expected) => {
    expect(told(facts).forwarded).toBe(expected);
  });

  test.each([
    ["a.example", "http", "80"],
    ["a.example", "https", "443"],
    ["a.example:8080", "http", "8080"],
    ["[::1]", "http", "80"],
    ["[::1]:81", "http", "81"],
    ["a.example:", "http", "80"],
    ["", "http", "80"],
  ] as const)("the port of %j over %s is %s", (authority, scheme, port) => {
    expect(told({ authority, scheme })["x-forwarded-port"]).toBe(port);
  });

  test("on a unix socket has no address to tell", () => {
    const fields = told({ peer: "" });
    expect(fields["x-forwarded-for"]).toBe("unknown");
    expect(fields).not.toHaveProperty("x-real-ip");
  });

  test("that named no host has none told", () => {
    expect(told({ authority: "", protocol: "HTTP/1.0" })).not.toHaveProperty("x-forwarded-host");
  });

  test("each request of a connection is described by its own host and version", () => {
    const client = clientOf("203.0.113.7");
    const told = (facts: Facts) => {
      const exchange = exchangeOf({ ...facts, client });
      addForwardedFields(exchange, false);
      const fields = Object.fromEntries(sent(exchange));
      return `${fields["x-forwarded-host"]} ${fields["x-forwarded-port"]} ${fields["via"]}`;
    };
    expect(told({ authority: "a.example" })).toBe("a.example 80 1.1 lintel");
    expect(told({ authority: "a.example" })).toBe("a.example 80 1.1 lintel");
    expect(told({ authority: "b.example:81" })).toBe("b.example:81 81 1.1 lintel");
    expect(told({ authority: "b.example:81", protocol: "HTTP/1.0" })).toBe("b.example:81 81 1.0 lintel");
    expect(told({ authority: "a.example" })).toBe("a.example 80 1.1 lintel");
  });
});

// RFC 9110 §7.6.3: each gateway appends itself; what stands there stays in front.
test("Via is appended to, whoever sent it", () => {
  const exchange = exchangeOf({ fields: { via: "1.0 fred" }, protocol: "HTTP/1.0" });
  addForwardedFields(exchange, false);
  expect(sent(exchange).filter(([name]) => name === "via")).toEqual([
    ["via", "1.0 fred"],
    ["via", "1.0 lintel"],
  ]);
  expect(toldByProxy({ via: "1.1 edge" })["via"]).toBe("1.1 edge, 1.1 lintel");
});

describe("a trusted proxy", () => {
  test("is continued", () => {
    expect(
      toldByProxy({
        "x-forwarded-for": "203.0.113.7",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "www.example",
        "x-forwarded-port": "443",
        "x-real-ip": "203.0.113.7",
        forwarded: "for=203.0.113.7;proto=https",
      }),
    ).toEqual({
      "x-forwarded-for": "203.0.113.7, 10.0.0.1",
      "x-forwarded-proto": "https",
      "x-forwarded-host": "www.example",
      "x-forwarded-port": "443",
      "x-real-ip": "203.0.113.7",
      forwarded: "for=203.0.113.7;proto=https, for=10.0.0.1;host=a.example;proto=https",
      via: "1.1 lintel",
    });
  });

  test("that says nothing is the client", () => {
    expect(toldByProxy({})).toEqual({
      "x-forwarded-for": "10.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "a.example",
      "x-forwarded-port": "80",
      "x-real-ip": "10.0.0.1",
      forwarded: "for=10.0.0.1;host=a.example;proto=http",
      via: "1.1 lintel",
    });
  });

  test("that only says https: the port fits it", () => {
    const fields = { "x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https" };
    expect(toldByProxy(fields)).toMatchObject({ "x-forwarded-proto": "https", "x-forwarded-port": "443" });
  });

  test("that speaks only one of the two languages is translated into the other", () => {
    expect(toldByProxy({ "x-forwarded-for": "203.0.113.7" })).toMatchObject({
      "x-forwarded-for": "203.0.113.7, 10.0.0.1",
      forwarded: "for=203.0.113.7;host=a.example;proto=http, for=10.0.0.1;host=a.example;proto=http",
    });
    expect(toldByProxy({ forwarded: 'for="[2001:db8::1]:4711"' })).toMatchObject({
      "x-forwarded-for": "2001:db8::1, 10.0.0.1",
      forwarded: 'for="[2001:db8::1]:4711", for=10.0.0.1;host=a.example;proto=http',
      "x-real-ip": "2001:db8::1",
    });
  });

  test("cannot be impersonated behind itself: the real address is the one it saw", () => {
    // The client sent the first entry, the proxy appended the second.
    const fields = { "x-forwarded-for": "1.1.1.1, 203.0.113.7", "x-real-ip": "1.1.1.1" };
    expect(toldByProxy(fields)).toMatchObject({
      "x-real-ip": "203.0.113.7",
      "x-forwarded-for": "1.1.1.1, 203.0.113.7, 10.0.0.1",
    });
  });

  test("hands on no disguised names, which it may not know of", () => {
    const fields = toldByProxy({ "x-forwarded-for": "203.0.113.7", X_Forwarded_For: "1.1.1.1", x_real_ip: "1.1.1.1" });
    expect(Object.keys(fields).filter((name) => name.includes("_"))).toEqual([]);
  });

  test("several field lines are one list", () => {
    expect(toldByProxy({ "x-forwarded-for": ["203.0.113.7", "10.0.0.9"] })["x-forwarded-for"]).toBe(
      "203.0.113.7, 10.0.0.9, 10.0.0.1",
    );
  });
});
