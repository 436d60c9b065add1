// The load of the zero-loss run, on Node.js: kept and new connections, small and 1 MiB responses, and
// WebSockets that stay open. Every octet is checked. Tells its parent of each thing that went wrong,
// with the time since when the connection was open, and once a second what it has counted.
import { connect } from "node:net";
import WebSocket from "ws";

const port = Number(process.argv[2]);
const PAUSE_MS = 4;
const counts = { kept: 0, new: 0, large: 0, slow: 0, messages: 0, reconnects: 0 };
let latencies = [];
let stopping = false;
let open = 0;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const fail = (kind, openedAt, why) => process.send({ failure: { kind, openedAt, at: Date.now(), why } });

/** One connection that makes requests one after the other. */
class Client {
  constructor(kind) {
    this.kind = kind;
    this.socket = null;
    this.openedAt = 0;
    this.mayReuse = false;
  }

  async exchange(path, keep) {
    if (this.socket === null || !this.mayReuse) await this.dial();
    const startedAt = performance.now();
    const answer = this.read();
    this.socket.write(`GET ${path} HTTP/1.1\r\nhost: zero.example\r\n${keep ? "" : "connection: close\r\n"}\r\n`);
    const { status, closes, length, last } = await answer;
    latencies.push(performance.now() - startedAt);
    if (status !== 200) throw new Error(`status ${status}`);
    if (path === "/large" && (length !== 1 << 20 || last !== "f")) throw new Error(`${length} octets, last ${last}`);
    this.mayReuse = keep && !closes;
    if (!this.mayReuse) this.drop();
  }

  dial() {
    if (this.socket !== null) counts.reconnects++;
    this.drop();
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1");
      socket.setNoDelay(true);
      this.socket = socket;
      this.openedAt = Date.now();
      this.pending = { resolve: null, reject };
      const lost = (why) => {
        if (this.socket !== socket) return;
        // While nothing was asked an end is the server's good right.
        this.mayReuse = false;
        this.pending?.reject(new Error(why));
      };
      socket.on("connect", () => {
        this.pending = null;
        this.mayReuse = true;
        resolve();
      });
      socket.on("error", (error) => lost(error.code));
      socket.on("end", () => lost("ended"));
      socket.on("close", () => lost("closed"));
    });
  }

  drop() {
    this.socket?.destroy();
    this.socket = null;
    this.mayReuse = false;
  }

  /** Settles with the whole response. */
  read() {
    return new Promise((resolve, reject) => {
      const { socket } = this;
      let head = "";
      let left = -1;
      let length = 0;
      let last = "";
      const done = (result) => {
        socket.off("data", take);
        this.pending = null;
        resolve(result);
      };
      const take = (data) => {
        let content = data;
        if (left < 0) {
          head += data.toString("latin1");
          const end = head.indexOf("\r\n\r\n");
          if (end < 0) return;
          content = Buffer.from(head.slice(end + 4), "latin1");
          head = head.slice(0, end).toLowerCase();
          left = Number(/content-length: (\d+)/.exec(head)?.[1] ?? 0);
        }
        left -= content.length;
        length += content.length;
        if (content.length > 0) last = String.fromCharCode(content.at(-1));
        if (left > 0) return;
        done({ status: Number(head.slice(9, 12)), closes: /\r\nconnection: close/.test(head), length, last });
      };
      this.pending = {
        reject: (why) => {
          socket.off("data", take);
          this.pending = null;
          reject(why);
        },
      };
      socket.on("data", take);
    });
  }
}

async function loop(kind, path, keep) {
  open++;
  const client = new Client(kind);
  while (!stopping) {
    try {
      await client.exchange(path, keep);
      counts[kind]++;
    } catch (error) {
      fail(kind, client.openedAt, error.message);
      client.drop();
    }
    await pause(PAUSE_MS + Math.random() * PAUSE_MS);
  }
  client.drop();
  open--;
}

/** A WebSocket that must stay open; when it is lost, that is told and another one opened. */
async function webSocket() {
  open++;
  while (!stopping) {
    const openedAt = Date.now();
    await new Promise((resolve) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`);
      let waiting = null;
      let sent = 0;
      const timer = setInterval(() => {
        if (stopping) return socket.close();
        if (waiting !== null && Date.now() - sent > 5000) fail("socket", openedAt, "no echo within 5 s");
        if (socket.readyState !== WebSocket.OPEN || waiting !== null) return;
        waiting = String(Math.random());
        sent = Date.now();
        socket.send(waiting);
      }, 50);
      socket.on("message", (data) => {
        if (data.toString() !== waiting) fail("socket", openedAt, `wrong echo ${data}`);
        waiting = null;
        counts.messages++;
      });
      socket.on("error", (error) => fail("socket", openedAt, error.message));
      socket.on("close", (code) => {
        clearInterval(timer);
        if (!stopping) fail("socket", openedAt, `closed with ${code}`);
        resolve();
      });
    });
  }
  open--;
}

process.on("message", async (message) => {
  if (message.start) {
    for (let i = 0; i < message.start.kept; i++) void loop("kept", "/small", true);
    for (let i = 0; i < message.start.new; i++) void loop("new", "/small", false);
    for (let i = 0; i < message.start.large; i++) void loop("large", "/large", i % 2 === 0);
    for (let i = 0; i < message.start.slow; i++) void loop("slow", "/slow/300", true);
    for (let i = 0; i < message.start.sockets; i++) void webSocket();
  }
  if (message.stop) {
    stopping = true;
    for (const end = Date.now() + 5000; open > 0 && Date.now() < end; ) await pause(20);
    process.send({ counts, done: true });
  }
});
setInterval(() => {
  process.send({ counts, latencies });
  latencies = [];
}, 250);
process.on("disconnect", () => process.exit(0));
