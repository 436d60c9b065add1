import { expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import fc from "fast-check";
import { Authority } from "../tls/testing.ts";
import { problemOf, readRetryAfter } from "./ca-problem.ts";
import { certificateId } from "./certificate-id.ts";
import { backoffMs, type KeptCertificate, renewalTime } from "./renewal.ts";

const DAY = 86_400_000;
const certificate = (fingerprint: string, days = 90): KeptCertificate => ({
  name: "a.example",
  cert: "",
  key: "",
  ca: "ca",
  directory: "https://ca/",
  notBefore: 0,
  notAfter: days * DAY,
  fingerprint,
});
const fingerprints = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((octets) => Buffer.from(octets).toString("hex"));

test("a certificate is renewed at two thirds of its life, spread over a thirtieth before", () => {
  expect(renewalTime(certificate("00".repeat(32)), null)).toBe(60 * DAY);
  expect(renewalTime(certificate("ff".repeat(32)), null)).toBeCloseTo(57 * DAY, -2);
  fc.assert(
    fc.property(fingerprints, fc.integer({ min: 1, max: 400 }), (fingerprint, days) => {
      const at = renewalTime(certificate(fingerprint, days), null) / DAY;
      return at <= (days * 2) / 3 && at >= (days * 2) / 3 - days / 30;
    }),
  );
});

test("or within the window that the CA suggests, the same moment for all who have it (RFC 9773 §4.2)", () => {
  fc.assert(
    fc.property(fingerprints, fc.nat(80), fc.integer({ min: 1, max: 30 }), (fingerprint, start, length) => {
      const window = { start: start * DAY, end: (start + length) * DAY, askAgainMs: 1 };
      const at = renewalTime(certificate(fingerprint), window);
      return at >= window.start && at <= window.end && at === renewalTime(certificate(fingerprint), window);
    }),
  );
  const tooLate = { start: 91 * DAY, end: 92 * DAY, askAgainMs: 1 };
  expect(renewalTime(certificate("00".repeat(32)), tooLate)).toBe(60 * DAY);
});

test("after failures the wait doubles up to a bound, however many there were", () => {
  const backoff = { firstMs: 1000, mostMs: 60_000 };
  expect([1, 2, 3, 7, 1e9].map((count) => backoffMs(count, backoff, 0))).toEqual([1000, 2000, 4000, 60_000, 60_000]);
  expect(backoffMs(1, backoff, 1)).toBe(1500);
});

test.each([
  ["120", 120_000],
  ["0", 0],
  ["Thu, 01 Jan 1970 00:02:00 GMT", 60_000],
  ["Thu, 01 Jan 1970 00:00:00 GMT", 0],
  ["9999999", 7 * DAY],
  ["soon", null],
  [null, null],
] as const)("Retry-After %j is %j ms (RFC 9110 §10.2.3)", (value, ms) => {
  expect(readRetryAfter(value, 60_000)).toBe(ms);
});

test("a problem is told on one line with its parts and its kind (RFC 8555 §6.7.1)", () => {
  const subproblems = [{ identifier: { value: "a.example" }, detail: "CAA\nforbids" }];
  const type = "urn:ietf:params:acme:error:caa";
  const problem = problemOf("a new order", { type, detail: "refused", subproblems }, "status 403");
  expect(problem.message).toBe("a new order: refused; a.example: CAA forbids (caa)");
  expect(problemOf("the account", {}, "status 503").message).toBe("the account: status 503");
  expect(problemOf("x", { detail: "y".repeat(5000) }, "status 400").message.length).toBeLessThan(1100);
});

test("the id of a certificate is the issuer's key and its serial number (RFC 9773 §4.1)", () => {
  const authority = new Authority();
  // The serial number of the RFC's example; its first octet would be a sign without a zero before it.
  const { cert } = authority.issue(["a.example"]);
  const [key, serial] = certificateId(cert)!.split(".");
  const leaf = new X509Certificate(cert);
  expect(Buffer.from(serial!, "base64url").toString("hex").toUpperCase().replace(/^00/, "")).toBe(
    leaf.serialNumber.replace(/^00/, ""),
  );
  expect(certificateId(authority.cert)!.split(".")[0]).toBe(key!);
});
