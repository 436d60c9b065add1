// A client of another making, by Node: HTTP/1.1 and HTTP/2, plain and over TLS. It does what it is told on its
// input and tells what it sees on its output, one JSON object a line, each with the exchange's number.
//
//   { do: "begin", id, protocol: "h1" | "h2", url, authority, ca, method, target, fields, content }
//       content: null; "open" (what `send` says follows); or { octets, length } (a pattern, with a length or not)
//   { do: "send", id, text }   { do: "end", id, trailers }   { do: "abort", id }   { do: "pause" | "resume", id }
//
//   { id, event: "interim", status, fields }   { id, event: "head", status, fields }   { id, event: "data", octets }
//   { id, event: "progress", octets, still }   { id, event: "end", complete, octets, sha1, text, trailers, error }
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import { createInterface } from "node:readline";
import tls from "node:tls";
import { Heard, PERIOD, plain, say } from "./heard.mjs";

const exchanges = new Map();
const sessions = new Map();
const agents = new Map();

function sessionTo({ url, ca }) {
  const known = sessions.get(url);
  if (known !== undefined && !known.closed && !known.destroyed) return known;
  const session = http2.connect(url, { ca, servername: "matrix.test" });
  session.on("error", () => {});
  session.on("close", () => sessions.get(url) === session && sessions.delete(url));
  sessions.set(url, session);
  session.ready = new Promise((resolve) => session.once("remoteSettings", resolve));
  return session;
}

function agentTo({ url, ca }) {
  let agent = agents.get(url);
  if (agent === undefined) {
    const { Agent } = url.startsWith("https:") ? https : http;
    agent = new Agent({ keepAlive: true, maxSockets: 64 });
    // Ours, so that it can be reset below TLS.
    agent.createConnection = () => connectionTo(url, ca);
    agents.set(url, agent);
  }
  return agent;
}

function connectionTo(url, ca) {
  const { hostname, port } = new URL(url);
  const transport = net.connect({ host: hostname, port: Number(port), noDelay: true });
  if (url.startsWith("http:")) return Object.assign(transport, { transport });
  return Object.assign(tls.connect({ socket: transport, ca, servername: "matrix.test" }), { transport });
}

async function sendPattern(id, out, octets) {
  let sent = 0;
  let seen = -1;
  const tell = setInterval(() => {
    say({ id, event: "progress", octets: sent, still: sent === seen });
    seen = sent;
  }, 100);
  for (let at = 0; at < octets && !out.destroyed; at += PERIOD.length) {
    const piece = PERIOD.subarray(0, Math.min(PERIOD.length, octets - at));
    if (!out.write(piece)) {
      await new Promise((resolve) => {
        const go = () => {
          out.off("drain", go);
          out.off("close", go);
          resolve();
        };
        out.on("drain", go);
        out.on("close", go);
      });
    }
    sent += piece.length;
  }
  clearInterval(tell);
  if (!out.destroyed) out.end();
}

function beginHttp1(command) {
  const { id, url, authority, method, target, fields, content, upgrade } = command;
  const heard = new Heard(id);
  const declared = content?.length === true ? { "content-length": String(content.octets) } : {};
  const wanted = upgrade
    ? {
        connection: "upgrade",
        upgrade: "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
      }
    : {};
  const { request } = url.startsWith("https:") ? https : http;
  const { hostname, port } = new URL(url);
  const out = request({
    host: hostname,
    port,
    agent: agentTo(command),
    method,
    path: target,
    headers: {
      host: authority,
      "x-id": id,
      ...(content !== null && content.length !== true ? { "transfer-encoding": "chunked" } : {}),
      ...declared,
      ...wanted,
      ...fields,
    },
  });
  const one = { out, heard, source: null };
  out.on("information", ({ statusCode, headers }) => heard.interim(statusCode, headers));
  out.on("continue", () => heard.interim(100, {}));
  out.on("response", (response) => {
    one.source = response;
    heard.head(response.statusCode, response.headers);
    response.on("data", (piece) => heard.data(piece));
    response.on("end", () => {
      heard.trailers = { ...response.trailers };
      heard.end(response.complete);
    });
    response.on("error", (error) => heard.end(false, error.message));
    response.on("close", () => heard.end(response.complete));
  });
  out.on("upgrade", (response, socket, rest) => {
    heard.head(response.statusCode, response.headers);
    one.out = one.source = socket;
    if (rest.length > 0) heard.data(rest);
    socket.on("data", (piece) => heard.data(piece));
    socket.on("end", () => heard.end(true));
    socket.on("error", (error) => heard.end(false, error.message));
    socket.on("close", () => heard.end(false));
  });
  out.on("error", (error) => heard.end(false, error.message));
  exchanges.set(id, one);
  if (content === null) out.end();
  else if (content === "open") out.flushHeaders();
  else void sendPattern(id, out, content.octets);
}

async function beginHttp2(command) {
  const { id, authority, method, target, fields, content, upgrade } = command;
  const heard = new Heard(id);
  const session = sessionTo(command);
  if (upgrade) await session.ready;
  const declared = content?.length === true ? { "content-length": String(content.octets) } : {};
  const out = session.request(
    {
      ":method": upgrade ? "CONNECT" : method,
      ...(upgrade ? { ":protocol": "websocket", "sec-websocket-version": "13" } : {}),
      ":scheme": command.url.startsWith("https:") ? "https" : "http",
      ":authority": authority,
      ":path": target,
      "x-id": id,
      ...declared,
      ...fields,
    },
    { endStream: content === null && !upgrade, waitForTrailers: content === "open" },
  );
  const one = { out, heard, source: out, trailers: null };
  out.on("continue", () => heard.interim(100, {}));
  out.on("headers", (head) => heard.interim(head[":status"], head));
  out.on("response", (head) => heard.head(head[":status"], head));
  out.on("trailers", (section) => {
    heard.trailers = plain(section);
  });
  out.on("wantTrailers", () => out.sendTrailers(one.trailers ?? {}));
  out.on("data", (piece) => heard.data(piece));
  let ended = false;
  out.on("end", () => {
    ended = true;
  });
  out.on("error", (error) => heard.end(false, error.message));
  out.on("close", () => heard.end(ended && out.rstCode === 0, `code ${out.rstCode}`));
  exchanges.set(id, one);
  if (content !== null && content !== "open") void sendPattern(id, out, content.octets);
}

const commands = {
  begin: (command) => (command.protocol === "h1" ? beginHttp1(command) : beginHttp2(command)),
  send: ({ id, text }) => exchanges.get(id).out.write(text, "latin1"),
  end({ id, trailers }) {
    const one = exchanges.get(id);
    if (trailers && one.out.addTrailers) one.out.addTrailers(trailers);
    else one.trailers = trailers ?? null;
    one.out.end();
  },
  abort({ id }) {
    const { out, source } = exchanges.get(id);
    // With HTTP/1.1 a plain end could be one half of the connection alone.
    const transport = out.socket?.transport;
    if (transport !== undefined) transport.resetAndDestroy();
    (source ?? out).destroy();
    out.destroy();
  },
  pause: ({ id }) => exchanges.get(id).source.pause(),
  resume: ({ id }) => exchanges.get(id).source.resume(),
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
});
process.stdin.on("end", () => process.exit(0));
say({ event: "ready" });
