// An origin server of another making, in every form that an upstream can have: HTTP/1.1 and HTTP/2, plain and
// over TLS, by Node. What it does is said by the request's path; what it sees it prints, one JSON object a line,
// each with the exchange's number (field "x-id").
//
//   node origin.mjs CERT KEY      prints { event: "ports", … } first; on its input "open ID" opens a gate
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { createInterface } from "node:readline";

const [certFile, keyFile] = process.argv.slice(2);
const identity = { cert: readFileSync(certFile), key: readFileSync(keyFile) };

const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);

/** What exchanges wait for, by number. */
const gates = new Map();
function gate(id) {
  let known = gates.get(id);
  if (known === undefined) {
    known = {};
    known.opened = new Promise((resolve) => {
      known.open = resolve;
    });
    gates.set(id, known);
  }
  return known;
}
createInterface({ input: process.stdin }).on("line", (line) => {
  const [command, id] = line.split(" ");
  if (command === "open") gate(id).open();
});
process.stdin.on("end", () => process.exit(0));

/** Content that everybody can make: octet i is i modulo 251. */
const PERIOD = Buffer.from(Array.from({ length: 251 * 64 }, (_, i) => i % 251));
function* pattern(octets) {
  for (let at = 0; at < octets; at += PERIOD.length) yield PERIOD.subarray(0, Math.min(PERIOD.length, octets - at));
}

const fieldsOf = (request) => {
  const fields = {};
  for (const [name, value] of Object.entries(request.headers)) if (!name.startsWith(":")) fields[name] = value;
  return fields;
};

const isCut = (request) => request.aborted || (request.stream?.rstCode ?? 0) !== 0;

/** Reads the content to its end; if it is cut, that never comes. */
function contentOf(request) {
  return new Promise((resolve) => {
    const hash = createHash("sha1");
    let octets = 0;
    request.on("data", (piece) => {
      octets += piece.length;
      hash.update(piece);
    });
    // Node says "end" of a stream that was reset, too.
    request.on(
      "end",
      () => isCut(request) || resolve({ octets, sha1: hash.digest("hex"), trailers: { ...request.trailers } }),
    );
  });
}

async function send(id, response, octets) {
  let sent = 0;
  for (const piece of pattern(octets)) {
    if (!response.write(piece)) await new Promise((resolve) => response.once("drain", resolve));
    sent += piece.length;
    progress.set(id, sent);
  }
}

/** Exchanges that have come to `flaky`. */
const asked = new Set();

/** Octets sent so far; told whenever that has changed. */
const progress = new Map();
const told = new Map();
setInterval(() => {
  for (const [id, octets] of progress) {
    say({ id, event: "progress", octets, still: told.get(id) === octets });
    told.set(id, octets);
  }
}, 100).unref();

function cut(response) {
  if (response.stream !== undefined) response.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  else if (response.socket.encrypted) response.socket.destroy();
  else response.socket.resetAndDestroy();
}

const answers = {
  async echo(id, request, response) {
    const content = await contentOf(request);
    say({ id, event: "content", ...content });
    response.writeHead(200, {
      "content-type": "text/plain",
      "x-octets": String(content.octets),
      "x-sha1": content.sha1,
    });
    response.end(request.method === "HEAD" ? undefined : `${content.octets} octets`);
  },
  /** With a length. */
  async octets(id, request, response, octets) {
    response.writeHead(200, { "content-length": octets });
    if (request.method !== "HEAD") await send(id, response, Number(octets));
    response.end();
  },
  /** Without one. */
  async stream(id, _request, response, octets) {
    response.writeHead(200, {});
    await send(id, response, Number(octets));
    response.end();
  },
  async trailers(_id, _request, response) {
    response.writeHead(200, { trailer: "x-sum, x-more" });
    response.write("content");
    response.addTrailers({ "x-sum": "12", "x-more": "yes" });
    response.end();
  },
  async hints(id, _request, response) {
    response.writeEarlyHints({ link: "</style.css>; rel=preload" });
    await gate(id).opened;
    response.writeHead(200, {});
    response.end("hinted");
  },
  async status(_id, _request, response, status) {
    response.writeHead(Number(status), { "x-said": "so", ...(status === "304" ? { etag: '"a"' } : {}) });
    response.end();
  },
  /** Answers before it has read anything. */
  async early(id, request, response) {
    response.writeHead(403, { "content-length": "5" });
    response.end("early");
    const content = await contentOf(request);
    say({ id, event: "content", ...content });
  },
  /** Answers at the head, and sends back each piece as it comes. */
  async duplex(id, request, response) {
    response.writeHead(200, {});
    response.flushHeaders?.();
    request.on("data", (piece) => response.write(piece));
    request.on("end", () => response.end());
    say({ id, event: "duplex" });
  },
  async gate(id, _request, response) {
    response.writeHead(200, {});
    response.write("first ");
    await gate(id).opened;
    response.end("second");
  },
  /** Says nothing until it is told to. */
  async late(id, request, response) {
    await gate(id).opened;
    return answers.echo(id, request, response);
  },
  /** Fails the first time it is asked. */
  async flaky(id, request, response) {
    const isFirst = !asked.has(id);
    asked.add(id);
    return isFirst ? cut(response) : answers.echo(id, request, response);
  },
  /** Reads nothing until it is told to. */
  async sluggish(id, request, response) {
    await gate(id).opened;
    return answers.echo(id, request, response);
  },
  async cut(id, _request, response, where) {
    if (where === "head") return cut(response);
    response.writeHead(200, where === "length" ? { "content-length": "1000" } : {});
    response.write("x".repeat(500));
    await gate(id).opened;
    cut(response);
  },
  async cookies(_id, _request, response) {
    response.setHeader("set-cookie", ["a=1; Path=/", "b=2; Path=/"]);
    response.setHeader("x-twice", ["one", "two"]);
    response.writeHead(200);
    response.end();
  },
};

