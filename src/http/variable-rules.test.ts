import { expect, test } from "bun:test";
import { NO_BODY } from "./body.ts";
import { type ClientInfo, Exchange } from "./exchange.ts";
import { FieldSection } from "./field-section.ts";
import { HttpRequest } from "./message.ts";
import { readerFor, variableNames } from "./variable.ts";
import { variables } from "./variable-rules.ts";

test.each([
  ["plain {{text}}", null],
  ["{request.method} {response.field.etag}", null],
  ["{request.methd}", "there is no variable {request.methd}: did you mean {request.method}?"],
  ["{method}", "there is no variable {method}: did you mean {request.method}?"],
  ["{status}", "there is no variable {status}: did you mean {response.status}?"],
  ["{request.field.a b}", '"a b" is not a field name'],
  ["a}", '"a}" has a single "}": write {name} for a variable, "}}" for the brace itself'],
])("template %j: %j", (text, problem) => {
  expect(variables.judgeTemplate(text)).toBe(problem);
});

test.each([
  ["tls.version", null, null],
  ["request.field.X-Any", null, null],
  ["tls.versoin", 'there is no variable "tls.versoin"', 'did you mean "tls.version"?'],
  ["{tls.version}", '"{tls.version}" is not the name of a variable', 'write it without braces: "tls.version"'],
  ["request.field.a b", '"a b" is not a field name', null],
  [
    "param.id",
    'variable "param.id" can be no condition: it is not known when a route is chosen',
    'variables of "client", "request", "tls" and "time" are',
  ],
])("condition on %s: %j", (name, problem, hint) => {
  expect(variables.judgeCondition(name)).toEqual(problem === null ? null : { problem, hint });
});

test("what may be a condition has a value before a route is chosen, and what may not has none", () => {
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
      alpn: "h2",
      resumed: false,
      rules: "",
      clientCertificate: {
        subject: "CN=a",
        issuer: "CN=b",
        serial: "1",
        fingerprint: "2",
        distrust: "out of date",
        pem: "AAEC",
      },
    },
  };
  const fields = FieldSection.of({ name: "1", cookie: "name=2" });
  const request = new HttpRequest("GET", "https", "shop.example", "/a?name=3", fields, NO_BODY);
  const names = variableNames().map(({ name }) => name.replace("<name>", "name"));
  const isEmpty = (name: string) => /^0?$/.test(readerFor(name)(new Exchange(client, "HTTP/2", request, 0)));
  // The number of a worker is set where it runs; content of no length has the length 0; these two say what is going on.
  const exceptions = ["worker", "request.length", "outcome.phase", "duration-ms"];
  for (const name of names.filter((one) => !exceptions.includes(one))) {
    expect([name, variables.judgeCondition(name) === null]).toEqual([name, !isEmpty(name)]);
  }
});
