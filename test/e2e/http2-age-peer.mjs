// Node's HTTP/2 client as one that stays: some requests are always under way, and a new connection is opened
// when the server says that it closes the one there is. Ends after so many connections; prints what came as JSON.
import { connect } from "node:http2";

const [origin, wantedConnections] = process.argv.slice(2);
let connections = 0;
let answered = 0;
const lost = [];
let session = null;

function current() {
  if (session !== null && !session.closed && !session.destroyed) return session;
  connections++;
  const opened = connect(origin);
  opened.on("error", (error) => lost.push(`connection: ${error.message}`));
  session = opened;
  return opened;
}

function exchange(path, content) {
  return new Promise((resolve) => {
    const stream = current().request({ ":path": path, ":method": content === undefined ? "GET" : "POST" });
    let status = 0;
    stream.on("response", (head) => (status = head[":status"]));
    stream.on("error", (error) => lost.push(`${path}: ${error.message}`));
    stream.on("close", () => {
      if (status === 200 && stream.rstCode === 0) answered++;
      else lost.push(`${path}: status ${status}, code ${stream.rstCode}`);
      resolve();
    });
    stream.resume();
    stream.end(content);
  });
}

async function ask(n) {
  while (connections < Number(wantedConnections) && lost.length === 0) {
    await exchange(`/${n}`);
    await exchange(`/slow?${n}`, "some content");
  }
}

await Promise.all(Array.from({ length: 8 }, (_, n) => ask(n)));
console.log(JSON.stringify({ connections, answered, lost }));
session?.destroy();
