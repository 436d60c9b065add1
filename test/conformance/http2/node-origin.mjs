// An HTTP/2 origin server of another making: node:http2 over plain TCP. Prints its port. Run by Node.
import { createHash } from "node:crypto";
import http2 from "node:http2";

const settings = JSON.parse(process.argv[2] ?? "{}");
const server = http2.createServer({ settings: { enableConnectProtocol: true, ...settings } });

const answers = {
  /** Says what it got. */
  echo(stream, fields, content, trailers) {
    const body = JSON.stringify({
      method: fields[":method"],
      path: fields[":path"],
      authority: fields[":authority"],
      fields: Object.fromEntries(Object.entries(fields).filter(([name]) => !name.startsWith(":"))),
      octets: content.length,
      sha1: createHash("sha1").update(content).digest("hex"),
      trailers,
    });
    stream.respond({ ":status": 200, "content-type": "application/json" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": String(body.length) }));
    stream.end(body);
  },
  octets(stream, fields, _content, _trailers, length) {
    stream.respond({ ":status": 200, "content-length": length });
    if (fields[":method"] === "HEAD") stream.end();
    else stream.end(Buffer.alloc(Number(length), "x"));
  },
  hints(stream) {
    stream.additionalHeaders({ ":status": 103, link: "</a>" });
    stream.respond({ ":status": 200 });
    stream.end("hinted");
  },
  status(stream, _fields, _content, _trailers, status) {
    stream.respond({ ":status": Number(status) }, { endStream: true });
  },
  cut(stream) {
    stream.respond({ ":status": 200 });
    stream.write("abc", () => setTimeout(() => stream.destroy(new Error("cut")), 20));
  },
  refuse(stream) {
    stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
  },
  goaway(stream) {
    stream.session.goaway(http2.constants.NGHTTP2_NO_ERROR, stream.id);
    stream.respond({ ":status": 200 });
    stream.end("the last one");
  },
  die() {
    process.exit(0);
  },
};

server.on("stream", (stream, fields) => {
  stream.on("error", () => {});
  const [, what = "", argument] = fields[":path"]?.replace(/\?.*/, "").split("/") ?? [];
  if (fields[":method"] === "CONNECT") {
    stream.respond({ ":status": 200 });
    stream.pipe(stream);
    return;
  }
  if (what === "early") {
    stream.respond({ ":status": 413 });
    stream.end("too much", () => stream.close(http2.constants.NGHTTP2_NO_ERROR));
    return;
  }
  if (what === "relay") {
    stream.respond({ ":status": 200 });
    stream.pipe(stream);
    return;
  }
  const pieces = [];
  let trailers = {};
  stream.on("data", (piece) => pieces.push(piece));
  stream.on("trailers", (section) => {
    trailers = { ...section };
  });
  stream.on("end", () => {
    if (!stream.destroyed) answers[what](stream, fields, Buffer.concat(pieces), trailers, argument);
  });
});
server.on("sessionError", () => {});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
