import { expect, test } from "bun:test";
import { Decoder, huffman, indexed, integer, literal } from "./hpack.ts";

test("integers (RFC 7541 C.1)", () => {
  expect([...integer(10, 5)]).toEqual([10]);
  expect([...integer(1337, 5)]).toEqual([31, 154, 10]);
  expect([...integer(42, 8)]).toEqual([42]);
});

test("Huffman code (RFC 7541 C.4.1, C.6.1)", () => {
  expect(huffman("www.example.com").toString("hex")).toBe("f1e3c2e5f23a6ba0ab90f4ff");
  expect(huffman("Mon, 21 Oct 2013 20:13:21 GMT").toString("hex")).toBe("d07abe941054d444a8200595040b8166e082a62d1bff");
});

test("three requests that share a dynamic table (RFC 7541 C.4)", () => {
  const decoder = new Decoder();
  const start = (path: number) => [indexed(2), indexed(6), indexed(path)];
  const first = Buffer.concat([...start(4), literal(1, "www.example.com", "incremental", true)]);
  expect(first.toString("hex")).toBe("828684418cf1e3c2e5f23a6ba0ab90f4ff");
  decoder.decode(first);
  const second = Buffer.concat([...start(4), indexed(62), literal(24, "no-cache", "incremental", true)]);
  expect(decoder.decode(second)).toEqual([
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "www.example.com"],
    ["cache-control", "no-cache"],
  ]);
  expect(decoder.decode(Buffer.from("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", "hex"))).toEqual([
    [":method", "GET"],
    [":scheme", "https"],
    [":path", "/index.html"],
    [":authority", "www.example.com"],
    ["custom-key", "custom-value"],
  ]);
});
