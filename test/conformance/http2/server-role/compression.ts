/** HPACK: what a decoder must refuse, and what it must take. RFC 7541; RFC 9113 §4.3. */
import { expect } from "bun:test";
import { GET, type HostileClient } from "../hostile-client.ts";
import { eosBits, huffman, indexed, integer, literal, literals, sizeUpdate, string } from "../hpack.ts";
import { connectionError, expectAlive, type ServerCase, shows } from "../verdict.ts";
import { Code, continuation, data, type FieldLine, Flag, headers, headersBlock } from "../wire.ts";

const block = (...pieces: (Buffer | string)[]): Buffer =>
  Buffer.concat([literals(GET), ...pieces.map((piece) => Buffer.from(piece as string, "latin1"))]);

const undecodable = (name: string, ...pieces: (Buffer | string)[]): ServerCase =>
  connectionError(`7541 ${name}`, Code.compression, (client) => client.send(headersBlock(1, block(...pieces))));

/** Two requests, the second of which refers to what the first must (not) have left in the dynamic table. */
const leavesNothing = (name: string, ...first: Buffer[]): ServerCase =>
  connectionError(`7541 ${name}`, Code.compression, (client) => {
    client.send(headersBlock(1, block(...first)));
    expect(client.answer(1).status).toBe(200);
    client.send(headersBlock(3, block(indexed(62))));
  });

const decodes = (name: string, fields: readonly FieldLine[], ...pieces: (Buffer | string)[]): ServerCase =>
  shows(`7541 ${name}`, (client) => {
    client.send(headersBlock(1, block(...pieces)));
    expectFields(client, fields);
    expectAlive(client);
  });

function expectFields(client: HostileClient, fields: readonly FieldLine[]): void {
  const seen = client.application.requests.at(-1)?.fields.filter(([name]) => name !== "host");
  expect(seen).toEqual([...fields]);
}

/** A literal whose value is this compressed string, with a length before it. */
const compressedValue = (value: Buffer): Buffer =>
  Buffer.concat([Buffer.of(0), string("x-a"), integer(value.length, 7, 0x80), value]);

const every = Array.from({ length: 95 }, (_, n) => String.fromCharCode(32 + n))
  .join("")
  .trim();

