// Node's HTTP parser as the other opinion: answers each request it accepts with what it understood.
// Prints its port. Runs under Node, whose parser is llhttp.
import { createServer } from "node:http";

const server = createServer({ insecureHTTPParser: false, requestTimeout: 0 }, (request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const { method, url, httpVersion, rawHeaders } = request;
    const content = Buffer.concat(chunks).toString("latin1");
    // In a field, since a response to HEAD has no content.
    const seen = JSON.stringify({ method, url, httpVersion, rawHeaders, content });
    response.setHeader("x-seen", Buffer.from(seen).toString("base64"));
    response.setHeader("content-length", "0");
    response.end();
  });
  request.on("error", () => {});
});
server.on("clientError", (why, socket) => {
  if (socket.writable)
    socket.end(
      `HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: ${why.code?.length ?? 0}\r\n\r\n${why.code ?? ""}`,
    );
  else socket.destroy();
});
server.on("connect", (_request, socket) =>
  socket.end("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 7\r\n\r\nCONNECT"),
);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
