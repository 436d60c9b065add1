import { expect, test } from "bun:test";
import { acceptableCodings } from "./coding.ts";

test.each([
  ["gzip, br, zstd", ["br", "zstd", "gzip"]],
  ["gzip", ["gzip"]],
  ["x-gzip", ["gzip"]],
  ["gzip;q=1, br;q=0.5", ["gzip", "br"]],
  ["gzip;q=0, *", ["br", "zstd"]],
  ["*;q=0", []],
  ["*;q=0.1, zstd", ["zstd", "br", "gzip"]],
  ["identity, gzip;q=0.5", []],
  ["identity;q=0.5, gzip", ["gzip"]],
  ["identity;q=0, gzip;q=0.1", ["gzip"]],
  ["deflate", []],
  ["", []],
])("Accept-Encoding: %s is served with %j (RFC 9110 §12.5.3)", (value, expected) => {
  expect(acceptableCodings(value, ["br", "zstd", "gzip"])).toEqual(expected as never);
});
