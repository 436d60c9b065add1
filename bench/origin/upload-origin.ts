/**
 * An origin server that reads every octet of a request's content and then answers "ok"; nothing
 * else. A program of its own: `bun bench/origin/upload-origin.ts PORT`. (nginx would answer before
 * it has read the content, or write it to a file.)
 */
import type { Socket } from "bun";

interface Upload {
  /** What is there of the next head. */
  pending: Buffer;
  /** Content octets still to come. */
  missing: number;
}

const OK = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
const UNFRAMED = "HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const NOTHING = Buffer.alloc(0);

Bun.listen<Upload>({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  socket: {
    open(socket) {
      socket.data = { pending: NOTHING, missing: 0 };
    },
    data: read,
  },
});

function read(socket: Socket<Upload>, octets: Buffer): void {
  const upload = socket.data;
  if (upload.missing >= octets.length) {
    count(socket, octets.length);
    return;
  }
  let rest = octets.subarray(upload.missing);
  if (upload.missing > 0) count(socket, upload.missing);
  if (upload.pending.length > 0) rest = Buffer.concat([upload.pending, rest]);
  for (let end: number; (end = rest.indexOf("\r\n\r\n")) >= 0; ) {
    const head = rest.toString("latin1", 0, end);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined && head.startsWith("POST")) {
      socket.end(UNFRAMED);
      return;
    }
    upload.missing = Number(length ?? 0);
    const taken = Math.min(upload.missing, rest.length - end - 4);
    rest = rest.subarray(end + 4 + taken);
    count(socket, taken);
  }
  upload.pending = rest;
}

/** Answers once the content is complete, which it is at once if there is none. */
function count(socket: Socket<Upload>, octets: number): void {
  socket.data.missing -= octets;
  if (socket.data.missing === 0) socket.write(OK);
}
