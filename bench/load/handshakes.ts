/**
 * Makes TLS connections, one request on each, so many at a time: `bun bench/load/handshakes.ts SECONDS
 * PORT CONNECTIONS`. Each handshake is a full one: no session is ever offered, and one that was resumed
 * or of another version counts as a bad response. wrk and `openssl s_time -reuse` resume theirs.
 */
import type { Socket } from "bun";
import { Tally } from "./tally.ts";

const [seconds, port, connections] = process.argv.slice(2).map(Number) as [number, number, number];
const REQUEST = `GET /small HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`;
const CONTENT = 100;
const tally = new Tally();
const end = performance.now() + seconds * 1000;

interface Once {
  readonly startedAt: number;
  text: string;
  over: boolean;
}

/** Not in Bun's types. */
interface TlsSocket extends Socket<Once> {
  isSessionReused(): boolean;
  getTLSVersion(): string;
}

function next(): void {
  if (performance.now() >= end) return;
  const data: Once = { startedAt: performance.now(), text: "", over: false };
  const finish = () => {
    if (data.over) return;
    data.over = true;
    queueMicrotask(next);
  };
  Bun.connect<Once>({
    hostname: "127.0.0.1",
    port,
    data,
    tls: { rejectUnauthorized: false, serverName: "localhost" },
    socket: {
      handshake(socket) {
        const { isSessionReused, getTLSVersion } = socket as TlsSocket;
        if (isSessionReused.call(socket) || getTLSVersion.call(socket) !== "TLSv1.3") tally.badResponses++;
        socket.write(REQUEST);
      },
      data(socket, octets) {
        data.text += octets.toString("latin1");
        const head = data.text.indexOf("\r\n\r\n");
        if (head < 0 || data.text.length < head + 4 + CONTENT) return;
        if (!data.text.startsWith("HTTP/1.1 200")) tally.badResponses++;
        tally.count(data.startedAt);
        data.over = true;
        socket.end();
        next();
      },
      close() {
        if (!data.over) tally.socketErrors++;
        finish();
      },
      error() {},
    },
  }).catch(() => {
    if (!data.over) tally.socketErrors++;
    finish();
  });
}

for (let i = 0; i < connections; i++) next();
setTimeout(() => tally.report(), seconds * 1000);
