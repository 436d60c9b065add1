/**
 * HPACK against a second implementation, nghttp2's within Node: what it encodes over the life of a
 * connection decodes here, and what is encoded here it decodes, with small and changing tables.
 */
import { expect } from "bun:test";
import fc from "fast-check";
import { needs, program } from "../../../base/testing.ts";
import { fieldId } from "../../../http/field-name.ts";
import { CLIENT_PREFACE, FrameType, Setting } from "../frame.ts";
import { FrameOutput } from "../frame-output.ts";
import { HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";

const name = fc.oneof(
  fc.constantFrom("accept", "user-agent", "x-trace", "cookie", "authorization", "if-none-match", "x-a", "x-b"),
  fc.stringMatching(/^x-[a-z0-9]{1,10}$/),
);
const value = fc.oneof(
  fc.constantFrom("1", "no-cache", "text/html,application/xhtml+xml", "session=0123456789abcdef"),
  fc.stringMatching(/^[!-~]([ -~]{0,60}[!-~])?$/),
  fc.constant("y".repeat(700)),
);
const section = fc.uniqueArray(fc.tuple(name, value), { maxLength: 15, selector: ([one]) => one });
const sections = fc.sample(section, { numRuns: 150, seed: 7541 });

/** Sends each section as a request of node:http2, and prints what stood on the wire. */
const CLIENT = `
const http2 = require("node:http2"), net = require("node:net");
const { sections, table } = JSON.parse(require("node:fs").readFileSync(0));
const chunks = [];
const server = net.createServer((socket) => {
  const pairs = Buffer.alloc(6); pairs.writeUInt16BE(1, 0); pairs.writeUInt32BE(table, 2);
  socket.write(Buffer.concat([Buffer.from([0, 0, 6, 4, 0, 0, 0, 0, 0]), pairs, Buffer.from([0, 0, 0, 4, 1, 0, 0, 0, 0])]));
  socket.on("data", (chunk) => {
    chunks.push(chunk);
    const octets = Buffer.concat(chunks);
    let ends = 0;
    for (let at = 24; at + 9 <= octets.length && at + 9 + octets.readUIntBE(at, 3) <= octets.length; at += 9 + octets.readUIntBE(at, 3))
      if ((octets[at + 3] === 1 || octets[at + 3] === 9) && (octets[at + 4] & 4) !== 0) ends++;
    if (ends === sections.length) process.stdout.write(octets.toString("base64"), () => process.exit(0));
  });
}).listen(0, "127.0.0.1", () => {
  const session = http2.connect("http://127.0.0.1:" + server.address().port);
  session.on("error", () => {});
  session.once("remoteSettings", async () => {
    for (const fields of sections) {
      const request = session.request(Object.fromEntries(fields));
      request.on("error", () => {});
      request.end();
      await new Promise(setImmediate);
    }
  });
});
`;

/** A server of node:http2 with a table of some size; prints the fields of each request. */
const SERVER = `
const http2 = require("node:http2"), net = require("node:net");
const { octets, table, count } = JSON.parse(require("node:fs").readFileSync(0));
const seen = [];
const server = http2.createServer({ settings: { headerTableSize: table }, peerMaxHeaderListPairs: 1000 });
server.on("sessionError", (error) => { console.error(error); process.exit(1); });
server.on("stream", (stream, fields, flags, raw) => {
  seen.push(raw);
  stream.on("error", () => {});
  stream.respond({ ":status": 204 }, { endStream: true });
  if (seen.length === count) { process.stdout.write(JSON.stringify(seen), () => process.exit(0)); }
});
server.listen(0, "127.0.0.1", () => {
  const socket = net.connect(server.address().port, "127.0.0.1");
  socket.on("error", () => {});
  socket.resume();
  const all = Buffer.from(octets, "base64");
  socket.write(all);
});
`;

async function node(script: string, input: unknown): Promise<string> {
  const child = Bun.spawn(["node", "-e", script], { stdin: Buffer.from(JSON.stringify(input)), stderr: "inherit" });
  const output = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  return output;
}

needs(program("node")).test.each([4096, 200, 0])("what Node encodes, with a table of %i octets", async (table) => {
  const octets = Buffer.from(await node(CLIENT, { sections, table }), "base64");
  const decoder = new HpackDecoder(4096);
  const decoded: [string, string][][] = [];
  for (let at = CLIENT_PREFACE.length; at < octets.length; ) {
    const length = octets.readUIntBE(at, 3);
    const start = at + 9;
    if (octets[at + 3] === FrameType.headers) {
      const fields: [string, string][] = [];
      const priority = (octets[at + 4]! & 0x20) !== 0 ? 5 : 0;
      decoder.decode(octets, start + priority, start + length, {
        onField: (field) => {
          expect(field.problem).toBeNull();
          if (field.pseudo === 0) fields.push([field.name, field.value]);
        },
      });
      decoded.push(fields);
    }
    at = start + length;
  }
  expect(decoded).toEqual(sections);
});

needs(program("node")).test.each([4096, 200, 0])("what we encode, with a table of %i octets", async (table) => {
  const out = new FrameOutput();
  const pieces: Buffer[] = [];
  const take = () => {
    pieces.push(Buffer.from(out.buffer.subarray(0, out.length)));
    out.length = 0;
  };
  out.text(CLIENT_PREFACE);
  out.settings([Setting.initialWindowSize, 65_535]);
  take();
  const encoder = new HpackEncoder();
  encoder.limit(table);
  sections.forEach((fields, i) => {
    const id = i * 2 + 1;
    const at = out.beginHeaders(id);
    encoder.begin(out);
    encoder.pseudo(":method", "GET");
    encoder.pseudo(":scheme", "http");
    encoder.pseudo(":authority", "a.test");
    encoder.pseudo(":path", `/${i}`);
    for (const [name, value] of fields) encoder.onLine(fieldId(name), name, value);
    out.endHeaders(at, id, true, 16_384);
    take();
  });
  const output = await node(SERVER, {
    octets: Buffer.concat(pieces).toString("base64"),
    table,
    count: sections.length,
  });
  const seen = (JSON.parse(output) as string[][]).map((raw) => {
    const fields: [string, string][] = [];
    for (let i = 0; i < raw.length; i += 2) if (!raw[i]!.startsWith(":")) fields.push([raw[i]!, raw[i + 1]!]);
    return fields;
  });
  expect(seen).toEqual(sections);
});
