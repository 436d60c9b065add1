import { expect, test } from "bun:test";
import type { OriginTlsConfig } from "../config/gateway-config.ts";
import { originSettings } from "./origin-settings.ts";
import { Authority } from "./testing.ts";
import { NO_MATERIAL } from "./tls-material.ts";

const authority = new Authority();
const gateway = authority.issue([], { subject: "gateway", use: "client" });
const tls: OriginTlsConfig = {
  verify: true,
  ca: "ca.pem",
  pins: [],
  identity: { cert: "gateway.pem", key: "gateway.key" },
  serverName: null,
  alpn: ["h2", "http/1.1"],
  minVersion: "TLSv1.3",
  handshakeTimeout: 1000,
};
const files = { "ca.pem": authority.cert, "gateway.pem": gateway.cert, "gateway.key": gateway.key };

test("what connections to an upstream are made with", () => {
  expect(originSettings(tls, { ...NO_MATERIAL, files })).toMatchObject({
    verify: true,
    pins: [],
    alpn: Buffer.from("\x02h2\x08http/1.1"),
    handshakeTimeoutMs: 1000,
  });
});

test.each(Object.keys(files))("without %s there are no connections", (missing) => {
  const { [missing]: _, ...rest } = files as Record<string, string>;
  expect(() => originSettings(tls, { ...NO_MATERIAL, files: rest })).toThrow(`${missing} could not be read`);
});

test("a key of another certificate is refused", () => {
  const other = { ...files, "gateway.key": authority.issue([]).key };
  expect(() => originSettings(tls, { ...NO_MATERIAL, files: other })).toThrow("the key is not the certificate's");
});
