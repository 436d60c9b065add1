import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ProxyHeaderStage } from "./proxy-header-stage.ts";
import {
  crc32c,
  NotAProxyHeader,
  PP2_TYPE_ALPN,
  PP2_TYPE_AUTHORITY,
  PP2_TYPE_CRC32C,
  type ProxyAddresses,
  readProxyHeader,
  writeProxyHeader,
} from "./proxy-protocol.ts";
import type { TcpConnection } from "./tcp.ts";
import { openSockets, pair, Recorder, until, wait } from "./testing.ts";

const latin1 = (text: string) => Buffer.from(text, "latin1");
const SIGNATURE = latin1("\r\n\r\n\0\r\nQUIT\n");
const v2 = (hex: string) => Buffer.concat([SIGNATURE, Buffer.from(hex.replaceAll(" ", ""), "hex")]);
const addresses: ProxyAddresses = {
  source: "192.0.2.1",
  sourcePort: 5000,
  destination: "198.51.100.7",
  destinationPort: 443,
};

describe("version 1 (§2.1)", () => {
  test.each([
    ["PROXY TCP4 192.0.2.1 198.51.100.7 5000 443\r\n", addresses],
    [
      "PROXY TCP6 2001:DB8::1 2001:db8:0:0:0:0:0:2 1 65535\r\n",
      { source: "2001:db8::1", destination: "2001:db8::2", sourcePort: 1, destinationPort: 65535 },
    ],
    [
      "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n",
      { source: "192.0.2.1", destination: "::1", sourcePort: 1, destinationPort: 2 },
    ],
    ["PROXY UNKNOWN\r\n", null],
    ["PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n", null],
  ])("%j", (line, expected) => {
    expect(readProxyHeader(latin1(`${line}GET /`))).toEqual({
      header: { addresses: expected, facts: [] },
      length: line.length,
    });
    for (let length = 0; length < line.length; length++)
      expect(readProxyHeader(latin1(line.slice(0, length)))).toBeNull();
  });

  test.each([
    "PROXY TCP4 192.0.2.1 198.51.100.7 5000\r\n",
    "PROXY TCP4 192.0.2.1 198.51.100.7 5000 65536\r\n",
    "PROXY TCP4 192.0.2.1 198.51.100.7 5000 0443\r\n",
    "PROXY TCP4 192.0.2.01 198.51.100.7 1 2\r\n",
    "PROXY TCP4 192.0.2.256 198.51.100.7 1 2\r\n",
    "PROXY TCP4 ::1 ::2 1 2\r\n",
    "PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n",
    "PROXY TCP4  192.0.2.1 198.51.100.7 1 2\r\n",
    "PROXY TCP4 192.0.2.1 198.51.100.7 1 2 \r\n",
    "PROXY TCP4 192.0.2.1 198.51.100.7 1 2\n\r\n",
    "PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n",
    "PROXY UNKNOWNX\r\n",
    "PROXY \r\n",
    `PROXY UNKNOWN ${"x".repeat(100)}\r\n`,
    "proxy TCP4 192.0.2.1 198.51.100.7 1 2\r\n",
    "GET / HTTP/1.1\r\n",
    "\x16\x03\x01",
  ])("%j is refused", (line) => {
    expect(() => readProxyHeader(latin1(line))).toThrow(NotAProxyHeader);
  });
});

describe("version 2 (§2.2)", () => {
  test("IPv4", () => {
    const octets = v2("21 11 000c c0000201 c6336407 1388 01bb");
    expect(readProxyHeader(Buffer.concat([octets, latin1("GET")]))).toEqual({
      header: { addresses, facts: [] },
      length: octets.length,
    });
    for (let length = 0; length < octets.length; length++)
      expect(readProxyHeader(octets.subarray(0, length))).toBeNull();
  });

  test("facts are told, padding is not", () => {
    const octets = v2(
      "21 11 0019 c0000201 c6336407 1388 01bb 04 0002 0000 02 0005 612e6232 33".replace("0019", "0019"),
    );
    expect(readProxyHeader(octets)?.header.facts).toEqual([
      { type: PP2_TYPE_AUTHORITY, value: Uint8Array.from(latin1("a.b23")) },
    ]);
  });

  test("a connection of the proxy's own has no addresses (LOCAL)", () => {
    expect(readProxyHeader(v2("20 00 0000"))?.header.addresses).toBeNull();
    expect(readProxyHeader(v2("20 11 000c c0000201 c6336407 1388 01bb"))?.header.addresses).toBeNull();
    expect(readProxyHeader(v2("21 00 0000"))?.header.addresses).toBeNull();
    expect(readProxyHeader(v2(`21 31 00d8 ${"00".repeat(216)}`))?.header.addresses).toBeNull();
  });

  test("the checksum is checked (§2.2.3)", () => {
    const header = v2("21 11 0013 c0000201 c6336407 1388 01bb 03 0004 00000000");
    const sum = crc32c(header);
    header.writeUInt32BE(sum, header.length - 4);
    expect(readProxyHeader(header)?.header.facts[0]?.type).toBe(PP2_TYPE_CRC32C);
    header[20]! ^= 1;
    expect(() => readProxyHeader(header)).toThrow("the checksum of the PROXY header is wrong");
  });

  test("CRC-32C as in RFC 3720 B.4", () => {
    expect(crc32c(Buffer.alloc(32)).toString(16)).toBe("8a9136aa");
    expect(crc32c(Buffer.alloc(32, 0xff)).toString(16)).toBe("62a8ab43");
  });

  test.each([
    ["11 11 000c c0000201 c6336407 1388 01bb", "there is no version 1"],
    ["22 11 000c c0000201 c6336407 1388 01bb", "unknown command"],
    ["21 41 0000", "unknown address family"],
    ["21 11 000b c0000201 c6336407 1388 01", "too short for its addresses"],
    ["21 21 000c c0000201 c6336407 1388 01bb", "too short for its addresses"],
    ["21 11 ffff", "at most 4096"],
    ["21 11 000e c0000201 c6336407 1388 01bb 02 00", "ends within a TLV"],
    ["21 11 000f c0000201 c6336407 1388 01bb 02 0001", "ends within a TLV"],
    ["21 11 0010 c0000201 c6336407 1388 01bb 03 0001 00", "has not four octets"],
  ])("%s is refused: %s", (hex, reason) => {
    expect(() => readProxyHeader(v2(hex))).toThrow(reason);
  });
});

