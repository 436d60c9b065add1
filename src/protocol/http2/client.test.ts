/** What the RFCs leave to a client: time limits, room, keeping alive, ends, faults. The RFCs' own rules are in test/conformance/http2. */
import { expect, test } from "bun:test";
import { HostileServer, OK, ok } from "../../../test/conformance/http2/hostile-server.ts";
import {
  Code,
  data,
  Flag,
  goaway,
  headers,
  ping,
  rstStream,
  Setting,
  settings,
  Type,
  windowUpdate,
} from "../../../test/conformance/http2/wire.ts";
import { Failure } from "../../base/failure.ts";
import { clock, timerList } from "../../base/timer.ts";
import { NO_BODY } from "../../http/body.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpRequest } from "../../http/message.ts";
import { queuedOctets } from "../../net/send-queue.ts";
import { pass, settle } from "../http1/testing.ts";
import { HandSource } from "../http1/testing-bodies.ts";

const begin = (server: HostileServer, stream = 1) => server.send(headers(stream, OK, Flag.endHeaders));

// ── time limits ──────────────────────────────────────────────────────────────────────────────

test("no response within the limit: the stream is reset, the connection goes on", () => {
  const server = HostileServer.connected();
  const asked = server.ask("/", { limits: { firstOctetMs: 1000 } });
  pass(999);
  expect(asked.failed).toBe("");
  pass(1);
  expect([asked.failed, server.receive().resetCode(1)]).toEqual(["upstream-first-octet-timeout", Code.cancel]);
  expect(server.connection.fate).toBe("open");
});

test("the limit for the response begins when the request is complete: a slow client is not the endpoint's fault", () => {
  const server = HostileServer.connected();
  const body = new HandSource();
  const asked = server.ask("/", { method: "POST", body, limits: { firstOctetMs: 1000 } });
  pass(5000);
  body.write("abc").end();
  expect(asked.failed).toBe("");
  pass(1000);
  expect(asked.failed).toBe("upstream-first-octet-timeout");
});

test("an endpoint that takes nothing of a request is as late as one that says nothing", () => {
  const server = new HostileServer().send(settings([Setting.initialWindowSize, 2]));
  const body = new HandSource();
  const asked = server.ask("/", { method: "POST", body, limits: { firstOctetMs: 1000 } });
  body.write("abc");
  server.receive();
  pass(900);
  server.send(windowUpdate(1, 1));
  body.write("d");
  pass(900);
  expect(asked.failed).toBe("");
  pass(200);
  expect([asked.failed, body.cancelled?.code]).toEqual([
    "upstream-first-octet-timeout",
    "upstream-first-octet-timeout",
  ]);
});

test("content that stops coming is cut after the idle limit, which each piece starts anew", () => {
  const server = HostileServer.connected();
  const asked = server.ask("/", { limits: { idleMs: 1000 } });
  begin(server);
  pass(900);
  server.send(data(1, "abc"));
  pass(900);
  expect(asked.ended).toBe("");
  pass(100);
  expect(asked).toMatchObject({ content: "abc", ended: "upstream-idle-timeout", completed: "upstream-idle-timeout" });
  expect(server.receive().resetCode(1)).toBe(Code.cancel);
});

test("while the taker pauses no time counts against the endpoint", () => {
  const server = HostileServer.connected();
  const asked = server.ask("/", { limits: { idleMs: 1000 } });
  begin(server).send(data(1, "abc"));
  asked.flow!.pause();
  pass(5000);
  server.send(data(1, "def"));
  pass(5000);
  asked.flow!.resume();
  expect([asked.content, asked.ended]).toEqual(["abcdef", ""]);
  pass(1000);
  expect(asked.ended).toBe("upstream-idle-timeout");
});

test("a stream that a response without content leaves open does not stay open for ever", () => {
  const server = HostileServer.connected();
  const asked = server.ask("/", { method: "HEAD", limits: { idleMs: 1000 } });
  begin(server);
  expect([asked.completed, server.client.engine.openStreams]).toEqual(["end", 1]);
  pass(1000);
  expect([server.receive().resetCode(1), server.client.engine.openStreams]).toEqual([Code.cancel, 0]);
});

test("a tunnel knows no time limit of the endpoint's", () => {
  const server = HostileServer.connected();
  const asked = server.ask("a.test:443", { method: "CONNECT", limits: { firstOctetMs: 1000, idleMs: 1000 } });
  begin(server);
  pass(100_000);
  expect([asked.status, asked.ended]).toEqual([200, ""]);
});

