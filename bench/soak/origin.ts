/**
 * The origin server of the soak: it answers as the path says, also badly. It runs on Node.js, whose
 * parser judges every request that Lintel sends; what it refuses, and any path it never gave out,
 * is reported as wrong. Bundled and started by soak.ts with the port as its argument.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocketServer } from "ws";
import { contentOf, parsePath, type Wanted } from "./content.ts";
import type { FromOrigin } from "./messages.ts";

type Answer = (wanted: Wanted, request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

const PIECE = 8000;

const answers: Readonly<Record<string, Answer>> = {
  length({ seed, length }, request, response) {
    response.writeHead(200, { "Content-Length": length });
    response.end(request.method === "HEAD" ? undefined : contentOf(seed, length));
  },

  async chunked({ seed, length }, request, response) {
    const trailers = request.httpVersion === "1.1";
    response.writeHead(200, trailers ? { Trailer: "X-Length" } : {});
    for (let at = 0, piece = 1; at < length; at += piece, piece = Math.min((piece * 3) % 20_011, length - at)) {
      if (!response.write(contentOf(seed, length).subarray(at, at + piece))) await drained(response);
    }
    if (trailers) response.addTrailers({ "X-Length": String(length) });
    response.end();
  },

  async drip({ seed, length }, _request, response) {
    response.writeHead(200, { "Content-Length": length });
    const piece = Math.ceil(length / 10);
    for (let at = 0; at < length && !response.destroyed; at += piece) {
      response.write(contentOf(seed, length).subarray(at, Math.min(at + piece, length)));
      await sleep(100);
    }
    response.end();
  },

  /** Ended by the end of the connection. */
  close({ seed, length }, _request, response) {
    const { socket } = response;
    if (socket === null) return;
    socket.write("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n");
    socket.end(contentOf(seed, length));
  },

  /** A final response after an interim one. */
  hints({ seed, length }, _request, response) {
    response.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" });
    response.writeHead(200, { "Content-Length": length });
    response.end(contentOf(seed, length));
  },

  none({ length }, _request, response) {
    response.writeHead(length, length === 304 ? { ETag: '"soak"' } : {});
    response.end();
  },

  echo(_wanted, request, response) {
    const length = request.headers["content-length"];
    response.writeHead(200, length === undefined ? {} : { "Content-Length": length });
    request.pipe(response);
    request.on("error", () => response.destroy());
  },

  /** Answers before it has read the content. */
  early({ seed, length }, request, response) {
    response.writeHead(413, { "Content-Length": length });
    response.end(contentOf(seed, length));
    request.resume();
  },

  /** Content that must never arrive as a whole. */
  broken(_wanted, request, response) {
    request.on("error", () => {});
    request.on("end", () => {
      if (request.complete) report(`malformed content of ${request.url} was passed on as complete`);
      response.end();
    });
    request.resume();
  },

  async reset({ seed, length }, _request, response) {
    response.writeHead(200, { "Content-Length": length });
    await halfOf(response, seed, length);
    response.socket?.resetAndDestroy();
  },

  async "reset-chunked"({ seed, length }, _request, response) {
    response.writeHead(200);
    await halfOf(response, seed, length);
    response.socket?.resetAndDestroy();
  },

  async cut({ seed, length }, _request, response) {
    response.writeHead(200, { "Content-Length": length });
    await halfOf(response, seed, length);
    response.socket?.destroy();
  },

  async "cut-chunked"({ seed, length }, _request, response) {
    response.writeHead(200);
    await halfOf(response, seed, length);
    response.socket?.destroy();
  },

  "reset-head"(_wanted, _request, response) {
    response.socket?.resetAndDestroy();
  },

  garbage(_wanted, _request, response) {
    response.socket?.end("BANG 200 HTTP\r\n\r\nnot a response");
  },

  /** Never answers. */
  stall() {},

  async "stall-content"({ seed, length }, _request, response) {
    response.writeHead(200, { "Content-Length": length });
    await halfOf(response, seed, length);
  },
};

/** Half the content, and time enough for it to be relayed. */
async function halfOf(response: ServerResponse, seed: number, length: number): Promise<void> {
  const half = contentOf(seed, length).subarray(0, length >> 1);
  for (let at = 0; at < half.length && !response.destroyed; at += PIECE) {
    if (!response.write(half.subarray(at, at + PIECE))) await drained(response);
  }
  await sleep(30);
}

/**
 * Resolves when the response before it on the connection is done. Node.js would queue what is
 * written until then, but an interim response so queued leaves after the final head.
 */
async function turn(response: ServerResponse): Promise<void> {
  while (response.socket === null && !response.destroyed) await sleep(1);
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}

function report(wrong: string): void {
  process.send?.({ wrong } satisfies FromOrigin);
}

const server = createServer({ keepAliveTimeout: 30_000, requestTimeout: 0, headersTimeout: 0 }, (request, response) => {
  request.on("error", () => {});
  response.on("error", () => {});
  const wanted = parsePath(request.url!.replace(/^\/failover(?=\/)/, ""));
  const answer = wanted === null ? undefined : answers[wanted.kind];
  if (wanted === null || answer === undefined) {
    report(`the origin server was asked ${request.method} ${request.url}`);
    response.writeHead(500).end();
    return;
  }
  if (request.method === "GET" || request.method === "HEAD") request.resume();
  void turn(response).then(() => answer(wanted, request, response));
});
process.on("uncaughtException", (error) => report(`the origin server itself: ${error.stack}`));

// A client that leaves in mid-message, and Lintel with it, is no fault; anything else is.
const LEFT = ["ECONNRESET", "EPIPE", "HPE_INVALID_EOF_STATE"];
server.on("clientError", (error: Error & { code?: string }, socket: Duplex) => {
  if (!LEFT.includes(error.code ?? "")) report(`the origin server refused a request: ${error.code} ${error.message}`);
  socket.destroy();
});

const webSockets = new WebSocketServer({ noServer: true });
server.on("upgrade", (request, socket, head) => {
  socket.on("error", () => {});
  webSockets.handleUpgrade(request, socket, head, (webSocket) => {
    webSocket.on("error", () => {});
    webSocket.on("message", (data, isBinary) => webSocket.send(data, { binary: isBinary }));
  });
});

server.listen(Number(process.argv[2]), "127.0.0.1", 4096);
process.on("disconnect", () => process.exit(0));
