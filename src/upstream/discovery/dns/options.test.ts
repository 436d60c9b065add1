import { expect, test } from "bun:test";
import { z } from "zod";
import { dns } from "./dns.ts";

const read = (options: unknown) => dns.options.safeParse(options);

/** Messages, also those within unions. */
function said(options: unknown): string[] {
  const texts = (issues: readonly z.core.$ZodIssue[]): string[] =>
    issues.flatMap((issue) => (issue.code === "invalid_union" ? issue.errors.flatMap(texts) : issue.message));
  return texts(read(options).error?.issues ?? []);
}

test("name and port are enough", () => {
  expect(read({ name: "App.Internal", port: 80 }).data).toEqual({
    name: "app.internal",
    port: 80,
    family: "both",
    floor: 1000,
    ceiling: 300_000,
    timeout: 2000,
    empty: "keep",
    backup: false,
    weight: 1,
    priority: 0,
  });
});

test("servers have port 53 unless they say another, and may be one or many", () => {
  const servers = (given: unknown) =>
    (read({ name: "a", port: 1, servers: given }).data as { servers: unknown }).servers;
  expect(servers("10.0.0.53")).toEqual([{ host: "10.0.0.53", port: 53 }]);
  expect(servers(["::1", "[::1]:54", "127.0.0.1:8600", "consul:8600", "resolver"])).toEqual([
    { host: "::1", port: 53 },
    { host: "::1", port: 54 },
    { host: "127.0.0.1", port: 8600 },
    { host: "consul", port: 8600 },
    { host: "resolver", port: 53 },
  ]);
});

test.each([
  [{ name: "10.0.0.1", port: 80 }, '"10.0.0.1" is an address, not a name'],
  [{ name: "[::1]", port: 80 }, '"[::1]" is an address, not a name'],
  [{ name: "app:80", port: 80 }, '"app:80" is not a name that DNS can be asked for'],
  [{ name: `${"a".repeat(64)}.test`, port: 80 }, `"${"a".repeat(64)}.test" is not a name that DNS can be asked for`],
  [{ name: "a..b", port: 80 }, '"a..b" is not a name that DNS can be asked for'],
  [{ name: "a", port: 80, servers: "a:b:c" }, '"a:b:c" is not a DNS server: write host or host:port'],
  [{ name: "a", port: 80, servers: "10.0.0.1:0" }, '"10.0.0.1:0" is not a DNS server: write host or host:port'],
  [{ name: "a", port: 80, floor: "10ms" }, '"floor" must be at least 100ms, and not "off"'],
  [{ name: "a", port: 80, floor: "10s", ceiling: "5s" }, '"ceiling" must not be below "floor"'],
  [{ name: "a", port: 80, timeout: "off" }, '"timeout" must be from 100ms to 60s'],
])("%j is refused", (options, message) => {
  expect(said(options)).toContain(message);
});

test("a ceiling can be off: lifetimes are as the servers say", () => {
  expect((read({ name: "a", port: 1, ceiling: "off" }).data as { ceiling: number }).ceiling).toBe(Infinity);
});

test("the options have a JSON Schema", () => {
  expect(Object.keys(z.toJSONSchema(dns.options, { io: "input" }).properties ?? {})).toContain("servers");
});
