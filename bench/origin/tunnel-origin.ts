/**
 * The end of tunnels. After the first line, which is that of an HTTP request (answered with 101 if it
 * asks for an upgrade, with 200 if not) or "/echo" or "/pour" alone, it sends back what comes, or
 * sends without end. A program of its own: `bun bench/origin/tunnel-origin.ts PORT`.
 */
import { createHash } from "node:crypto";
import type { Socket } from "bun";

interface Tunnel {
  /** What has come of the beginning; null: it is over. */
  head: string | null;
  pours: boolean;
  /** Echoed octets that the kernel has not taken yet. */
  queue: Buffer[];
}

/** WebSocket's: a binary message of 64 KiB. */
const PIECE = Buffer.concat([Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Buffer.alloc(65_536, "octets  ")]);
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

Bun.listen<Tunnel>({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  socket: {
    open(socket) {
      socket.data = { head: "", pours: false, queue: [] };
    },
    data(socket, octets) {
      if (socket.data.head !== null) begin(socket, octets);
      else if (!socket.data.pours) echo(socket, octets);
    },
    drain(socket) {
      if (socket.data.pours) pour(socket);
      else for (const octets of socket.data.queue.splice(0)) echo(socket, octets);
    },
    error() {},
  },
});

function begin(socket: Socket<Tunnel>, octets: Buffer): void {
  const tunnel = socket.data;
  tunnel.head += octets.toString("latin1");
  const isHttp = !tunnel.head!.startsWith("/");
  const end = tunnel.head!.indexOf(isHttp ? "\r\n\r\n" : "\n");
  if (end < 0) return;
  const head = tunnel.head!.slice(0, end);
  const rest = Buffer.from(tunnel.head!.slice(end + (isHttp ? 4 : 1)), "latin1");
  const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1];
  if (isHttp && key === undefined) {
    tunnel.head = "";
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n${"x".repeat(100)}`);
    return;
  }
  tunnel.head = null;
  tunnel.pours = head.includes("/pour");
  if (key !== undefined) {
    const accept = createHash("sha1")
      .update(key + GUID)
      .digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
  }
  if (tunnel.pours) pour(socket);
  else if (rest.length > 0) echo(socket, rest);
}

/** Until the kernel takes no more; a piece may be cut anywhere, nobody reads it. */
function pour(socket: Socket<Tunnel>): void {
  while (socket.write(PIECE) === PIECE.length);
}

function echo(socket: Socket<Tunnel>, octets: Buffer): void {
  const { queue } = socket.data;
  const taken = queue.length > 0 ? 0 : Math.max(0, socket.write(octets));
  if (taken < octets.length) queue.push(octets.subarray(taken));
}