// ── room, and what the owner hears ───────────────────────────────────────────────────────────

test("the owner hears of the settings, of each stream that ends, of leaving and of the end", () => {
  const server = new HostileServer();
  server.ask();
  expect([server.client.engine.isReady, server.events]).toEqual([false, []]);
  server.send(settings([Setting.maxConcurrentStreams, 1]));
  expect([server.client.engine.isReady, server.events, server.client.capacity]).toEqual([true, ["ready"], 0]);
  server.answer(1);
  expect(server.events).toEqual(["ready", "room"]);
  server.ask();
  server.send(settings([Setting.maxConcurrentStreams, 5]));
  expect([server.events.length, server.client.capacity]).toEqual([3, 4]);
  server.send(goaway(3));
  expect(server.events.slice(3)).toEqual(["leaving"]);
  server.answer(3);
  expect(server.events.slice(3)).toEqual(["leaving", "gone"]);
});

test("our own limit of streams holds although the server would take more", () => {
  const server = HostileServer.with({ maxStreams: 2 });
  expect(server.client.capacity).toBe(2);
  server.ask();
  server.ask();
  expect([server.client.capacity, server.ask().failed]).toEqual([0, "upstream-refused"]);
});

test("a request that finds no room may be tried elsewhere whatever its method: nothing was sent", () => {
  const server = HostileServer.with({ maxStreams: 0 });
  const body = new HandSource();
  const asked = server.ask("/", { method: "POST", body });
  expect([asked.failed, asked.failure?.retry, body.taken]).toEqual(["upstream-refused", "connect", false]);
});

test("a connection without streams rests for its time, then says good-bye and closes", () => {
  const server = HostileServer.connected();
  server.client.engine.rest(timerList(5000));
  pass(4999);
  expect(server.connection.fate).toBe("open");
  pass(1);
  expect([server.connection.fate, server.receive().goawayCode, server.events.at(-1)]).toEqual(["closed", 0, "gone"]);
});

test("a request ends the rest", () => {
  const server = HostileServer.connected();
  server.client.engine.rest(timerList(5000));
  server.ask();
  pass(6000);
  expect(server.connection.fate).toBe("open");
});

test("a connection that is retired takes nothing more, and closes after its last stream", () => {
  const server = HostileServer.connected();
  const asked = server.ask();
  server.client.engine.retire();
  expect([server.client.capacity, server.connection.fate]).toEqual([0, "open"]);
  server.answer(1, "abc");
  expect([asked.completed, server.connection.fate]).toEqual(["end", "closed"]);
});

// ── is it alive? ─────────────────────────────────────────────────────────────────────────────

const pinging = () => HostileServer.with({ pingTime: timerList(3000), pingAnswerTime: timerList(1000) });

test("silence while streams are open is met with PING, and an answer ends the doubt", () => {
  const server = pinging();
  const asked = server.ask();
  pass(3000);
  const [question] = server.receive().of(Type.ping);
  server.send(ping(question!.payload.toString("latin1"), Flag.ack));
  pass(2999);
  expect([asked.failed, server.receive().of(Type.ping).length]).toEqual(["", 1]);
  pass(1);
  expect(server.receive().of(Type.ping)).toHaveLength(2);
});

test("without any sign of life the connection is given up, and what is under way fails", () => {
  const server = pinging();
  const [one, three] = [server.ask(), server.ask()];
  begin(server, 3);
  pass(3000);
  pass(1000);
  expect([one.failed, three.ended, server.connection.fate]).toEqual([
    "upstream-reset",
    "upstream-truncated",
    "destroyed",
  ]);
});

test("a connection without streams is not pinged", () => {
  const server = pinging();
  server.ask();
  server.answer(1);
  pass(60_000);
  expect([server.receive().of(Type.ping), server.connection.fate]).toEqual([[], "open"]);
});

// ── being called off ─────────────────────────────────────────────────────────────────────────

test("an exchange that is called off hears nothing more, and costs its stream only", () => {
  const server = HostileServer.connected();
  const body = new HandSource();
  const asked = server.ask("/", { method: "POST", body });
  asked.stream.cancel();
  server.answer(1, "abc");
  expect([asked.failed, asked.completed, asked.status]).toEqual(["", "", 0]);
  expect([server.resetCode(1), body.cancelled?.code, server.connection.fate]).toEqual([
    Code.cancel,
    "client-closed",
    "open",
  ]);
  expect(server.client.capacity).toBe(100);
});

