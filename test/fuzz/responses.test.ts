import { expect, test } from "bun:test";
import { wire } from "../support/raw.ts";
import { readResponses } from "./responses.ts";

const read = (text: string, isWhole = true) => readResponses(Buffer.from(text, "latin1"), isWhole);
const hello = wire("HTTP/1.1 200 OK", "Content-Length: 5", "", "hello");
const chunked = wire("HTTP/1.1 404 Not Found", "Transfer-Encoding: chunked", "", "3", "abc", "0", "", "");
const toHead = wire("HTTP/1.1 200 OK", "Content-Length: 5", "", "");
const interim = wire("HTTP/1.1 100 Continue", "", "");

test("responses follow each other without a gap", () => {
  expect(read(interim + hello + chunked + toHead + hello + toHead)).toEqual([100, 200, 404, 200, 200, 200]);
  expect(read("")).toEqual([]);
  expect(read(wire("HTTP/1.1 200 OK", "", "up to the end"))).toEqual([200]);
});

test.each([
  ["octets before a response", `x${hello}`],
  ["octets behind a response", `${hello}x`],
  ["content longer than its length", `${wire("HTTP/1.1 200 OK", "Content-Length: 4", "", "hello")}${hello}`],
  ["an unreadable chunk size", wire("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "x", "")],
  ["a chunk longer than its size", wire("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "2", "abc", "0", "", "")],
  ["two framings", wire("HTTP/1.1 200 OK", "Content-Length: 1", "Transfer-Encoding: chunked", "", "a")],
  ["a status out of range", wire("HTTP/1.1 600 What", "Content-Length: 1", "", "a")],
  ["a line of no field", wire("HTTP/1.1 200 OK", "what", "", "")],
])("%s: no", (_, text) => {
  expect(() => read(text, false)).toThrow();
});

test.each([hello.slice(0, -1), hello.slice(0, 12), chunked.slice(0, -3), chunked.slice(0, -8)])(
  "a truncated response is taken only where a reset may have cut it: %j",
  (text) => {
    expect(() => read(text)).toThrow("truncated");
    expect(read(hello + text, false)).toEqual([200]);
  },
);
