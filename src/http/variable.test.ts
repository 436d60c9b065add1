import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { Failure } from "../base/failure.ts";
import { clock } from "../base/timer.ts";
import { NO_BODY } from "./body.ts";
import { type ClientInfo, Exchange } from "./exchange.ts";
import { FieldSection } from "./field-section.ts";
import { HttpRequest, HttpResponse } from "./message.ts";
import { compileTemplate, templateOption, variableNames } from "./variable.ts";

const client: ClientInfo = {
  listener: "web",
  peer: "192.0.2.7",
  peerPort: 51000,
  localAddress: "192.0.2.1",
  localPort: 443,
  tls: {
    version: "TLSv1.3",
    cipher: "TLS_AES_128_GCM_SHA256",
    serverName: "shop.example",
    alpn: "http/1.1",
    resumed: false,
    rules: "",
    clientCertificate: {
      subject: "CN=alice",
      issuer: "CN=staff",
      serial: "0A",
      fingerprint: "ab12",
      distrust: "",
      pem: "-----BEGIN CERTIFICATE-----\nAAEC\nAwQF\n-----END CERTIFICATE-----\n",
    },
  },
};

function exchange(): Exchange {
  const fields = FieldSection.of({ "user-agent": "curl/8", "X-Tag": ["a", "b"], cookie: "sid=42; theme=dark" });
  const request = new HttpRequest("GET", "https", "shop.example:8443", "/a/%2e/b?q=caf%C3%A9+au&q=2", fields, NO_BODY);
  return new Exchange(client, "HTTP/1.1", request, clock.now - 12.5);
}

function answered(): Exchange {
  const x = exchange();
  x.response = new HttpResponse(201, FieldSection.of({ etag: '"v1"' }));
  x.responseOctets = 99;
  x.site = "main";
  x.route = "main/1";
  x.upstream = "shop";
  x.params = { id: "7", "*": "b/c" };
  const attempt = {
    endpoint: "10.0.0.2:80",
    hedge: false,
    reused: false,
    startedAt: 100,
    connectedAt: 101.25,
    firstOctetAt: 107,
    status: 201,
    failure: null,
  };
  const failure = new Failure("upstream-reset", "gone");
  x.attempts = [{ ...attempt, endpoint: "10.0.0.1:80", status: 0, failure }, attempt];
  x.phase = "done";
  return x;
}

const expand = (text: string, x: Exchange) => compileTemplate(text)(x);

test.each([
  ["client.address", "192.0.2.7"],
  ["client.port", "51000"],
  ["client.peer", "192.0.2.7"],
  ["listener", "web"],
  ["request.method", "GET"],
  ["request.scheme", "https"],
  ["request.host", "shop.example"],
  ["request.authority", "shop.example:8443"],
  ["request.port", "8443"],
  ["request.target", "/a/%2e/b?q=caf%C3%A9+au&q=2"],
  ["request.path", "/a/b"],
  ["request.query", "q=caf%C3%A9+au&q=2"],
  ["request.protocol", "HTTP/1.1"],
  ["request.length", "0"],
  ["request.field.User-Agent", "curl/8"],
  ["request.field.x-tag", "a, b"],
  ["request.cookie.theme", "dark"],
  ["request.query.q", "café au"],
  ["param.id", "7"],
  ["param.*", "b/c"],
  ["site", "main"],
  ["route", "main/1"],
  ["upstream", "shop"],
  ["upstream.endpoint", "10.0.0.2:80"],
  ["upstream.status", "201"],
  ["upstream.connect-ms", "1.25"],
  ["upstream.first-octet-ms", "7"],
  ["upstream.tried", "10.0.0.1:80, 10.0.0.2:80"],
  ["upstream.results", "upstream-reset, 201"],
  ["attempts", "2"],
  ["response.status", "201"],
  ["response.field.etag", '"v1"'],
  ["response.octets", "99"],
  ["duration-ms", "12.5"],
  ["outcome", "complete"],
  ["outcome.by", ""],
  ["outcome.phase", "done"],
  ["tls.version", "TLSv1.3"],
  ["tls.server-name", "shop.example"],
  ["tls.alpn", "http/1.1"],
  ["tls.cipher", "TLS_AES_128_GCM_SHA256"],
  ["tls.resumed", "no"],
  ["tls.client.verified", "yes"],
  ["tls.client.distrust", ""],
  ["tls.client.subject", "CN=alice"],
  ["tls.client.issuer", "CN=staff"],
  ["tls.client.serial", "0A"],
  ["tls.client.fingerprint", "ab12"],
  ["tls.client.certificate", "AAECAwQF"],
  ["pid", String(process.pid)],
])("{%s} of an answered exchange is %j", (name, value) => {
  expect(expand(`{${name}}`, answered())).toBe(value);
});

