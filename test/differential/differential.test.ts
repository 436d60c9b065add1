/**
 * The head and chunked decoders against Node's parser, on tables and on thousands of mutated
 * messages: what both accept they must understand alike, and where only one accepts there must be a
 * reason in differences.ts.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { fuzzRequest, Random } from "../fuzz/octets.ts";
import { DIFFERENCES } from "./differences.ts";
import { nodeVerdict, ourVerdict, type Verdict } from "./verdict.ts";

const MUTATIONS = Number(process.env["LINTEL_DIFFERENTIAL"] ?? 6000);
const AT_ONCE = 16;

let peer: Bun.Subprocess<"ignore", "pipe", "inherit">;
let port = 0;
beforeAll(async () => {
  peer = Bun.spawn(["node", join(import.meta.dir, "node-peer.mjs")], {
    stdout: "pipe",
    stderr: "inherit",
    stdin: "ignore",
  });
  const { value } = await peer.stdout.getReader().read();
  port = Number(new TextDecoder().decode(value));
});
afterAll(() => peer.kill());

const used = new Set<string>();

/** null, or what is wrong. */
async function compare(octets: Buffer): Promise<string | null> {
  const ours = ourVerdict(octets);
  const theirs = await nodeVerdict(port, octets);
  const shared = Math.min(ours.messages.length, theirs.messages.length);
  for (let i = 0; i < shared; i++) {
    if (!Bun.deepEquals(ours.messages[i], theirs.messages[i]))
      return describe(`message ${i} is understood differently`, octets, ours, theirs);
  }
  if (ours.messages.length === theirs.messages.length) return null;
  const reason = DIFFERENCES.find((difference) => difference.explains(ours, theirs, octets.toString("latin1")));
  if (reason === undefined) return describe("one accepts what the other refuses", octets, ours, theirs);
  used.add(reason.why);
  return null;
}

function describe(what: string, octets: Buffer, ours: Verdict, theirs: Verdict): string {
  const tell = ({ messages, end }: Verdict) =>
    `${messages.length} messages, then ${end}; last ${JSON.stringify(messages.at(-1))}`;
  return `${what}\noctets: ${JSON.stringify(octets.toString("latin1").slice(0, 1500))}\nLintel: ${tell(ours)}\nNode:   ${tell(theirs)}`;
}

const SECOND = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n";
const post = (fields: string, rest: string) => `POST / HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${rest}${SECOND}`;
const chunked = (rest: string) => post("Transfer-Encoding: chunked", rest);

