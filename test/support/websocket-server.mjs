// A WebSocket origin server on the real `ws` package, which Bun would replace by its own: runs under Node.
// Prints its port. Echoes; "close" closes with 4001, "big:N" sends N octets, "ping" pings.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({
  port: 0,
  host: "127.0.0.1",
  handleProtocols: (offered) => [...offered].at(-1) ?? false,
});
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket, request) => {
  socket.on("message", (data, isBinary) => {
    const text = isBinary ? "" : data.toString();
    if (text === "close") socket.close(4001, "as you wish");
    else if (text.startsWith("big:")) socket.send(Buffer.alloc(Number(text.slice(4)), "w"));
    else if (text === "ping") socket.ping("are you there");
    else if (text === "request") socket.send(JSON.stringify({ url: request.url, headers: request.headers }));
    else socket.send(data, { binary: isBinary });
  });
  socket.on("pong", (data) => socket.send(`pong ${data}`));
});