test.each([
  "site",
  "route",
  "upstream",
  "upstream.endpoint",
  "upstream.status",
  "upstream.connect-ms",
  "response.status",
  "response.field.etag",
  "param.id",
  "param.constructor",
  "request.cookie.none",
  "request.query.none",
  "request.field.none",
  "outcome",
])("{%s} is empty while there is none", (name) => {
  expect(expand(`[{${name}}]`, exchange())).toBe("[]");
});

test("a failed exchange says who ended it, with which code, and the status the client gets", () => {
  const x = exchange();
  x.failure = new Failure("upstream-connect-timeout", "10.0.0.1:80 did not accept within 5 s");
  x.phase = "connect";
  expect(expand("{outcome} {outcome.by} {outcome.phase} {outcome.code} {response.status}", x)).toBe(
    "upstream-connect-timeout upstream connect upstream-connect-timeout 504",
  );
});

test("the times are one moment in four forms", () => {
  const [iso, unix, common, http] = expand("{time.iso}|{time.unix}|{time.common-log}|{time.http}", exchange()).split(
    "|",
  );
  expect(Date.parse(iso!)).toBe(Number(unix) * 1000);
  expect(Date.parse(http!)).toBe(Number(unix) * 1000);
  expect(common).toMatch(/^\d\d\/[A-Z][a-z]{2}\/\d{4}(:\d\d){3} \+0000$/);
});

test("a request without a named port has its scheme's", () => {
  const x = exchange();
  x.request.authority = "[2001:db8::1]";
  expect(expand("{request.port}", x)).toBe("443");
});

describe("templates", () => {
  test.each([
    ["", "", []],
    ["plain", "plain", []],
    ["{{literal}}", "{literal}", []],
    ["{request.method}", "GET", ["request.method"]],
    ["<{request.method}>", "<GET>", ["request.method"]],
    ["{request.method} {request.path}", "GET /a/b", ["request.method", "request.path"]],
    [
      '{{"m":"{request.method}","h":"{request.host}","p":"{request.path}"}}',
      '{"m":"GET","h":"shop.example","p":"/a/b"}',
      ["request.method", "request.host", "request.path"],
    ],
  ])("%j gives %j", (text, expected, variables) => {
    const template = compileTemplate(text);
    expect(template(exchange())).toBe(expected);
    expect(template.variables).toEqual(variables);
    expect(template.constant).toBe(variables.length === 0 ? expected : null);
  });

  test.each([
    ["{reqest.method}", "there is no variable {reqest.method}: did you mean {request.method}?"],
    ["{request.fields.accept}", "did you mean {request.field.accept}?"],
    ["{client-address}", "did you mean {client.address}?"],
    ["{constructor}", "there is no variable {constructor}"],
    ["{}", 'there is no variable {}: for the braces themselves write "{{" and "}}"'],
    ['{"a":1}', 'there is no variable {"a":1}: for the braces themselves write "{{" and "}}"'],
    ["a { color: red }", 'for the braces themselves write "{{" and "}}"'],
    ["{request.field.}", "there is no variable {request.field.}"],
    ["{request.field.a b}", '"a b" is not a field name'],
    ["a { b", 'a single "{"'],
    ["a } b", 'a single "}"'],
  ])("%j is refused: %s", (text, message) => {
    expect(() => compileTemplate(text)).toThrow(message);
    expect(() => compileTemplate(text)).toThrow(TypeError);
  });

  test("as an option, a wrong one is an issue at its place", () => {
    const schema = z.object({ to: templateOption("Where to.") });
    expect(schema.parse({ to: "/x{request.path}" }).to(exchange())).toBe("/x/a/b");
    const issue = schema.safeParse({ to: "{request.pth}" }).error!.issues[0]!;
    expect(issue.path).toEqual(["to"]);
    expect(issue.message).toContain("did you mean {request.path}?");
  });

  test("every listed name compiles and has a sentence", () => {
    for (const { name, doc } of variableNames()) {
      compileTemplate(`{${name.replace("<name>", "x")}}`)(answered());
      expect(doc).toEndWith(".");
    }
  });
});
