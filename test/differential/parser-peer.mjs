// Node's HTTP parser without sockets: takes octets on stdin and answers each with one line of JSON.
// A frame is "q" (requests) or "s" (responses), four octets of length, and that many octets.
import { HTTPParser, methods } from "node:_http_common";

const { REQUEST, RESPONSE, kOnHeaders, kOnHeadersComplete, kOnBody, kOnMessageComplete } = HTTPParser;

function parse(type, octets) {
  const parser = new HTTPParser();
  parser.initialize(type, {}, 0, 0);
  const messages = [];
  let message = null;
  let lines = [];
  let target = "";
  // Called with what does not fit into one call below, and with trailers.
  parser[kOnHeaders] = (some, url) => {
    lines.push(...some);
    if (message === null) target += url;
  };
  parser[kOnHeadersComplete] = (major, minor, rest, method, url, status) => {
    if (rest !== undefined) lines.push(...rest);
    message = { version: `${major}.${minor}`, method: methods[method], target: url ?? target, status, fields: lines };
    message.content = "";
    lines = [];
    return 0;
  };
  parser[kOnBody] = (piece) => {
    message.content += piece.latin1Slice();
  };
  parser[kOnMessageComplete] = () => {
    messages.push({ ...message, trailers: lines });
    message = null;
    lines = [];
    target = "";
  };
  const taken = parser.execute(octets);
  const ended = taken instanceof Error ? taken : parser.finish();
  return { messages, end: ended instanceof Error ? ended.code : "all" };
}

let held = Buffer.alloc(0);
process.stdin.on("data", (octets) => {
  held = Buffer.concat([held, octets]);
  let answers = "";
  while (held.length >= 5 && held.length >= 5 + held.readUInt32BE(1)) {
    const end = 5 + held.readUInt32BE(1);
    const verdict = parse(held[0] === 0x71 ? REQUEST : RESPONSE, Buffer.from(held.subarray(5, end)));
    answers += `${JSON.stringify(verdict)}\n`;
    held = held.subarray(end);
  }
  if (answers !== "") process.stdout.write(answers);
});