test("content that is not wanted any more is called off with RST_STREAM", () => {
  const server = HostileServer.connected();
  const asked = server.ask();
  begin(server).send(data(1, "abc"));
  asked.flow!.cancel(new Failure("client-closed", "gone"));
  expect([server.receive().resetCode(1), asked.completed, asked.ended]).toEqual([Code.cancel, "client-closed", ""]);
  server.send(data(1, "def", Flag.endStream));
  expect([asked.content, server.connection.fate]).toEqual(["abc", "open"]);
});

test("a response that is stopped looks cut", () => {
  const server = HostileServer.connected();
  const asked = server.ask();
  begin(server).send(data(1, "abc"));
  asked.stream.stop(new Failure("exchange-timeout", "too long"));
  expect([asked.ended, asked.completed, server.receive().resetCode(1)]).toEqual([
    "exchange-timeout",
    "exchange-timeout",
    Code.cancel,
  ]);
});

test("content held for a taker that never comes is dropped when it is called off, its window given back", () => {
  const server = HostileServer.connected();
  const asked = server.ask();
  asked.takes = false;
  begin(server);
  for (let n = 0; n < 6; n++) server.send(data(1, Buffer.alloc(16_000), n === 5 ? Flag.endStream : 0));
  const before = server.increments(0);
  asked.response!.body.sendTo({
    begin: (flow) => flow.cancel(new Failure("client-closed", "gone")),
    write() {},
    end() {},
    abort() {},
  });
  // Half of the window has to come together before it is given back.
  const other = server.ask();
  begin(server, 3);
  for (let n = 0; n < 4; n++) server.send(data(3, Buffer.alloc(16_000), n === 3 ? Flag.endStream : 0));
  expect([other.ended, server.increments(0) - before]).toEqual(["end", 6 * 16_000 + 2 * 16_000]);
});

test.each([
  ["called off", "cancel"],
  ["stopped", "stop"],
] as const)("complete content that is still held is dropped when an upload that goes on is %s", (_, how) => {
  const before = queuedOctets();
  const server = HostileServer.connected();
  const asked = server.post(new HandSource());
  begin(server).send(data(1, "abc"));
  asked.flow!.pause();
  server.send(data(1, "def", Flag.endStream));
  expect(queuedOctets() - before).toBe(3);
  if (how === "cancel") asked.stream.cancel();
  else asked.stream.stop(new Failure("exchange-timeout", "too long"));
  expect([server.receive().resetCode(1), queuedOctets() - before]).toEqual([Code.cancel, 0]);
  expect(asked.ended).toBe(how === "cancel" ? "client-closed" : "exchange-timeout");
});

// ── ends of the connection ───────────────────────────────────────────────────────────────────

test("the end of the connection says how far each exchange got", () => {
  for (const [lose, before, within] of [
    [(server: HostileServer) => server.connection.end(), "upstream-closed", "upstream-truncated"],
    [(server: HostileServer) => server.connection.lose(), "upstream-reset", "upstream-truncated"],
  ] as const) {
    const server = HostileServer.connected();
    const [one, three, five] = [server.ask(), server.ask(), server.ask()];
    begin(server, 3).send(data(3, "abc"));
    server.answer(5, "whole");
    lose(server);
    expect([one.failed, three.ended, three.completed, five.completed]).toEqual([before, within, within, "end"]);
    expect([server.events.at(-1), server.client.capacity]).toEqual(["gone", 0]);
  }
});

test("an upload whose connection is lost is called off", () => {
  const server = HostileServer.connected();
  const body = new HandSource();
  server.ask("/", { method: "POST", body });
  body.write("abc");
  server.connection.lose();
  expect(body.cancelled?.code).toBe("upstream-reset");
});

test("a request that is made from within the failure of another finds a connection that takes nothing", () => {
  const server = HostileServer.connected();
  const asked = server.ask();
  let again = "";
  asked.onFailed = () => {
    again = server.ask().failed;
  };
  server.connection.lose();
  expect(again).toBe("upstream-refused");
});

