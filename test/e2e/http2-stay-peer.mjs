// Node's HTTP/2 client as some that stay: each has a connection and asks for several things at a time, again and
// again, until standard input ends. When the server says that it closes a connection, another is opened; with
// "once", that client is done. Says now and then how many answers came; prints what came as JSON at the end.
//
// A request that Node has in hand when it reads GOAWAY never leaves: nghttp2 takes it back (REFUSED_STREAM, RFC 9113
// §8.7), before the server can have said which stream was the last. It is asked again under the same number, so that
// the origin server can tell that it came once.
import { connect } from "node:http2";

const [origin, clients, mode] = process.argv.slice(2);
const REFUSED_STREAM = 7;
const MAX_STREAM = 2 ** 31 - 1;
const lost = [];
const versions = {};
let connections = 0;
let answered = 0;
let goodbyes = 0;
let takenBack = 0;
let asked = 0;
let isOver = false;
process.stdin.on("end", () => (isOver = true)).resume();

class Client {
  session = null;

  current() {
    if (this.session !== null && !this.session.closed && !this.session.destroyed) return this.session;
    if (this.session !== null && mode === "once") return null;
    connections++;
    const session = connect(origin, { rejectUnauthorized: false });
    session.on("error", (error) => lost.push(`connection: ${error.message}`));
    session.on("goaway", (code, lastStream) => {
      goodbyes++;
      session.lastStream = lastStream;
      if (code !== 0) lost.push(`connection: GOAWAY with ${code}`);
    });
    this.session = session;
    return session;
  }

  /** Settles with false if the request was taken back. */
  exchange(session, path, content) {
    return new Promise((resolve) => {
      const stream = session.request({ ":path": path, ":method": content === undefined ? "GET" : "POST" });
      let head = {};
      let octets = "";
      stream.setEncoding("latin1");
      stream.on("response", (fields) => (head = fields));
      stream.on("data", (piece) => (octets += piece));
      let error = null;
      stream.on("error", (thrown) => (error = thrown));
      stream.on("close", () => {
        if (stream.rstCode === REFUSED_STREAM && session.lastStream === MAX_STREAM && session.closed) {
          takenBack++;
          return resolve(false);
        }
        if (head[":status"] === 200 && stream.rstCode === 0 && octets === (content ?? "from origin")) answered++;
        else lost.push(`${path}: ${head[":status"]}, ${stream.rstCode}, ${octets.length} octets, ${error?.message}`);
        versions[head["x-config"]] = (versions[head["x-config"]] ?? 0) + 1;
        resolve(true);
      });
      stream.end(content);
    });
  }

  async ask(path, content) {
    while (!isOver && lost.length === 0) {
      const target = `${path}?${asked++}`;
      for (let isAnswered = false; !isAnswered; ) {
        const session = this.current();
        if (session === null) return;
        isAnswered = await this.exchange(session, target, content);
      }
    }
  }

  async run() {
    const upload = "content ".repeat(5000);
    await Promise.all([
      this.ask("/1"),
      this.ask("/2"),
      this.ask("/3"),
      this.ask("/slow"),
      this.ask("/slow-echo", "some content"),
      this.ask("/echo", upload),
    ]);
    this.session.close();
  }
}

setInterval(() => console.log(`${answered} answered`), 50).unref();
await Promise.all(Array.from({ length: Number(clients) }, () => new Client().run()));
console.log(JSON.stringify({ connections, answered, goodbyes, takenBack, versions, lost }));
process.exit(0);
