/**
 * Octets through tunnels: `bun bench/load/tunnels.ts SECONDS PORT CONNECTIONS websocket|tcp PATH`. To
 * /echo each connection sends a message of 64 octets and waits until it is back; from /pour it takes
 * what comes, and a request is a MiB.
 */
import type { Socket } from "bun";
import { Tally } from "./tally.ts";

const [seconds, port, connections] = process.argv.slice(2, 5).map(Number) as [number, number, number];
const [kind, path] = process.argv.slice(5);
const MIB = 2 ** 20;
/** As a client frames it: masked, with a length of one octet. */
const MESSAGE = Buffer.concat([Buffer.from([0x82, 0x80 | 64, 1, 2, 3, 4]), Buffer.alloc(64, "m")]);
const OPENING =
  kind === "tcp"
    ? `${path}\n`
    : `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const tally = new Tally();
let octetsIn = 0;

interface End {
  /** Of the 101 that has not come to its end yet; null: the tunnel stands. */
  head: string | null;
  /** Octets of the message that are still to come back. */
  left: number;
  sentAt: number;
}

function take(socket: Socket<End>, octets: Buffer): void {
  const { data } = socket;
  if (data.head !== null) {
    data.head += octets.toString("latin1");
    if (!data.head.includes("\r\n\r\n")) return;
    if (!data.head.startsWith("HTTP/1.1 101 ")) tally.badResponses++;
    data.head = null;
    if (path === "/echo") send(socket);
  } else if (path === "/pour") octetsIn += octets.length;
  else {
    data.left -= octets.length;
    if (data.left > 0) return;
    tally.count(data.sentAt);
    send(socket);
  }
}

function send(socket: Socket<End>): void {
  socket.data.left = MESSAGE.length;
  socket.data.sentAt = performance.now();
  socket.write(MESSAGE);
}

for (let i = 0; i < connections; i++) {
  Bun.connect<End>({
    hostname: "127.0.0.1",
    port,
    data: { head: kind === "tcp" ? null : "", left: 0, sentAt: 0 },
    socket: {
      open(socket) {
        socket.write(OPENING);
        if (kind === "tcp" && path === "/echo") send(socket);
      },
      data: take,
      close() {
        tally.socketErrors++;
      },
      error() {},
    },
  }).catch(() => tally.socketErrors++);
}
setTimeout(() => {
  tally.requests += Math.floor(octetsIn / MIB);
  tally.report();
}, seconds * 1000);
