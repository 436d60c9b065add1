/** A value of Host that is known makes the same request as one that is seen for the first time. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { HeadDecoder } from "./head-decoder.ts";
import { knownHost, rememberHost } from "./known-hosts.ts";
import { requestOf } from "./request-head.ts";

const LIMITS = { requestLineOctets: 8192, fieldLineOctets: 8192, fieldSectionOctets: 8192, fieldCount: 100 };
const decoder = new HeadDecoder("request");

function decode(head: string): unknown {
  const octets = Buffer.from(head, "latin1");
  try {
    expect(decoder.decodeRequest(octets, 0, octets.length, LIMITS)).toBe(true);
    const { method, authority, target } = requestOf(decoder, "http");
    return { method, authority, target };
  } catch (thrown) {
    return String(thrown);
  }
}

const known = (text: string): string | null => {
  const octets = Buffer.from(`..${text}..`, "latin1");
  return knownHost(octets, 2, 2 + text.length);
};

let next = 0;
/** A name that no test has used. */
const fresh = (): string => `host-${next++}.example`;

test("a name is known once it was remembered, and only as it was", () => {
  const name = fresh();
  expect(known(name)).toBeNull();
  rememberHost(name);
  expect(known(name)).toBe(name);
  expect(known(name.toUpperCase())).toBeNull();
  expect(known(`${name}.`)).toBeNull();
  expect(known(name.slice(1))).toBeNull();
  expect(known("")).toBeNull();
});

test("there may be any number of names: a later one takes the place of another", () => {
  const names = Array.from({ length: 5000 }, fresh);
  for (const name of names) rememberHost(name);
  for (const name of names) expect([name, null]).toContain(known(name));
  expect(known(names.at(-1)!)).toBe(names.at(-1)!);
});

test("a first request with a name and a second one are the same", () => {
  const shapes = fc.constantFrom<(host: string) => string>(
    (host) => `GET /a?b HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    (host) => `GET /a HTTP/1.0\r\nhost:${host} \r\nx: y\r\n\r\n`,
    (host) => `OPTIONS * HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    (host) => `GET * HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    (host) => `GET http://other.example/x HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    (host) => `CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    (host) => `CONNECT /x HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    (host) => `GET /a HTTP/1.1\r\nHost: ${host}\r\nHost: ${host}\r\n\r\n`,
    (host) => `GET x HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  );
  const upper = fc.boolean();
  const port = fc.constantFrom("", ":80", ":x", ":99999");
  const before = fc.constantFrom("", "%", "[", "a b", "user@");
  fc.assert(
    fc.property(shapes, upper, port, before, (shape, isUpper, withPort, broken) => {
      const name = fresh();
      const host = `${broken}${isUpper ? name.toUpperCase() : name}${withPort}`;
      const first = decode(shape(host));
      decode(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`); // Remembered by now, if it may be.
      expect(decode(shape(host))).toEqual(first);
    }),
    { numRuns: 500 },
  );
});