describe("writing", () => {
  const host = fc.oneof(
    fc.ipV4(),
    fc.ipV6().map((text) => text),
  );
  const port = fc.nat(65535);

  test("what is written is read again, in both versions", () => {
    const facts = [{ type: PP2_TYPE_ALPN, value: Uint8Array.from(latin1("h2")) }];
    fc.assert(
      fc.property(host, host, port, port, (source, destination, sourcePort, destinationPort) => {
        const written = { source, destination, sourcePort, destinationPort };
        const one = readProxyHeader(writeProxyHeader(1, written));
        const two = readProxyHeader(writeProxyHeader(2, written, facts));
        expect(two?.header.addresses).toEqual(one!.header.addresses);
        expect(two?.header.addresses).toMatchObject({ sourcePort, destinationPort });
        expect(two?.header.facts).toEqual(facts);
        const again = one!.header.addresses!;
        expect(readProxyHeader(writeProxyHeader(2, again))?.header.addresses).toEqual(again);
        expect(readProxyHeader(writeProxyHeader(1, again))?.header.addresses).toEqual(again);
      }),
    );
  });

  test("as the specification shows them", () => {
    expect(String(writeProxyHeader(1, addresses))).toBe("PROXY TCP4 192.0.2.1 198.51.100.7 5000 443\r\n");
    expect(writeProxyHeader(2, addresses)).toEqual(v2("21 11 000c c0000201 c6336407 1388 01bb"));
    expect(String(writeProxyHeader(1, null))).toBe("PROXY UNKNOWN\r\n");
    expect(writeProxyHeader(2, null)).toEqual(v2("20 00 0000"));
  });
});

test("whatever comes is a header, more, or a reason", () => {
  const some = fc.tuple(fc.constantFrom(latin1("PROXY "), SIGNATURE, latin1("")), fc.uint8Array({ maxLength: 300 }));
  fc.assert(
    fc.property(some, ([start, rest]) => {
      try {
        readProxyHeader(Buffer.concat([start, rest]));
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(NotAProxyHeader);
      }
    }),
    { numRuns: 2000 },
  );
});

describe("a connection", () => {
  async function stage(timeoutMs = 2000) {
    const { connection, peer } = await pair();
    const heard = new Recorder();
    const said: unknown[] = [];
    new ProxyHeaderStage(connection, timeoutMs, {
      onProxyHeader(it: TcpConnection, header, rest) {
        it.handler = heard;
        said.push(header.addresses);
        if (rest.length > 0) heard.onOctets(rest, rest.length);
      },
      onNoProxyHeader: (reason) => said.push(reason),
      fault: (thrown) => said.push(thrown),
    });
    return { connection, peer, heard, said };
  }

  test.each([1, 2] as const)("is handed on after its header, however it is cut (version %i)", async (version) => {
    const octets = Buffer.concat([writeProxyHeader(version, addresses), latin1("GET / HTTP/1.1\r\n")]);
    for (const size of [1, 5, 1000]) {
      const { connection, peer, heard, said } = await stage();
      for (let at = 0; at < octets.length; at += size) {
        peer.send(octets.subarray(at, at + size));
        if (size < 1000) await wait(1);
      }
      await until(() => heard.text === "GET / HTTP/1.1\r\n");
      expect(said).toEqual([addresses]);
      connection.destroy();
      peer.close();
    }
  });

  test("without a header is closed without an answer", async () => {
    const before = openSockets();
    for (const [octets, reason] of [
      ["GET / HTTP/1.1\r\n\r\n", "the connection does not begin with a PROXY header"],
      ["", "the connection ended before its PROXY header"],
      ["PROXY TCP4 1.2.3.4", "the connection ended before its PROXY header"],
    ] as const) {
      const { peer, said } = await stage();
      if (octets !== "") peer.send(octets);
      if (!octets.startsWith("GET")) peer.endWriting();
      const { octets: answer } = await peer.receiveAll();
      expect(answer.length).toBe(0);
      await until(() => said.length === 1);
      expect(said).toEqual([reason]);
      peer.close();
    }
    await until(() => openSockets() <= before);
  });

  test("that says nothing ends by the time limit", async () => {
    const { peer, said } = await stage(30);
    await peer.receiveAll();
    expect(said).toEqual(["the PROXY header took too long"]);
    peer.close();
  });
});
