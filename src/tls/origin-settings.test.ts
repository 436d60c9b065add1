import { expect, test } from "bun:test";
import type { OriginTlsConfig } from "../config/gateway-config.ts";
import { originSettings } from "./origin-settings.ts";
import { Authority } from "./testing.ts";

const authority = new Authority();
const gateway = authority.issue([], { subject: "gateway", use: "client" });
const tls: OriginTlsConfig = {
  verify: true,
  ca: "ca.pem",
  pins: [],
  identity: { cert: "gateway.pem", key: "gateway.key" },
  serverName: null,
  minVersion: "TLSv1.3",
  handshakeTimeout: 1000,
};
const files = { "ca.pem": authority.cert, "gateway.pem": gateway.cert, "gateway.key": gateway.key };

test.each([
  ["http1", "\x08http/1.1"],
  ["http2", "\x02h2"],
  ["auto", "\x02h2\x08http/1.1"],
] as const)("what connections to an upstream with protocol %s are made with", (protocol, alpn) => {
  expect(originSettings(tls, protocol, { files })).toMatchObject({
    verify: true,
    pins: [],
    alpn: Buffer.from(alpn),
    handshakeTimeoutMs: 1000,
  });
});

test.each(Object.keys(files))("without %s there are no connections", (missing) => {
  const { [missing]: _, ...rest } = files as Record<string, string>;
  expect(() => originSettings(tls, "auto", { files: rest })).toThrow(`${missing} could not be read`);
});

test("a key of another certificate is refused", () => {
  const other = { ...files, "gateway.key": authority.issue([]).key };
  expect(() => originSettings(tls, "auto", { files: other })).toThrow("the key is not the certificate's");
});
