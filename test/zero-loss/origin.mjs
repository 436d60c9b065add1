// An origin server of the zero-loss run, on Node.js and the real `ws`: /small, /large, /slow/MS, and a
// WebSocket that echoes. Every response says which server it is from, and how long its content is.
// Finishes what it has on SIGTERM.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const port = Number(process.argv[2]);
const large = Buffer.alloc(1 << 20, "0123456789abcdef");
const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  response.setHeader("x-origin", String(port));
  const [, kind, ms] = request.url.split("/");
  const answer = () => response.end(kind === "large" ? large : `hello from ${port}\n`);
  if (kind === "slow") setTimeout(answer, Number(ms));
  else answer();
});
const sockets = new WebSocketServer({ server });
sockets.on("connection", (socket) => {
  socket.on("message", (data) => socket.send(data.toString()));
  socket.on("error", () => {});
});
server.listen(port, "127.0.0.1");
process.on("SIGTERM", () => server.close(() => process.exit(0)));
