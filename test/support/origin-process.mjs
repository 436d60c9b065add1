// An origin server in a process of its own, on plain Node.js, so that it can be killed, frozen and started
// again: `node origin-process.mjs HOST PORT BACKLOG`. Reads commands and writes answers, one JSON text a line each;
// ends with its standard input. /healthz is always well, whatever the rest is told to do.
import { createServer } from "node:net";
import { createInterface } from "node:readline";

const host = process.argv[2];
const [port, backlog] = process.argv.slice(3).map(Number);
let behaviour = { kind: "answer" };
/** By the first segment of the path. */
const behaviours = new Map();
/** Requests that wait for another behaviour. */
const held = [];
const counts = { requests: 0, checks: 0, running: 0, most: 0, answered: 0 };
let name = "";

const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  let pending = Buffer.alloc(0);
  let queue = Promise.resolve();
  socket.on("error", () => {});
  socket.on("end", () => queue.then(() => socket.end()));
  socket.on("data", (octets) => {
    pending = Buffer.concat([pending, octets]);
    for (let request = take(); request !== null; request = take()) {
      const { target } = request;
      queue = queue.then(() => serve(socket, target));
    }
  });

  /** The next whole request; content has a Content-Length, or there is none. */
  function take() {
    const end = pending.indexOf("\r\n\r\n");
    if (end < 0) return null;
    const head = pending.toString("latin1", 0, end);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (pending.length < end + 4 + length) return null;
    pending = pending.subarray(end + 4 + length);
    return { target: head.split(" ")[1] };
  }
});

async function serve(socket, target) {
  if (target === "/healthz") {
    counts.checks++;
    return socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  }
  counts.requests++;
  counts.most = Math.max(counts.most, ++counts.running);
  // A client that goes away has no request here any more.
  let isCounted = true;
  const leave = () => {
    if (isCounted) counts.running--;
    isCounted = false;
  };
  for (const end of ["end", "close"]) socket.once(end, leave);
  await act(socket, behaviours.get(target.split("/")[1]) ?? behaviour, leave);
  for (const end of ["end", "close"]) socket.off(end, leave);
  leave();
}

/** @param leave called before the answer is sent: who has it may ask again at once */
async function act(socket, how, leave) {
  if (how.kind === "hold") {
    await new Promise((resolve) => {
      held.push(resolve);
      socket.once("end", resolve).once("close", resolve);
    });
    return await act(socket, behaviour, leave);
  }
  if (how.kind === "silent") return await new Promise((resolve) => socket.once("end", resolve).once("close", resolve));
  if ((how.delayMs ?? 0) > 0) await pause(how.delayMs);
  leave();
  if (how.kind === "answer") {
    const { status = 200 } = how;
    counts.answered++;
    return socket.write(
      `HTTP/1.1 ${status} Said So\r\nContent-Length: ${name.length}\r\nX-Origin: ${name}\r\n\r\n${name}`,
    );
  }
  const octets = Buffer.from(how.octets, "latin1");
  const step = how.everyMs === undefined ? octets.length : 1;
  for (let at = 0; at < octets.length && !socket.destroyed; at += step) {
    await new Promise((resolve) => socket.write(octets.subarray(at, at + step), resolve));
    if (how.everyMs !== undefined) await pause(how.everyMs);
  }
  if (how.after === "keep") return;
  // What was written has to leave before a reset overtakes it.
  await pause(15);
  if (how.after === "reset") socket.resetAndDestroy();
  else socket.end();
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    if (command.below !== undefined) behaviours.set(command.below, command.behave);
    else if (command.behave !== undefined) {
      behaviour = command.behave;
      if (behaviour.kind !== "hold") for (const release of held.splice(0)) release();
    }
    if (command.reset) Object.assign(counts, { requests: 0, checks: 0, most: counts.running, answered: 0 });
    say({ counts });
  })
  .on("close", () => process.exit(0));

server.listen({ host, port, backlog }, () => {
  const address = server.address();
  name = `${address.address}:${address.port}`;
  say({ port: address.port });
});
server.on("error", (error) => {
  say({ error: error.code });
  process.exit(1);
});
