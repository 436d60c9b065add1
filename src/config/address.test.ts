import { expect, test } from "bun:test";
import { readCidr, readEndpointAddress, readListenAddress } from "./address.ts";

test.each([
  ["localhost:3000", "localhost:3000"],
  ["LocalHost:080", "localhost:80"],
  ["10.0.0.1:65535", "10.0.0.1:65535"],
  ["[::1]:8080", "[::1]:8080"],
  ["[2001:DB8::1]:80", "[2001:db8::1]:80"],
  ["[::ffff:192.0.2.1]:80", "[::ffff:192.0.2.1]:80"],
  ["my_app.svc.cluster.local:80", "my_app.svc.cluster.local:80"],
  ["unix:/run/app.sock", "unix:/run/app.sock"],
  ["unix:@abstract", "unix:@abstract"],
])("%j is the endpoint %j", (text, tidy) => {
  expect(readEndpointAddress(text)).toEqual({ text: tidy });
});

test.each([
  ["localhost", 'write "localhost:80"'],
  ["3000", 'write "localhost:3000"'],
  [":3000", 'write "localhost:3000"'],
  ["http://localhost:3000/", 'write "localhost:3000"'],
  ["https://example.com", 'write "example.com:443"'],
  ["::1", 'write "[::1]:80"'],
  ["[::1]", 'write "[::1]:80"'],
  ["unix:app.sock", 'write "unix:/run/app.sock"'],
])("%j is no endpoint, and the hint says %j", (text, hint) => {
  expect(readEndpointAddress(text)).toMatchObject({ hint, problem: expect.any(String) });
});

test.each([
  "",
  "a b:80",
  "localhost:",
  "localhost:0",
  "localhost:65536",
  "localhost:-1",
  "localhost:8o",
  "256.0.0.1:80",
  "1.2.3:80",
])("%j is no endpoint", (text) => {
  expect(readEndpointAddress(text)).toHaveProperty("problem");
});

test.each([
  "[::1:80",
  "[:::1]:80",
  "[1::2::3]:80",
  "[12345::]:80",
  "a..b:80",
  "-a:80",
  "unix:",
  `unix:/${"x".repeat(107)}`,
  "a:b:80",
])("%j is no endpoint either", (text) => {
  expect(readEndpointAddress(text)).toHaveProperty("problem");
});

test.each([
  [":8080", ":8080"],
  ["*:80", ":80"],
  ["127.0.0.1:0", "127.0.0.1:0"],
  ["unix:/run/lintel.sock", "unix:/run/lintel.sock"],
])("%j can be listened on as %j", (text, tidy) => {
  expect(readListenAddress(text)).toEqual({ text: tidy });
});

test.each([
  ["10.0.0.0/8", "10.0.0.0/8"],
  ["192.0.2.7", "192.0.2.7/32"],
  ["FD00::/8", "fd00::/8"],
  ["::1", "::1/128"],
])("%j is the block %j", (text, tidy) => {
  expect(readCidr(text)).toEqual({ text: tidy });
});

test.each([
  "",
  "10.0.0.0/33",
  "::/129",
  "10.0.0/8",
  "10.0.0.0/",
  "10.0.0.0/8/8",
  "10.0.0.0/-1",
  "example.com",
  "010.0.0.1",
])("%j is no block of addresses", (text) => {
  expect(readCidr(text)).toHaveProperty("problem");
});
