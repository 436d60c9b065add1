// Node's HTTP/2 client: makes the requests it is told on one connection, all at once, and prints what
// came as JSON. Under Node.js, since Bun has an implementation of its own.
import { connect } from "node:http2";

const [origin, plan] = process.argv.slice(2);
const session = connect(origin);
session.on("error", (error) => {
  console.log(JSON.stringify({ error: error.message }));
  process.exit(1);
});

function exchange({ fields, content, trailers }) {
  return new Promise((resolve) => {
    const stream = session.request(fields, {
      waitForTrailers: trailers !== undefined,
      endStream: content === undefined,
    });
    const answer = { status: 0, fields: {}, interim: [], trailers: null, content: "", error: null };
    const pieces = [];
    stream.on("headers", (head) => answer.interim.push(head[":status"]));
    stream.on("response", (head) => {
      answer.status = head[":status"];
      answer.fields = { ...head };
    });
    stream.on("trailers", (section) => {
      answer.trailers = { ...section };
    });
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    stream.on("data", (piece) => pieces.push(piece));
    stream.on("error", (error) => {
      answer.error = error.message;
    });
    stream.on("close", () => resolve({ ...answer, content: Buffer.concat(pieces).toString("latin1") }));
    if (content !== undefined) stream.end(content);
  });
}

const answers = await Promise.all(JSON.parse(plan).map(exchange));
session.close();
console.log(JSON.stringify(answers));
