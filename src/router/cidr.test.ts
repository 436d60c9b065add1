import { describe, expect, test } from "bun:test";
import { isIP } from "node:net";
import fc from "fast-check";
import { CidrSet } from "./cidr.ts";

test.each([
  ["10.0.0.0/8", "10.255.255.255", true],
  ["10.0.0.0/8", "11.0.0.0", false],
  ["10.1.2.3/8", "10.9.9.9", true],
  ["192.0.2.7", "192.0.2.7", true],
  ["192.0.2.7", "192.0.2.8", false],
  ["0.0.0.0/0", "255.255.255.255", true],
  ["0.0.0.0/0", "::1", false],
  ["::/0", "2001:db8::1", true],
  ["::/0", "192.0.2.1", false],
  ["::1", "::1", true],
  ["::1", "0:0:0:0:0:0:0:1", true],
  ["fd00::/8", "fdff::1", true],
  ["fd00::/8", "fe00::1", false],
  ["2001:DB8::/33", "2001:db8:7fff::", true],
  ["2001:db8::/33", "2001:db8:8000::", false],
  ["fe80::/10", "fe80::1%eth0", true],
  ["192.0.2.0/24", "::ffff:192.0.2.9", true],
  ["192.0.2.0/24", "::ffff:c000:209", true],
  ["::ffff:192.0.2.0/120", "192.0.2.9", true],
  ["::ffff:0:0/96", "203.0.113.1", true],
  ["128.0.0.0/1", "200.0.0.1", true],
])("%s holds %s: %j", (block, address, held) => {
  expect(new CidrSet([block]).has(address)).toBe(held);
});

test.each([
  "",
  "a",
  "1.2.3",
  "1.2.3.4.5",
  "1.2.3.256",
  "01.2.3.4",
  "1.2.3.4 ",
  "::1::",
  ":::",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "12345::",
  "::1.2.3",
  "1.2.3.4%x",
  "::g",
  ":1",
])("%j is no address, so no set holds it", (address) => {
  expect(new CidrSet(["0.0.0.0/0", "::/0"]).has(address)).toBe(false);
});

test.each([
  "",
  "10.0.0.0/33",
  "10.0.0.0/",
  "10.0.0.0/-1",
  "10.0.0.0/8/8",
  "::/129",
  "example.com",
  "10.0.0/8",
  "10.0.0.0/ 8",
])("%j is no block", (block) => {
  expect(() => new CidrSet([block])).toThrow(TypeError);
});

describe("against arithmetic on big numbers", () => {
  // Few distinct bits, so that blocks and addresses meet.
  const octet = fc.constantFrom(0, 1, 127, 128, 192, 255);
  const v4 = fc.array(octet, { minLength: 4, maxLength: 4 }).map((octets) => octets.join("."));
  const group = fc.constantFrom("0", "1", "7fff", "8000", "FFFF", "db8");
  const v6 = fc
    .tuple(fc.array(group, { minLength: 8, maxLength: 8 }), fc.nat(8), fc.nat(8))
    .map(([groups, from, length]) => {
      const skipped = Math.min(length, 8 - from);
      if (skipped === 0) return groups.join(":");
      return `${groups.slice(0, from).join(":")}::${groups.slice(from + skipped).join(":")}`;
    });
  const mapped = v4.map((address) => `::ffff:${address}`);
  const block = fc.oneof(
    fc.tuple(v4, fc.nat(32)).map(([address, bits]) => `${address}/${bits}`),
    fc.tuple(v6, fc.nat(128)).map(([address, bits]) => `${address}/${bits}`),
    fc.tuple(mapped, fc.integer({ min: 96, max: 128 })).map(([address, bits]) => `${address}/${bits}`),
  );

  test("a set holds what one of its blocks does", () => {
    fc.assert(
      fc.property(fc.array(block, { maxLength: 6 }), fc.oneof(v4, v6, mapped), (blocks, address) => {
        expect(isIP(address)).not.toBe(0);
        expect(new CidrSet(blocks).has(address)).toBe(blocks.some((one) => inBlock(address, one)));
      }),
      { numRuns: 3000 },
    );
  });

  test("a text is an address exactly if node:net says so", () => {
    const everything = new CidrSet(["0.0.0.0/0", "::/0"]);
    const piece = fc.constantFrom("::", ":", "1", "ffff", "0", "12345", ".", "1.2.3.4", "256", "g");
    const text = fc.array(piece, { maxLength: 10 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(fc.oneof(text, v6), (address) => {
        expect(everything.has(address)).toBe(isIP(address) !== 0);
      }),
      { numRuns: 3000 },
    );
  });
});

function inBlock(address: string, block: string): boolean {
  const [base, bits] = block.split("/") as [string, string];
  const one = numberOf(address);
  let other = numberOf(base);
  if (base.includes(":") && other.size === 32) {
    // Narrower than all mapped addresses it is an IPv4 block, wider an IPv6 one.
    if (Number(bits) < 96) other = { size: 128, value: other.value + (0xffffn << 32n) };
    else return one.size === 32 && same(one.value, other.value, 128 - Number(bits));
  }
  return one.size === other.size && same(one.value, other.value, other.size - Number(bits));
}

const same = (a: bigint, b: bigint, freeBits: number): boolean => a >> BigInt(freeBits) === b >> BigInt(freeBits);

function numberOf(text: string): { size: number; value: bigint } {
  if (!text.includes(":")) {
    return { size: 32, value: text.split(".").reduce((value, octet) => value * 256n + BigInt(octet), 0n) };
  }
  if (text.startsWith("::ffff:") && text.includes(".")) return numberOf(text.slice(7));
  const [left = "", right] = text.split("::");
  const before = left === "" ? [] : left.split(":");
  const after = right === undefined || right === "" ? [] : right.split(":");
  const all = [...before, ...new Array<string>(8 - before.length - after.length).fill("0"), ...after];
  const value = all.reduce((sum, group) => sum * 65536n + BigInt(`0x${group}`), 0n);
  return value >> 32n === 0xffffn ? { size: 32, value: value & 0xffffffffn } : { size: 128, value };
}
