/**
 * Opens connections, makes one request on each, and holds them idle until it is told to end.
 * A program of its own: `bun bench/load/idle-client.ts PORT COUNT`. It prints one line of JSON
 * with what it has once all are open, and again, on SIGUSR1, with what is still open.
 */
import type { Socket } from "bun";

const port = Number(process.argv[2]);
const count = Number(process.argv[3]);
const REQUEST = `GET /small HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;
/** At once; more would overflow the accept queue of a proxy that is busy. */
const OPENING = 100;
const CONTENT = 100;

interface Idle {
  text: string;
  answered: () => void;
}

const sockets = new Set<Socket<Idle>>();
let failed = 0;

async function open(): Promise<void> {
  const answered = Promise.withResolvers<void>();
  try {
    await Bun.connect<Idle>({
      hostname: "127.0.0.1",
      port,
      data: { text: "", answered: answered.resolve },
      socket: {
        open(socket) {
          sockets.add(socket);
          socket.write(REQUEST);
        },
        data(socket, octets) {
          const { data } = socket;
          data.text += octets.toString("latin1");
          const end = data.text.indexOf("\r\n\r\n");
          if (end < 0 || data.text.length < end + 4 + CONTENT) return;
          if (!data.text.startsWith("HTTP/1.1 200")) failed++;
          data.text = "";
          data.answered();
        },
        close(socket) {
          sockets.delete(socket);
          socket.data.answered();
        },
        error() {},
      },
    });
    await answered.promise;
  } catch {
    failed++;
  }
}

function report(): void {
  console.log(JSON.stringify({ open: sockets.size, failed }));
}

let started = 0;
await Promise.all(
  Array.from({ length: OPENING }, async () => {
    while (started < count) {
      started++;
      await open();
    }
  }),
);
report();
process.on("SIGUSR1", report);
process.on("SIGTERM", () => {
  // Resets: nothing of ten thousand connections should stay behind in TIME-WAIT.
  for (const socket of sockets) socket.terminate();
  process.exit(0);
});
setInterval(() => {}, 60_000);