export const COMPRESSION: readonly ServerCase[] = [
  undecodable("§6.1 index 0", "\x80"),
  undecodable("§2.3.3 an index beyond both tables", indexed(62)),
  undecodable("§2.3.3 an index far beyond both tables", indexed(100_000)),
  undecodable("§2.3.3 the name of a literal with indexing beyond both tables", literal(62, "a", "incremental")),
  undecodable("§2.3.3 the name of a literal without indexing beyond both tables", literal(70, "a")),
  undecodable("§2.3.3 the name of a literal never indexed beyond both tables", literal(70, "a", "never")),
  undecodable("§5.1 an integer that does not end", "\xff"),
  undecodable("§5.1 an integer that does not end, after more octets", "\xff\x80\x80"),
  undecodable("§5.1 an integer beyond 2^32", "\xff\xff\xff\xff\xff\xff\x7f"),
  undecodable("§5.1 an integer beyond 2^64", `\xff${"\xff".repeat(10)}\x01`),
  undecodable("§5.1 a string's length beyond 2^32", "\x00\x03x-a\x7f\xff\xff\xff\xff\xff\x7f"),
  undecodable("§5.1 an integer of ever more zeros", `\xff${"\x80".repeat(200)}\x01`),
  undecodable("§5.2 a string longer than the block", "\x00\x03x-a\x05abc"),
  undecodable("§5.2 a literal without value", "\x00\x03x-a"),
  undecodable("§5.2 a literal without name", "\x00"),
  undecodable("§5.2 a name longer than the block", "\x40\x7fabc"),
  undecodable("§5.2 EOS in a compressed string", compressedValue(huffman("ab", `${eosBits()}1111`))),
  undecodable("§5.2 a compressed string of nothing but EOS", compressedValue(huffman("", `${eosBits()}11`))),
  undecodable("§5.2 padding of eight bits", compressedValue(huffman("0", `${"1".repeat(3)}${"1".repeat(8)}`))),
  undecodable("§5.2 an octet of padding for an empty string", compressedValue(Buffer.of(0xff))),
  undecodable("§5.2 padding of zeros", compressedValue(huffman("0", "000"))),
  undecodable("§5.2 padding that is not all ones", compressedValue(huffman("0", "110"))),
  connectionError("7541 §6.3 a table size above what the server allows", Code.compression, (client) => {
    const most = client.announced(1, 4096);
    client.send(headersBlock(1, Buffer.concat([sizeUpdate(most + 1), literals(GET)])));
  }),
  connectionError("7541 §6.3 a table size of 2^31", Code.compression, (client) =>
    client.send(headersBlock(1, Buffer.concat([sizeUpdate(2 ** 31), literals(GET)]))),
  ),
  undecodable("§4.2 a table size update after a field", sizeUpdate(100)),
  undecodable("§4.2 a table size update between fields", sizeUpdate(0), literals([["x-a", "b"]])),
  connectionError("9113 §4.3 an undecodable block in CONTINUATION", Code.compression, (client) =>
    client.send(headersBlock(1, literals(GET), Flag.endStream), continuation(1, "\x80")),
  ),
  connectionError("9113 §4.3 an undecodable block in trailers", Code.compression, (client) =>
    client.send(headers(1, GET, Flag.endHeaders), data(1, "abc"), headersBlock(1, "\x80")),
  ),
  connectionError("9113 §4.3 an undecodable block after a malformed field", Code.compression, (client) =>
    client.send(headersBlock(1, block(literals([["X-A", "b"]]), "\x80"))),
  ),

  leavesNothing("§6.2.2 a literal without indexing leaves nothing in the table", literal("x-a", "b")),
  leavesNothing("§6.2.3 a literal never indexed leaves nothing in the table", literal("x-a", "b", "never")),
  leavesNothing(
    "§4.4 a field larger than the table empties it",
    literal("x-a", "b", "incremental"),
    literal("x-b", "v".repeat(4096), "incremental"),
  ),
  connectionError("7541 §4.3 a table size of 0 empties the table", Code.compression, (client) => {
    client.send(headersBlock(1, block(literal("x-a", "b", "incremental"))));
    client.send(headersBlock(3, Buffer.concat([sizeUpdate(0), literals(GET), indexed(62)])));
  }),
  connectionError("7541 §4.3 what a smaller table drops stays dropped", Code.compression, (client) => {
    client.send(headersBlock(1, block(literal("x-a", "b", "incremental"))));
    client.send(headersBlock(3, Buffer.concat([sizeUpdate(0), sizeUpdate(4096), literals(GET), indexed(62)])));
  }),
  connectionError("7541 §4.4 an entry that was evicted", Code.compression, (client) => {
    // 4096 / (32 + 4 + 1000) = 3 entries.
    const entries = Array.from({ length: 4 }, (_, n) => literal(`x-0${n}`, `${n}`.repeat(1000), "incremental"));
    client.send(headersBlock(1, block(...entries)));
    client.send(headersBlock(3, block(indexed(65))));
  }),

  shows("7541 §6.1 entries of the dynamic table, the newest first", (client) => {
    client.send(headersBlock(1, block(literal("x-a", "1", "incremental"), literal("x-b", "2", "incremental"))));
    client.send(headersBlock(3, block(indexed(62), indexed(63), literal(63, "3", "incremental"), indexed(62))));
    expectFields(client, [
      ["x-b", "2"],
      ["x-a", "1"],
      ["x-a", "3"],
      ["x-a", "3"],
    ]);
    expectAlive(client);
  }),
  shows("7541 §4.4 entries are evicted from the oldest on", (client) => {
    const entries = Array.from({ length: 4 }, (_, n) => literal(`x-0${n}`, `${n}`.repeat(1000), "incremental"));
    client.send(headersBlock(1, block(...entries)));
    client.send(headersBlock(3, block(indexed(62), indexed(64))));
    expectFields(client, [
      ["x-03", "3".repeat(1000)],
      ["x-01", "1".repeat(1000)],
    ]);
    expectAlive(client);
  }),
  shows("7541 §4.4 a new entry may take its name from the one it evicts", (client) => {
    client.send(headersBlock(1, block(literal("x-old", "a".repeat(4000), "incremental"))));
    client.send(headersBlock(3, block(literal(62, "b".repeat(4000), "incremental"), literal(62, "c"))));
    expectFields(client, [
      ["x-old", "b".repeat(4000)],
      ["x-old", "c"],
    ]);
    expectAlive(client);
  }),
  shows("7541 §4.2 two table size updates at the start of a block", (client) => {
    client.send(headersBlock(1, Buffer.concat([sizeUpdate(0), sizeUpdate(4096), literals(GET)])));
    expect(client.answer(1).status).toBe(200);
    expectAlive(client);
  }),
  shows("7541 §4.1 an entry counts 32 octets besides its name and value", (client) => {
    client.send(
      headersBlock(
        1,
        Buffer.concat([
          sizeUpdate(72),
          literals(GET),
          literal("x-a", "1", "incremental"),
          literal("x-b", "2", "incremental"),
        ]),
      ),
    );
    client.send(headersBlock(3, block(indexed(63), indexed(62))));
    expectFields(client, [
      ["x-a", "1"],
      ["x-b", "2"],
    ]);
    expectAlive(client);
  }),
  connectionError("7541 §4.1 one octet too few for two entries", Code.compression, (client) => {
    client.send(
      headersBlock(
        1,
        Buffer.concat([
          sizeUpdate(71),
          literals(GET),
          literal("x-a", "1", "incremental"),
          literal("x-b", "2", "incremental"),
        ]),
      ),
    );
    client.send(headersBlock(3, block(indexed(63))));
  }),
  decodes("§5.2 compressed names and values", [["x-a", every]], literal("x-a", every, "without", true)),
  decodes(
    "§5.2 octets with the longest codes",
    [["x-a", "\xff\x80\xe9\xf9"]],
    literal("x-a", "\xff\x80\xe9\xf9", "without", true),
  ),
  decodes("§5.2 an empty compressed string", [["x-a", ""]], "\x00\x03x-a\x80"),
  decodes(
    "§5.1 an integer with zeros it does not need",
    [["x-a", "b".repeat(128)]],
    "\x00\x03x-a\x7f\x81\x80\x00",
    "b".repeat(128),
  ),
  decodes("§6.1 names and values of the static table", [["accept-encoding", "gzip, deflate"]], indexed(16)),
  decodes(
    "§6.2 names of the static table in all kinds of literals",
    [
      ["accept", "1"],
      ["accept", "2"],
      ["accept", "3"],
    ],
    literal(19, "1"),
    literal(19, "2", "never"),
    literal(19, "3", "incremental"),
  ),
  shows("7541 §6.1 pseudo-fields of the static table", (client) => {
    client.send(
      headersBlock(1, Buffer.concat([indexed(2), indexed(7), indexed(5), literal(1, "a.test", "incremental")])),
    );
    expect(client.application.requests[0]).toMatchObject({ method: "GET", target: "/index.html", authority: "a.test" });
    client.send(headersBlock(3, Buffer.concat([indexed(3), indexed(6), indexed(4), indexed(62)])));
    expect(client.application.requests[1]).toMatchObject({ method: "POST", target: "/", authority: "a.test" });
    expectAlive(client);
  }),
];
