import { afterEach, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { ask, formatServer } from "./exchange.ts";
import { RecordType } from "./message.ts";
import { a, answerTo, type Script, ScriptedDns, until } from "./testing.ts";

const question = { name: "app.test", type: RecordType.A };
let peer: ScriptedDns | null = null;
afterEach(() => {
  peer?.[Symbol.dispose]();
  peer = null;
});

async function asking(script: Script, timeoutMs = 5000, signal = new AbortController().signal) {
  peer = await ScriptedDns.start(script);
  return ask({ host: "127.0.0.1", port: peer.port }, question, { timeoutMs, signal });
}

const truth = (name = "app.test") => [a(name, "192.0.2.1")];

test("a server's address is written with its port, IPv6 in brackets", () => {
  expect(formatServer({ host: "::1", port: 53 })).toBe("[::1]:53");
  expect(formatServer({ host: "127.0.0.1", port: 53 })).toBe("127.0.0.1:53");
});

test("an answer over UDP is enough", async () => {
  const { answers } = await asking((asked) => [answerTo(asked, { answers: truth() })]);
  expect(answers).toMatchObject([{ address: "192.0.2.1" }]);
  expect(peer!.asked.map(({ over, name }) => `${over} ${name}`)).toEqual(["udp app.test"]);
});

test("each query has another id and another port (RFC 5452 §9.2)", async () => {
  await asking((asked) => [answerTo(asked)]);
  const limits = { timeoutMs: 5000, signal: new AbortController().signal };
  for (let i = 0; i < 19; i++) await ask({ host: "127.0.0.1", port: peer!.port }, question, limits);
  expect(new Set(peer!.asked.map(({ id }) => id)).size).toBeGreaterThan(15);
  expect(new Set(peer!.clientPorts).size).toBeGreaterThan(15);
});

test("an answer that did not fit is asked for over TCP (RFC 7766 §5)", async () => {
  const many = Array.from({ length: 200 }, (_, i) => a("app.test", `192.0.2.${i}`));
  const { answers } = await asking((asked) => [
    asked.over === "udp" ? answerTo(asked, { truncated: true }) : answerTo(asked, { answers: many }),
  ]);
  expect(answers).toHaveLength(200);
  expect(peer!.asked.map(({ over }) => over)).toEqual(["udp", "tcp"]);
});

test("a server from before EDNS is asked without it (RFC 6891 §7)", async () => {
  const hasOptions = (octets: Buffer) => octets.readUInt16BE(10) === 1;
  const { answers } = await asking((asked) => [
    hasOptions(asked.octets) ? answerTo(asked, { code: 1, bare: true }) : answerTo(asked, { answers: truth() }),
  ]);
  expect(answers).toHaveLength(1);
});

test.each<[string, Script]>([
  ["to another name", (asked) => [answerTo(asked, { name: "evil.test", answers: truth("evil.test") })]],
  ["to another type", (asked) => [answerTo(asked, { type: RecordType.AAAA })]],
  ["without its question", (asked) => [answerTo(asked, { bare: true, answers: truth() })]],
  ["that is malformed", (asked) => [answerTo(asked, { answers: truth() }).subarray(0, -2)]],
  ["that is a query", (asked) => [asked.octets]],
  ["of no octets", () => [new Uint8Array(0)]],
])("an answer %s is passed over, and the right one behind it is taken", async (_, wrong) => {
  const { answers } = await asking((asked) => [...wrong(asked), answerTo(asked, { answers: truth() })]);
  expect(answers).toMatchObject([{ name: "app.test", address: "192.0.2.1" }]);
});

test("an answer with a wrong id is a guess: TCP, which cannot be guessed, has the word (RFC 5452 §9)", async () => {
  const guess = (asked: { id: number; name: string; type: number }) =>
    answerTo(asked, { id: (asked.id + 1) & 0xffff, answers: [a("app.test", "203.0.113.66")] });
  const { answers } = await asking((asked) =>
    asked.over === "udp" ? [guess(asked), guess(asked)] : [answerTo(asked, { answers: truth() })],
  );
  expect(answers).toMatchObject([{ address: "192.0.2.1" }]);
});

test("datagrams from elsewhere do not reach a query", async () => {
  const forger = createSocket("udp4");
  const answered = asking((asked) => {
    const port = peer!.clientPorts.at(-1)!;
    const tellTruth = () => setTimeout(() => peer!.say(answerTo(asked, { answers: truth() }), port), 20);
    forger.send(answerTo(asked, { answers: [a("app.test", "203.0.113.66")] }), port, "127.0.0.1", tellTruth);
    return [];
  });
  expect((await answered).answers).toMatchObject([{ address: "192.0.2.1" }]);
  forger.close();
});

test("a server that is silent is given up after the time limit", async () => {
  await expect(asking(() => [], 100)).rejects.toThrow(/^127\.0\.0\.1:\d+ did not answer within 100 ms$/);
});

test("a port where nothing listens is known at once", async () => {
  peer = await ScriptedDns.start(() => []);
  const { port } = peer;
  peer[Symbol.dispose]();
  peer = null;
  const limits = { timeoutMs: 5000, signal: new AbortController().signal };
  await expect(ask({ host: "127.0.0.1", port }, question, limits)).rejects.toThrow("cannot be asked: ECONNREFUSED");
});

test.each<[string, Script, string]>([
  ["is cut short again", (asked) => [answerTo(asked, { truncated: true })], "cut its answer short over TCP"],
  [
    "answers something else",
    (asked) => [answerTo(asked, asked.over === "udp" ? { truncated: true } : { name: "other.test" })],
    "sent not an answer over TCP",
  ],
  ["is silent", (asked) => (asked.over === "udp" ? [answerTo(asked, { truncated: true })] : []), "did not answer"],
])("a server that %s over TCP fails", async (_, script, message) => {
  await expect(asking(script, 300)).rejects.toThrow(message);
});

test("a server that closes its TCP connection without an answer fails", async () => {
  // The scripted server keeps its connections; this one takes its TCP port's place.
  const script: Script = (asked) => [answerTo(asked, { truncated: true })];
  const udp = await ScriptedDns.start(script, { tcp: false });
  peer = udp;
  const closer = createServer((socket) => socket.end());
  await new Promise<void>((resolve) => closer.listen(udp.port, "127.0.0.1", resolve));
  const limits = { timeoutMs: 5000, signal: new AbortController().signal };
  await expect(ask({ host: "127.0.0.1", port: udp.port }, question, limits)).rejects.toThrow(
    "closed the connection before",
  );
  closer.close();
});

test("a question is called off by its signal, before and while it is asked", async () => {
  const stop = new AbortController();
  const asked = asking(() => [], 60_000, stop.signal);
  await until(() => peer !== null && peer.asked.length === 1);
  stop.abort(new Error("stopped"));
  await expect(asked).rejects.toThrow("stopped");
  const limits = { timeoutMs: 5000, signal: stop.signal };
  await expect(ask({ host: "127.0.0.1", port: 1 }, question, limits)).rejects.toThrow("stopped");
});

test("a server may be given by name", async () => {
  peer = await ScriptedDns.start((asked) => [answerTo(asked, { answers: truth() })]);
  const limits = { timeoutMs: 5000, signal: new AbortController().signal };
  expect((await ask({ host: "localhost", port: peer.port }, question, limits)).answers).toHaveLength(1);
});
