import { describe, expect, test } from "bun:test";
import {
  type Address,
  encodeSockaddr,
  familyOf,
  formatAddress,
  isIp,
  parseAddress,
  sockaddrHost,
  sockaddrPort,
} from "./address.ts";
import { AF_INET, AF_INET6, AF_UNIX } from "./libc.ts";

const tcp = (host: string, port: number): Address => ({ kind: "tcp", host, port });

test.each<[string, Address]>([
  ["127.0.0.1:8080", tcp("127.0.0.1", 8080)],
  ["app:3000", tcp("app", 3000)],
  ["app.internal.example:0", tcp("app.internal.example", 0)],
  [":8080", tcp("", 8080)],
  ["[::1]:80", tcp("::1", 80)],
  ["[2001:DB8::1]:65535", tcp("2001:DB8::1", 65535)],
  ["[::ffff:192.0.2.1]:80", tcp("::ffff:192.0.2.1", 80)],
  ["unix:/run/app.sock", { kind: "unix", path: "/run/app.sock" }],
  ["unix:relative.sock", { kind: "unix", path: "relative.sock" }],
  ["unix:@abstract", { kind: "unix", path: "@abstract" }],
])("%s is an address, and is written the same again", (text, address) => {
  expect(parseAddress(text)).toEqual(address);
  expect(formatAddress(address)).toBe(text);
});

test.each([
  "",
  ":",
  "app",
  "8080",
  "app:",
  "app:http",
  "app:65536",
  "app:-1",
  "app:123456",
  "::1:80",
  "[::1]",
  "[::1]80",
  "[app]:80",
  "[]:80",
  "a b:80",
  "http://app:80",
  "app:80/path",
  "unix:",
  " app:80",
  "app:80 ",
])("%j is no address", (text) => {
  expect(parseAddress(text)).toBeNull();
});

test.each(["0.0.0.0", "255.255.255.255", "::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8"])(
  "%s is an IP address",
  (text) => {
    expect(isIp(text)).toBe(true);
  },
);

test.each([
  "",
  "1.2.3",
  "1.2.3.4.5",
  "256.1.1.1",
  "01.2.3.4",
  "0x7f.0.0.1",
  "1.2.3.4 ",
  "localhost",
  ":",
  ":::",
  "1::2::3",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "1:2:3:4:5:6:7:8::",
  "12345::",
  "g::",
  "::1%eth0",
  "[::1]",
  "::1.2.3.4.5",
  "1.2.3.4::",
  "::1.2.3.256",
])("%j is no IP address", (text) => {
  expect(isIp(text)).toBe(false);
});

describe("the kernel's form", () => {
  test("IPv4", () => {
    const sockaddr = encodeSockaddr(tcp("192.0.2.7", 8080));
    expect([...sockaddr]).toEqual([AF_INET, 0, 0x1f, 0x90, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(familyOf(sockaddr)).toBe(AF_INET);
    expect([sockaddrHost(sockaddr), sockaddrPort(sockaddr)]).toEqual(["192.0.2.7", 8080]);
  });

  test("IPv6", () => {
    const sockaddr = encodeSockaddr(tcp("2001:db8::1:2", 443));
    expect(sockaddr).toHaveLength(28);
    expect([...sockaddr.subarray(0, 8)]).toEqual([AF_INET6, 0, 1, 0xbb, 0, 0, 0, 0]);
    expect(Buffer.from(sockaddr.subarray(8, 24)).toString("hex")).toBe("20010db8000000000000000000010002");
    expect([sockaddrHost(sockaddr), sockaddrPort(sockaddr)]).toEqual(["2001:db8::1:2", 443]);
  });

  test("no host is every address, of both families", () => {
    const sockaddr = encodeSockaddr(tcp("", 80));
    expect(familyOf(sockaddr)).toBe(AF_INET6);
    expect([...sockaddr.subarray(8, 24)]).toEqual(new Array(16).fill(0));
  });

  test("a socket file ends with NUL; an abstract name begins with it and has none at its end", () => {
    expect([...encodeSockaddr({ kind: "unix", path: "/s" })]).toEqual([AF_UNIX, 0, 0x2f, 0x73, 0]);
    expect([...encodeSockaddr({ kind: "unix", path: "@s" })]).toEqual([AF_UNIX, 0, 0, 0x73]);
    const sockaddr = encodeSockaddr({ kind: "unix", path: "/s" });
    expect([sockaddrHost(sockaddr), sockaddrPort(sockaddr)]).toEqual(["", 0]);
  });

  test("a path is measured in octets, and refused if the kernel would cut it", () => {
    expect(encodeSockaddr({ kind: "unix", path: `/${"x".repeat(106)}` })).toHaveLength(110);
    expect(() => encodeSockaddr({ kind: "unix", path: `/${"x".repeat(107)}` })).toThrow("108 octets");
    expect(() => encodeSockaddr({ kind: "unix", path: `/${"é".repeat(54)}` })).toThrow("109 octets");
  });

  test("a name has to be resolved first", () => {
    expect(() => encodeSockaddr(tcp("localhost", 80))).toThrow("localhost is not an IP address");
  });
});

// RFC 5952 §4: lower case, no leading zeros, the longest run of zeros (the first of equals), never a single one.
test.each([
  ["2001:DB8:0:0:0:0:2:1", "2001:db8::2:1"],
  ["2001:0db8::0001", "2001:db8::1"],
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["0:0:0:0:0:0:0:0", "::"],
  ["0:0:0:0:0:0:0:1", "::1"],
  ["1:0:0:0:0:0:0:0", "1::"],
  ["0:1:0:0:0:0:0:0", "0:1::"],
  ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["::FFFF:c000:0201", "192.0.2.1"],
  ["::192.0.2.1", "::c000:201"],
])("%s reads as %s", (text, canonical) => {
  expect(sockaddrHost(encodeSockaddr(tcp(text, 0)))).toBe(canonical);
});
