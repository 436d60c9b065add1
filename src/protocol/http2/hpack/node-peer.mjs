// nghttp2's HPACK, within Node: encodes or decodes what it is told, each time on a connection of its own. Reads a
// line of JSON for each, and writes a line of JSON. A plan is a list of steps: sizes of the table that the decoding
// side announces one after the other, and what is encoded next.
import http2 from "node:http2";
import net from "node:net";
import { createInterface } from "node:readline";

const once = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));
const frame = (type, flags, payload) => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  return Buffer.concat([head, payload]);
};
const SETTINGS = 4;
const GOAWAY = 7;
const ACK = frame(SETTINGS, 1, Buffer.alloc(0));
const tableSize = (octets) => {
  const pair = Buffer.alloc(6);
  pair.writeUInt16BE(1, 0);
  pair.writeUInt32BE(octets, 2);
  return frame(SETTINGS, 0, pair);
};

/** Calls `take` with each frame. */
function frames(socket, skipped, take) {
  let octets = Buffer.alloc(0);
  let toSkip = skipped;
  socket.on("data", (chunk) => {
    octets = Buffer.concat([octets, chunk]);
    const skip = Math.min(toSkip, octets.length);
    toSkip -= skip;
    octets = octets.subarray(skip);
    while (octets.length >= 9 && octets.length >= 9 + octets.readUIntBE(0, 3)) {
      const end = 9 + octets.readUIntBE(0, 3);
      take({ type: octets[3], flags: octets[4], payload: octets.subarray(9, end) });
      octets = octets.subarray(end);
    }
  });
}

/** Each section as a request of a client of node:http2. @returns the block of each, in base64 */
async function encode(steps) {
  const blocks = [];
  let block = [];
  let whenNext = () => {};
  const server = net.createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const accepted = once(server, "connection");
  const session = http2.connect(`http://127.0.0.1:${server.address().port}`);
  session.on("error", () => {});
  const socket = await accepted;
  socket.on("error", () => {});
  frames(socket, 24, ({ type, flags, payload }) => {
    if (type !== 1 && type !== 9) return;
    // Of HEADERS, the fields of RFC 7540's priority go.
    block.push(payload.subarray(type === 1 && (flags & 0x20) !== 0 ? 5 : 0));
    if ((flags & 4) === 0) return;
    blocks.push(Buffer.concat(block).toString("base64"));
    block = [];
    whenNext();
  });
  const first = once(session, "remoteSettings");
  socket.write(Buffer.concat([frame(SETTINGS, 0, Buffer.alloc(0)), ACK]));
  await first;
  for (const { tables, sections } of steps) {
    for (const table of tables) {
      const known = once(session, "remoteSettings");
      socket.write(tableSize(table));
      await known;
    }
    for (const fields of sections) {
      const next = new Promise((resolve) => (whenNext = resolve));
      const request = session.request(Object.fromEntries(fields));
      request.on("error", () => {});
      request.end();
      await next;
    }
  }
  session.destroy();
  socket.destroy();
  server.close();
  return blocks;
}

/** Octets to a server of node:http2. @returns the fields of each request */
async function decode(steps) {
  const seen = [];
  let fault = null;
  let whenNext = () => {};
  const server = http2.createServer({ peerMaxHeaderListPairs: 1000 });
  const fail = (why) => {
    fault ??= why;
    whenNext();
  };
  server.on("sessionError", (error) => fail(error.message));
  server.on("stream", (stream, _fields, _flags, raw) => {
    seen.push(raw);
    stream.on("error", () => {});
    stream.respond({ ":status": 204 }, { endStream: true });
    whenNext();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const opened = once(server, "session");
  const socket = net.connect(server.address().port, "127.0.0.1");
  socket.on("error", () => {});
  let announced = 0;
  let whenAnnounced = () => {};
  socket.on("close", () => fail("the connection was closed"));
  frames(socket, 0, ({ type, flags, payload }) => {
    if (type === GOAWAY) fail(`GOAWAY with ${payload.readUInt32BE(4)}`);
    if (type !== SETTINGS || (flags & 1) !== 0) return;
    announced++;
    whenAnnounced();
  });
  const announcement = async (count) => {
    while (announced < count) await new Promise((resolve) => (whenAnnounced = resolve));
  };
  socket.write(
    Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(SETTINGS, 0, Buffer.alloc(0)), ACK]),
  );
  const session = await opened;
  let count = 1;
  await announcement(count);
  let wanted = 0;
  for (const { tables, octets, requests } of steps) {
    for (const table of tables) {
      session.settings({ headerTableSize: table });
      count++;
      await announcement(count);
    }
    wanted += requests;
    socket.write(Buffer.concat([...tables.map(() => ACK), Buffer.from(octets, "base64")]));
    while (seen.length < wanted && fault === null) await new Promise((resolve) => (whenNext = resolve));
    if (fault !== null) break;
  }
  socket.destroy();
  session.destroy();
  server.close();
  return fault === null ? seen : { fault };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { kind, steps } = JSON.parse(line);
  console.log(JSON.stringify(await (kind === "encode" ? encode(steps) : decode(steps))));
}
