// A client of gRPC: @grpc/grpc-js under Node.js. Does what it is named, one after the other, and prints what
// came of each as JSON. With GRPC_CA in the environment, over TLS.
import { readFileSync } from "node:fs";
import { credentials, Metadata, makeGenericClientConstructor } from "@grpc/grpc-js";
import { Peer } from "./grpc-service.mjs";

const [address, ...names] = process.argv.slice(2);
const PeerClient = makeGenericClientConstructor(Peer, "Peer");
const PATIENCE_MS = 20_000;
const patient = () => ({ deadline: Date.now() + PATIENCE_MS });

const entries = (metadata) =>
  Object.fromEntries(
    Object.entries(metadata?.toHttp2Headers() ?? {}).map(([name, values]) => [name, [values].flat().map(String)]),
  );

/** One message and one answer. */
function unary(client, name, message, metadata = new Metadata(), options = patient()) {
  return new Promise((resolve) => {
    const result = { answer: null, code: null, details: "", initial: {}, trailing: {} };
    const call = client[name](message, metadata, options, (error, answer) => {
      result.answer = answer ?? null;
      if (error !== null) result.details = error.details;
    });
    call.on("metadata", (initial) => (result.initial = entries(initial)));
    call.on("status", ({ code, metadata: trailing }) => {
      result.code = code;
      result.trailing = entries(trailing);
      setImmediate(() => resolve(result));
    });
    result.cancel = () => call.cancel();
    if (options.started) options.started(call);
  });
}

/** What a call says that streams to us. @param each called with each message */
function received(call, each = () => {}) {
  return new Promise((resolve) => {
    const messages = [];
    call.on("data", (message) => {
      messages.push(message);
      each(message, messages.length);
    });
    call.on("error", () => {});
    call.on("status", ({ code, details, metadata }) =>
      resolve({ messages, code, details, trailing: entries(metadata) }),
    );
  });
}

/** A call of a service that the peer does not know of. */
function elsewhere(client, service) {
  return new Promise((resolve) => {
    const done = ({ code, details }) => resolve({ code, details });
    client.makeUnaryRequest(`/test.${service}/Method`, Buffer.from, String, "x", new Metadata(), patient(), done);
  });
}

async function seenBy(client, isThere) {
  for (;;) {
    const { answer } = await unary(client, "Seen", "now");
    const seen = JSON.parse(answer);
    if (isThere(seen)) return seen;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const scenarios = {
  unary: (client) => unary(client, "Echo", "hello"),

  metadata(client) {
    const metadata = new Metadata();
    metadata.set("echo-text", "some text");
    metadata.add("echo-bin", Buffer.of(0, 1, 2, 255));
    metadata.add("echo-bin", Buffer.from("second"));
    return unary(client, "Echo", "hello", metadata);
  },

  large: (client) =>
    unary(client, "Echo", "x".repeat(3_000_000)).then(({ answer, code }) => ({ length: answer?.length ?? 0, code })),
  status: (client) => unary(client, "Fail", "such thing"),
  unknown: (client) => elsewhere(client, "Other"),
  unavailable: (client) => elsewhere(client, "Dead"),
  denied: (client) => elsewhere(client, "Denied"),

  count: (client) =>
    new Promise((resolve) => {
      const call = client.Count(new Metadata(), patient(), (error, answer) =>
        resolve({ answer, code: error?.code ?? 0 }),
      );
      for (let n = 0; n < 100; n++) call.write("y".repeat(n * 100));
      call.end();
    }),

  list: (client) => received(client.List("50 10", new Metadata(), patient())),
  async "list-large"(client) {
    const { messages, code } = await received(client.List("40 200000", new Metadata(), patient()));
    return { count: messages.length, octets: messages.reduce((sum, { length }) => sum + length, 0), code };
  },

  /** Each message is sent when the answer to the one before has come: nothing may be kept back on the way. */
  async chat(client) {
    const call = client.Chat(new Metadata(), patient());
    call.write("0");
    return received(call, (_, count) => (count < 20 ? call.write(String(count)) : call.end()));
  },

  /** Many calls at once over one connection. */
  async many(client) {
    const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => unary(client, "Echo", String(n))));
    return answers.map(({ answer, code }) => (code === 0 ? answer : code));
  },

  async "cancel-unary"(client) {
    const result = await unary(client, "Hang", "please", new Metadata(), {
      ...patient(),
      started: (call) => void seenBy(client, ({ timeouts }) => timeouts.length > 0).then(() => call.cancel()),
    });
    return { ...result, seen: (await seenBy(client, ({ cancelled }) => cancelled.includes("Hang"))).cancelled };
  },

  async "cancel-stream"(client) {
    const call = client.Endless("please", new Metadata(), patient());
    const result = await received(call, (_, count) => count === 3 && call.cancel());
    await seenBy(client, ({ cancelled }) => cancelled.includes("Endless"));
    return { code: result.code };
  },

  async "cancel-chat"(client) {
    const call = client.Chat(new Metadata(), patient());
    call.write("hello");
    const result = await received(call, () => call.cancel());
    await seenBy(client, ({ cancelled }) => cancelled.includes("Chat hello"));
    return { code: result.code };
  },

  /** The client's own clock is the first to say so. */
  async deadline(client) {
    return unary(client, "Hang", "please", new Metadata(), { deadline: Date.now() + 300 });
  },

  /** A limit that neither the client nor the origin server knows of. */
  "gateway-limit": (client) => {
    const metadata = new Metadata();
    metadata.set("x-limited", "yes");
    return unary(client, "Hang", "please", metadata, {});
  },
  "gateway-limit-stream": async (client) => {
    const metadata = new Metadata();
    metadata.set("x-limited", "yes");
    const result = await received(client.Endless("please", metadata, {}));
    return { code: result.code, details: result.details, some: result.messages.length > 0 };
  },

  "stop-serving": (client) => unary(client, "Echo", "health test.Peer 2"),
  serve: (client) => unary(client, "Echo", "health test.Peer 1"),

  reset: (client) => received(client.Reset("please", new Metadata(), patient())),
  cut: (client) => received(client.Cut("please", new Metadata(), patient())),
};

const authority = process.env["GRPC_CA"];
const security =
  authority === undefined ? credentials.createInsecure() : credentials.createSsl(readFileSync(authority));
const results = {};
for (const name of names) {
  const client = new PeerClient(address, security, { "grpc.enable_retries": 0 });
  results[name] = await scenarios[name](client);
  client.close();
}
console.log(JSON.stringify(results));