test("complete content that is still held survives the end of the connection", () => {
  const server = HostileServer.connected();
  const asked = server.ask();
  begin(server).send(data(1, "abc"));
  asked.flow!.pause();
  server.send(data(1, "def", Flag.endStream));
  server.connection.end();
  asked.flow!.resume();
  expect([asked.content, asked.ended]).toEqual(["abcdef", "end"]);
});

// ── faults ───────────────────────────────────────────────────────────────────────────────────

test("a taker that throws costs its own stream", () => {
  const server = HostileServer.connected();
  const [one, three] = [server.ask(), server.ask()];
  one.whenTold = () => {
    throw new Error("a fault of ours");
  };
  begin(server);
  expect([server.resetCode(1), server.events.at(-2)]).toEqual([Code.internal, "fault a fault of ours"]);
  server.answer(3, "abc");
  expect(three.completed).toBe("end");
});

test("answers that nobody reads are not written without end", () => {
  const server = HostileServer.with({ floods: { frames: 1e6, framesPerSecond: 0 } });
  const asked = server.ask();
  server.connection.stall();
  for (let n = 0; n < 1100; n++) server.send(ping());
  expect(asked.failed).toBe("upstream-malformed");
  expect(server.connection.fate).not.toBe("open");
});

// ── sending ──────────────────────────────────────────────────────────────────────────────────

test("uploads pause while the kernel takes nothing, and take turns when it does", () => {
  const server = HostileServer.connected([Setting.initialWindowSize, 1 << 20]).send(windowUpdate(0, 1 << 20));
  const [one, two] = [new HandSource(), new HandSource()];
  server.connection.stall();
  server.ask("/", { method: "POST", body: one });
  server.ask("/", { method: "POST", body: two });
  one.write("1".repeat(100_000));
  two.write("2".repeat(100_000));
  expect([one.paused, two.paused]).toEqual([true, true]);
  server.connection.giveRoom();
  server.receive();
  expect([server.content(1).length, server.content(3).length]).toEqual([100_000, 100_000]);
  expect([one.paused, two.paused]).toEqual([false, false]);
  // Neither waited for the whole of the other.
  const order = server.of(Type.data).map(({ stream }) => stream);
  expect(order.lastIndexOf(1)).toBeGreaterThan(order.indexOf(3));
});

test("what belongs together leaves together: head, content and end of a small request are two frames", () => {
  const server = HostileServer.connected();
  server.post("abc");
  expect(
    server.frames.filter(({ stream }) => stream === 1).map(({ type, flags }) => [type, flags & Flag.endStream]),
  ).toEqual([
    [Type.headers, 0],
    [Type.data, Flag.endStream],
  ]);
});

test("when the request was complete is known for the latency of the endpoint", () => {
  const server = HostileServer.connected();
  const body = new HandSource();
  const asked = server.ask("/", { method: "POST", body });
  expect(asked.stream.requestCompleteAt).toBe(0);
  pass(1000);
  body.end();
  expect(asked.stream.requestCompleteAt).toBe(clock.now);
  expect(server.client.engine.requests).toBe(1);
});

test("what the gateway adds follows the fields, and content that is empty but declared says so", () => {
  const server = HostileServer.connected();
  const request = new HttpRequest("POST", "http", "a.test", "/", FieldSection.of({ "x-a": "b" }), NO_BODY);
  request.gatewayFields = FieldSection.of({ Via: "1.1 lintel" });
  request.hasEmptyContent = true;
  server.client.ask(request, server.ask());
  settle();
  expect(server.receive().head(3).slice(4)).toEqual([
    ["x-a", "b"],
    ["via", "1.1 lintel"],
    ["content-length", "0"],
  ]);
  expect(server.ended(3)).toBe(true);
});

test("a stream that was refused in the middle of its upload calls that off", () => {
  const server = HostileServer.connected();
  const body = new HandSource();
  const asked = server.ask("/", { method: "POST", body });
  body.write("abc");
  server.receive().send(rstStream(1, Code.refused));
  expect([asked.failed, body.cancelled?.code]).toEqual(["upstream-refused", "upstream-refused"]);
});

test("a length that was declared is handed on, and the content counted", () => {
  const server = HostileServer.connected();
  const asked = server.ask();
  server.send(headers(1, ok(["content-length", "6"]), Flag.endHeaders), data(1, "abc"), data(1, "def", Flag.endStream));
  expect([asked.response!.body.length, asked.response!.receivedVersion, asked.content]).toEqual([6, "2", "abcdef"]);
});
