// A WebSocket client on the real `ws` package, under Node. Arguments: URL and a JSON list of text messages.
// Prints one JSON object: what came back, the negotiated protocol, how it closed.
import { WebSocket } from "ws";

const [url, messages] = process.argv.slice(2);
const socket = new WebSocket(url, ["chat", "lintel"], { perMessageDeflate: true });
const received = [];
const toSend = JSON.parse(messages);
const sendNext = () => {
  const next = toSend.shift();
  if (next === undefined) socket.close(1000, "done");
  else socket.send(next);
};
socket.on("open", sendNext);
socket.on("message", (data, isBinary) => {
  received.push(isBinary ? data.length : data.toString());
  sendNext();
});
socket.on("close", (code, reason) =>
  console.log(JSON.stringify({ received, protocol: socket.protocol, code, reason: reason.toString() })),
);
socket.on("error", (why) => console.log(JSON.stringify({ error: why.message })));