function handle(request, response) {
  const id = String(request.headers["x-id"]);
  const [, name, argument] = request.url.split(/[/?]/);
  say({
    id,
    event: "head",
    method: request.method,
    target: request.url,
    authority: request.authority || request.headers.host,
    scheme: request.scheme ?? null,
    version: request.httpVersion,
    fields: fieldsOf(request),
    secure: request.socket.encrypted === true || request.stream?.session?.encrypted === true,
    serverName: request.stream?.session?.socket?.servername ?? request.socket.servername ?? null,
  });
  request.on("aborted", () => say({ id, event: "aborted" }));
  request.on("error", () => {});
  response.on("error", () => {});
  const isWhole = () =>
    response.stream === undefined ? response.writableFinished && request.complete : !isCut(request);
  response.on("close", () => say({ id, event: "closed", complete: isWhole() }));
  // Node resets a stream of HTTP/2 whose request nobody reads when the response has been written, with NO_ERROR and
  // ahead of END_STREAM if requests come in one piece: the response would look cut.
  if (request.method === "GET") request.resume();
  void (answers[name] ?? answers.status)(id, request, response, argument ?? "404");
}

/** RFC 9110 §10.1.1: 100 only where the content is wanted. */
function checkContinue(request, response) {
  if (request.url.startsWith("/early")) return handle(request, response);
  response.writeContinue();
  handle(request, response);
}

const acceptOf = (key) => createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");

/** A WebSocket, as far as a proxy sees it: a handshake, and octets that come back. */
function upgrade(request, socket, rest) {
  const id = String(request.headers["x-id"]);
  say({ id, event: "upgrade", version: "1.1", protocol: request.headers.upgrade });
  if (request.url.startsWith("/status/403")) return socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(request.headers["sec-websocket-key"])}\r\n\r\n`,
  );
  if (rest.length > 0) socket.write(rest);
  socket.on("error", () => {});
  socket.pipe(socket);
}

function connect(stream, fields) {
  const id = String(fields["x-id"]);
  say({ id, event: "upgrade", version: "2.0", protocol: fields[":protocol"] });
  stream.on("error", () => {});
  if (fields[":path"].startsWith("/status/403")) return stream.respond({ ":status": 403 }, { endStream: true });
  stream.respond({ ":status": 200 });
  stream.pipe(stream);
}

const http2Options = { settings: { enableConnectProtocol: true } };
const servers = {
  h1: http.createServer(),
  h1s: https.createServer(identity),
  h2c: http2.createServer(http2Options),
  h2s: http2.createSecureServer({ ...http2Options, ...identity }),
  // As most servers are: both protocols, and WebSockets in HTTP/1.1 alone.
  both: http2.createSecureServer({ ...identity, allowHTTP1: true }),
};
const ports = {};
for (const [name, server] of Object.entries(servers)) {
  const extended = name.startsWith("h2");
  server.on("request", handle);
  server.on("checkContinue", checkContinue);
  server.on("upgrade", upgrade);
  if (extended) server.on("connect", ({ stream, headers }) => connect(stream, headers));
  server.on("sessionError", () => {});
  server.on("tlsClientError", () => {});
  server.timeout = 0;
  server.requestTimeout = 0;
  server.keepAliveTimeout = 60_000;
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  ports[name] = server.address().port;
}
say({ event: "ports", ports });
