// The client of HTTP/3: it understands what client.mjs does, and tells the same. Runs on Bun, for its QUIC is in a
// process of its own again (test/support/http3-client.ts), which does not hold certificates against an authority.
import { createInterface } from "node:readline";
import { Http3Client } from "../support/http3-client.ts";
import { Heard, PERIOD, plain, say } from "./heard.mjs";

/** Octets on their way to the process that sends them. */
const AHEAD = 16 * PERIOD.length;

const sessions = new Map();
const everConnected = new Set();
/** What has begun, by number; commands wait for it. */
const exchanges = new Map();

async function sessionTo(url) {
  const known = await sessions.get(url);
  if (known !== undefined && !known.isClosed && !known.isStopped) return known;
  const connecting = Http3Client.connect(Number(new URL(url).port), "matrix.test");
  sessions.set(url, connecting);
  const session = await connecting;
  everConnected.add(session);
  if (session.refused !== "") throw new Error(`no session of HTTP/3: ${session.refused}`);
  return session;
}

/** As Node shows the fields of its own protocols. */
function shown(fields) {
  const all = plain(fields);
  for (const [name, value] of Object.entries(all)) {
    if (name === "set-cookie") all[name] = [value].flat();
    else if (Array.isArray(value)) all[name] = value.join(name === "cookie" ? "; " : ", ");
  }
  return all;
}

/** Tells of an exchange what comes of it. */
function listen(heard, exchange) {
  const finish = () => heard.end(exchange.cut === null, `code ${exchange.cut}`);
  exchange.onReport = (report) => {
    switch (report.kind) {
      case "interim":
        return heard.interim(Number(report.fields[":status"]), shown(report.fields));
      case "head":
        heard.head(exchange.status, shown(report.fields));
        // It may be told after the end.
        if (exchange.isOver) finish();
        return;
      case "trailers":
        heard.trailers = shown(report.fields);
        return;
      case "content":
        return heard.data(Buffer.from(report.octets));
      case "end":
        if (exchange.head !== null || exchange.cut !== null) finish();
    }
  };
}

async function sendPattern(id, exchange, octets) {
  let seen = -1;
  const tell = () => {
    say({ id, event: "progress", octets: exchange.sentOctets, still: exchange.sentOctets === seen });
    seen = exchange.sentOctets;
  };
  const telling = setInterval(tell, 100);
  for (let at = 0; at < octets && !exchange.isOver; at += PERIOD.length) {
    exchange.send(PERIOD.subarray(0, Math.min(PERIOD.length, octets - at)));
    while (at - exchange.sentOctets > AHEAD && !exchange.isOver) await Bun.sleep(1);
  }
  while (exchange.sentOctets < octets && !exchange.isOver) await Bun.sleep(1);
  clearInterval(telling);
  tell();
  if (!exchange.isOver) exchange.finish();
}

async function begin({ id, url, authority, method, target, fields, content, upgrade }) {
  const session = await sessionTo(url);
  const declared = content?.length === true ? { "content-length": String(content.octets) } : {};
  const tunnel = upgrade ? { ":protocol": "websocket", "sec-websocket-version": "13" } : {};
  const exchange = session.request(target, {
    method: upgrade ? "CONNECT" : method,
    authority,
    fields: { ...tunnel, "x-id": id, ...declared, ...fields },
    open: content !== null || upgrade,
  });
  listen(new Heard(id), exchange);
  if (content !== null && content !== "open") void sendPattern(id, exchange, content.octets);
  return exchange;
}

const commands = {
  send: (exchange, { text }) => exchange.send(text),
  end: (exchange, { trailers }) => exchange.finish(trailers),
  abort(exchange) {
    exchange.cancel();
    // The runtime keeps a cancellation back until it has something else to send.
    exchange.client.request("/", { authority: "nobody.matrix.test" });
  },
  // A stream cannot be paused alone.
  pause: (exchange) => exchange.client.stop(),
  resume: (exchange) => exchange.client.goOn(),
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const command = JSON.parse(line);
  if (command.do === "begin") exchanges.set(command.id, begin(command));
  else commands[command.do](await exchanges.get(command.id), command);
});
// A stopped process does not end on its own.
process.on("exit", () => {
  for (const session of everConnected) session[Symbol.dispose]();
});
process.on("SIGTERM", () => process.exit(0));
process.stdin.on("end", () => process.exit(0));
say({ event: "ready" });
