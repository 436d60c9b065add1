/**
 * Requests over HTTP/3 with the runtime's own QUIC client, since Debian has no load generator for it:
 * `bun bench/load/http3.ts SECONDS PORT CONNECTIONS STREAMS`. So many requests at a time on each connection.
 */
import { connect, type QuicSession } from "node:quic";
import { Tally } from "./tally.ts";

const [seconds, port, connections, streams] = process.argv.slice(2).map(Number) as [number, number, number, number];
const FIELDS = { ":method": "GET", ":scheme": "https", ":authority": `127.0.0.1:${port}`, ":path": "/small" };
const CONTENT = 100;
const tally = new Tally();
const end = performance.now() + seconds * 1000;

async function ask(session: QuicSession): Promise<void> {
  const startedAt = performance.now();
  let octets = 0;
  try {
    const stream = await session.createBidirectionalStream();
    stream.onerror = () => {};
    stream.onheaders = (fields) => {
      if (fields[":status"] !== "200") tally.badResponses++;
    };
    stream.sendHeaders(FIELDS, { terminal: true });
    for await (const batch of stream) for (const chunk of batch) octets += chunk.length;
  } catch {
    tally.socketErrors++;
  }
  if (octets === CONTENT) tally.count(startedAt);
}

async function open(): Promise<void> {
  const session = await connect(`127.0.0.1:${port}`, {
    alpn: "h3",
    servername: "localhost",
    verifyPeer: "manual",
    reuseEndpoint: false,
  });
  session.onerror = () => {};
  session.closed.catch(() => {});
  await session.opened;
  const one = async () => {
    while (performance.now() < end) await ask(session);
  };
  await Promise.all(Array.from({ length: streams }, one));
}

for (let i = 0; i < connections; i++) open().catch(() => tally.socketErrors++);
setTimeout(() => tally.report(), seconds * 1000);