test.each([
  ["Content-Length", post("Content-Length: 4", "abcd")],
  ["Content-Length of nothing", post("Content-Length: 0", "")],
  ["Content-Length with leading zeros", post("Content-Length: 0004", "abcd")],
  ["no framing at all", post("X: y", "")],
  ["CL.TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\nG")],
  ["TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4", "5c\r\nabc\r\n0\r\n\r\n")],
  ["TE.TE", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n")],
  ["TE with a space before the colon", post("Transfer-Encoding : chunked", "0\r\n\r\n")],
  ["TE with a tab", post("Transfer-Encoding:\tchunked", "0\r\n\r\n")],
  ["TE with a vertical tab", post("Transfer-Encoding: \x0bchunked", "0\r\n\r\n")],
  ["TE in another case", post("tRANSFER-ENCODING: ChUnKeD", "0\r\n\r\n")],
  ["TE xchunked", post("Transfer-Encoding: xchunked", "0\r\n\r\n")],
  ["TE chunked, identity", post("Transfer-Encoding: chunked, identity", "0\r\n\r\n")],
  ["TE gzip, chunked", post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n")],
  ["TE gzip, deflate, chunked", post("Transfer-Encoding: gzip, deflate, chunked", "0\r\n\r\n")],
  ["TE gzip, chunked and CL", post("Transfer-Encoding: gzip, chunked\r\nContent-Length: 5", "0\r\n\r\n")],
  ["TE gzip, chunked, deflate", post("Transfer-Encoding: gzip, chunked, deflate", "0\r\n\r\n")],
  ["TE in quotes", post('Transfer-Encoding: "chunked"', "0\r\n\r\n")],
  ["two equal lengths", post("Content-Length: 4\r\nContent-Length: 4", "abcd")],
  ["two unequal lengths", post("Content-Length: 4\r\nContent-Length: 5", "abcde")],
  ["a length list", post("Content-Length: 4, 4", "abcd")],
  ["a signed length", post("Content-Length: +4", "abcd")],
  ["a length with a space", post("Content-Length: 4 0", "abcd")],
  ["chunks", chunked("3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")],
  ["chunk sizes in hexadecimal, both cases", chunked("A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n")],
  ["a chunk size with zeros before it", chunked("0003\r\nabc\r\n0000\r\n\r\n")],
  ["chunk extensions", chunked('3;a=b;c="d e"\r\nabc\r\n0;x\r\n\r\n')],
  ["a chunk extension that is not name=value", chunked("3;a/b\r\nabc\r\n0\r\n\r\n")],
  ["a chunk size with a prefix", chunked("0x3\r\nabc\r\n0\r\n\r\n")],
  ["a chunk size with a sign", chunked("+3\r\nabc\r\n0\r\n\r\n")],
  ["a chunk size with a blank before it", chunked(" 3\r\nabc\r\n0\r\n\r\n")],
  ["a chunk size with an overflow", chunked("10000000000000003\r\nabc\r\n0\r\n\r\n")],
  ["no chunk size", chunked("\r\nabc\r\n0\r\n\r\n")],
  ["a bare LF after a chunk size", chunked("3\nabc\r\n0\r\n\r\n")],
  ["a bare LF after chunk data", chunked("3\r\nabc\n0\r\n\r\n")],
  ["a bare CR in a chunk extension", chunked("3;a\rb\r\nabc\r\n0\r\n\r\n")],
  ["a bare LF in a chunk extension", chunked("3;a\nb\r\nabc\r\n0\r\n\r\n")],
  ["trailers", chunked("3\r\nabc\r\n0\r\nX: y\r\nZ: w\r\n\r\n")],
  ["a malformed trailer", chunked("3\r\nabc\r\n0\r\nX y\r\n\r\n")],
  ["a bare LF as line end", `GET / HTTP/1.1\nHost: a\n\n${SECOND}`],
  ["obs-fold", post("X: a\r\n b", "")],
  ["a bare CR in a value", post("X: a\rb", "")],
  ["a NUL in a value", post("X: a\0b", "")],
  ["obs-text in a value", post("X: \xe4\xff", "")],
  ["an empty value", post("X:", "")],
  ["an empty name", post(": x", "")],
  ["a name with a bracket", post("X[]: y", "")],
  ["two Hosts", `GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n${SECOND}`],
  ["no Host", `GET / HTTP/1.1\r\n\r\n${SECOND}`],
  ["HTTP/1.0 with chunks", `POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ["HTTP/1.2", `GET / HTTP/1.2\r\nHost: a\r\n\r\n`],
  ["HTTP/2.0", `GET / HTTP/2.0\r\nHost: a\r\n\r\n`],
  ["a lower-case version", `GET / http/1.1\r\nHost: a\r\n\r\n`],
  ["non-ASCII in the target", `GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n`],
])("%s", async (_name, octets) => {
  expect(await compare(Buffer.from(octets, "latin1"))).toBeNull();
});

test(`${MUTATIONS} mutated requests, alone and with another behind them`, async () => {
  const random = new Random(42);
  const cases = Array.from({ length: MUTATIONS }, (_, i) =>
    i % 2 === 0 ? fuzzRequest(random) : Buffer.concat([fuzzRequest(random), Buffer.from(SECOND)]),
  );
  const problems: string[] = [];
  const lane = async () => {
    for (let octets = cases.pop(); octets !== undefined && problems.length < 5; octets = cases.pop()) {
      const problem = await compare(octets);
      if (problem !== null) problems.push(problem);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  expect(problems).toEqual([]);
}, 120_000);

test("no reason is left over", () => {
  expect(DIFFERENCES.map(({ why }) => why).filter((why) => !used.has(why))).toEqual([]);
});
