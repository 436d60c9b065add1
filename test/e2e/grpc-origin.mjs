// An origin server of gRPC: @grpc/grpc-js under Node.js. Prints its port; what it has seen is asked by Seen.
// With a certificate and its key as arguments, over TLS.
import { readFileSync } from "node:fs";
import { Metadata, Server, ServerCredentials, status } from "@grpc/grpc-js";
import { Health, Peer } from "./grpc-service.mjs";

const server = new Server();
const seen = { cancelled: [], timeouts: [], calls: 0 };
/** Of grpc.health.v1, by service. */
const health = { "": 1, "test.Peer": 1 };

/** What the caller sent as echo-*, for the initial metadata and, as trailing-*, for the trailing ones. */
function echoed(call) {
  const initial = new Metadata();
  const trailing = new Metadata();
  for (const name of Object.keys(call.metadata.getMap()).filter((one) => one.startsWith("echo-"))) {
    for (const value of call.metadata.get(name)) {
      initial.add(name, value);
      trailing.add(`trailing-${name}`, value);
    }
  }
  call.sendMetadata(initial);
  return trailing;
}

function noteCancel(name, call) {
  call.on("cancelled", () => seen.cancelled.push(name));
}

server.addService(Peer, {
  Echo(call, done) {
    seen.calls++;
    const trailing = echoed(call);
    if (call.request.startsWith("health ")) {
      const [, service, value] = call.request.split(" ");
      if (value === "unknown") delete health[service === "all" ? "" : service];
      else health[service === "all" ? "" : service] = Number(value);
    }
    done(null, `echo of ${call.request}`, trailing);
  },
  Fail(call, done) {
    const metadata = new Metadata();
    metadata.set("why", "because");
    done({ code: status.NOT_FOUND, details: `no ${call.request}: ü 100 %`, metadata });
  },
  Hang(call) {
    noteCancel("Hang", call);
    seen.timeouts.push(call.getDeadline() instanceof Date || call.getDeadline() !== Infinity);
  },
  Seen(_call, done) {
    done(null, JSON.stringify(seen));
  },
  Count(call, done) {
    let messages = 0;
    let octets = 0;
    call.on("data", (message) => {
      messages++;
      octets += message.length;
    });
    call.on("end", () => done(null, `${messages} messages, ${octets} octets`));
  },
  List(call) {
    const [count, size] = call.request.split(" ").map(Number);
    const metadata = new Metadata();
    metadata.set("listed", String(count));
    let n = 0;
    const more = () => {
      while (n < count) if (!call.write(`${n++} `.padEnd(size, "x"))) return call.once("drain", more);
      call.end(metadata);
    };
    more();
  },
  Endless(call) {
    noteCancel("Endless", call);
    const timer = setInterval(() => call.write("again"), 10);
    call.on("cancelled", () => clearInterval(timer));
    call.on("close", () => clearInterval(timer));
  },
  Cut(call) {
    call.write("one");
    call.write("two", () => setTimeout(() => server.forceShutdown(), 50));
  },
  /** Ends the stream below the library's own words: RST_STREAM with CANCEL. */
  Reset(call) {
    call.write("one", () => call.call.stream.close(8));
  },
  Chat(call) {
    call.setMaxListeners(100);
    call.on("data", (message) => {
      // Calls that end in order are "cancelled", too, to this library: the message tells which one it was.
      noteCancel(`Chat ${message}`, call);
      call.write(`you said ${message}`);
    });
    call.on("end", () => call.end());
  },
});
server.addService(Health, {
  Check(call, done) {
    // HealthCheckRequest { string service = 1 }
    const service = call.request.length > 2 ? call.request.subarray(2).toString() : "";
    const value = health[service];
    if (value === undefined) done({ code: status.NOT_FOUND, details: "no such service" });
    else done(null, Buffer.of(8, value));
  },
});

const [cert, key] = process.argv.slice(2).map((file) => readFileSync(file));
const credentials =
  cert === undefined
    ? ServerCredentials.createInsecure()
    : ServerCredentials.createSsl(null, [{ cert_chain: cert, private_key: key }]);
server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
  console.log(error === null ? port : error.message);
});
process.stdin.on("end", () => process.exit()).resume();
