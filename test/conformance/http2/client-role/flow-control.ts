/** Windows in both directions, as a client must keep them: RFC 9113 §5.2, §6.9. */
import { expect } from "bun:test";
import { HandSource } from "../../../../src/protocol/http1/testing-bodies.ts";
import { type ClientCase, connectionError, eitherError, expectAlive, shows, streamError } from "../client-verdict.ts";
import { type HostileServer, OK } from "../hostile-server.ts";
import {
  Code,
  DEFAULT_WINDOW,
  data,
  Flag,
  headers,
  MAX_WINDOW,
  paddedData,
  Setting,
  settings,
  windowUpdate,
} from "../wire.ts";

const streamWindow = (server: HostileServer) => server.announced(Setting.initialWindowSize, DEFAULT_WINDOW);

function sendContent(server: HostileServer, stream: number, octets: number): void {
  for (let left = octets; left > 0; left -= 16_384)
    server.send(data(stream, Buffer.alloc(Math.min(left, 16_384), "x")));
}

/** A request whose response nobody takes. */
function untaken(server: HostileServer): number {
  const asked = server.ask();
  asked.takes = false;
  server.send(headers(asked.stream.id, OK, Flag.endHeaders));
  return asked.stream.id;
}

export const FLOW_CONTROL: readonly ClientCase[] = [
  streamError("9113 §6.9 an increment of 0 on a stream", Code.protocol, (server) => server.send(windowUpdate(1, 0))),
  connectionError("9113 §6.9 an increment of 0 on the connection", Code.protocol, (server) =>
    server.send(windowUpdate(0, 0)),
  ),
  streamError("9113 §6.9.1 a stream's window above 2^31-1", Code.flowControl, (server) =>
    server.send(windowUpdate(1, MAX_WINDOW)),
  ),
  connectionError("9113 §6.9.1 the connection's window above 2^31-1", Code.flowControl, (server) =>
    server.send(windowUpdate(0, MAX_WINDOW)),
  ),
  connectionError("9113 §6.9.2 SETTINGS that bring a stream's window above 2^31-1", Code.flowControl, (server) =>
    server.send(
      windowUpdate(1, MAX_WINDOW - DEFAULT_WINDOW),
      settings([Setting.initialWindowSize, DEFAULT_WINDOW + 1]),
    ),
  ),
  eitherError("9113 §6.9.1 more content than the stream's window", Code.flowControl, (server, asked) => {
    asked.takes = false;
    server.send(headers(1, OK, Flag.endHeaders));
    sendContent(server, 1, streamWindow(server) + 1);
  }),
  connectionError("9113 §6.9.1 more content than the connection's window", Code.flowControl, (server) => {
    let left = DEFAULT_WINDOW + server.increments(0) + 1;
    while (left > 0 && server.connection.fate === "open") {
      const octets = Math.min(left, streamWindow(server));
      sendContent(server, untaken(server), octets);
      left -= octets;
    }
  }),
  shows(
    "9113 §6.9.2 an upload keeps to SETTINGS_INITIAL_WINDOW_SIZE and to each update",
    (server) => {
      server.post("0123456789");
      expect([server.content(1), server.ended(1)]).toEqual(["0", false]);
      server.send(windowUpdate(1, 4));
      expect(server.content(1)).toBe("01234");
      server.send(windowUpdate(1, 100));
      expect([server.content(1), server.ended(1)]).toEqual(["0123456789", true]);
    },
    [[Setting.initialWindowSize, 1]],
  ),
  shows("9113 §6.9.2 an upload begun before the server's SETTINGS keeps to what they say", (server) => {
    server.post("a".repeat(10));
    server.send(settings([Setting.initialWindowSize, 3]));
    server.post("b".repeat(10));
    expect([server.content(1).length, server.content(3)]).toEqual([10, "bbb"]);
  }),
  shows(
    "9113 §6.9.2 a window that SETTINGS make negative",
    (server) => {
      server.post("0123456789");
      server.send(settings([Setting.initialWindowSize, 1]), windowUpdate(1, 2));
      expect(server.content(1)).toBe("012");
      server.send(windowUpdate(1, 1));
      expect(server.content(1)).toBe("0123");
      server.send(settings([Setting.initialWindowSize, 3]));
      expect(server.content(1)).toBe("012345");
    },
    [[Setting.initialWindowSize, 3]],
  ),
  shows(
    "9113 §6.9.1 uploads together keep to the connection's window, and share it",
    (server) => {
      const [one, two] = [new HandSource(), new HandSource()];
      server.ask("/", { method: "POST", body: one });
      server.ask("/", { method: "POST", body: two });
      one.write("1".repeat(60_000));
      two.write("2".repeat(60_000));
      server.receive();
      expect(server.content(1).length + server.content(3).length).toBe(DEFAULT_WINDOW);
      expect(two.paused).toBe(true);
      one.write("1".repeat(60_000));
      expect(one.paused).toBe(true);
      server.send(windowUpdate(0, 40_000));
      expect(server.content(1).length + server.content(3).length).toBe(DEFAULT_WINDOW + 40_000);
      expect(server.content(1).length).toBeGreaterThan(65_000);
      expect(server.content(3).length).toBeGreaterThan(15_000);
    },
    [[Setting.initialWindowSize, 1 << 20]],
  ),
  shows(
    "9113 §5.2.1 an upload without window does not hold up others",
    (server) => {
      const body = new HandSource();
      server.ask("/", { method: "POST", body });
      body.write("a".repeat(20));
      expect(body.paused).toBe(true);
      server.ask("/other");
      server.post("b".repeat(5));
      expect([server.ended(3), server.content(5), server.ended(5)]).toEqual([true, "bbbbb", true]);
      server.send(windowUpdate(1, 100));
      expect([body.paused, server.content(1).length]).toEqual([false, 20]);
    },
    [[Setting.initialWindowSize, 10]],
  ),
  shows("9113 §5.2.2 content that nobody takes is held within the stream's window, and not asked for", (server) => {
    const asked = server.ask();
    asked.takes = false;
    server.send(headers(1, OK, Flag.endHeaders));
    sendContent(server, 1, streamWindow(server));
    expect(server.increments(1)).toBe(0);
    asked.take();
    server.receive();
    expect(asked.content.length).toBe(streamWindow(server));
    expect(server.increments(1)).toBeGreaterThan(0);
    server.send(data(1, "", Flag.endStream));
    expect(asked.ended).toBe("end");
    expectAlive(server);
  }),
  shows("9113 §5.2.2 a taker that pauses gets nothing until it resumes", (server) => {
    const asked = server.ask();
    server.send(headers(1, OK, Flag.endHeaders), data(1, "abc"));
    asked.flow!.pause();
    server.send(data(1, "def"), data(1, "ghi", Flag.endStream));
    expect([asked.content, asked.ended]).toEqual(["abc", ""]);
    asked.flow!.resume();
    expect([asked.content, asked.ended, asked.completed]).toEqual(["abcdefghi", "end", "end"]);
    expectAlive(server);
  }),
  shows("9113 §6.9.1 content that is taken is asked for again, padding too", (server) => {
    const asked = server.ask();
    server.send(headers(1, OK, Flag.endHeaders));
    const window = streamWindow(server);
    let sent = 0;
    for (; sent < 3 * window; sent += 257) {
      expect(window + server.increments(1) - sent).toBeGreaterThanOrEqual(257);
      server.send(paddedData(1, "x", 255));
    }
    expect(server.increments(1)).toBeLessThanOrEqual(sent);
    server.send(data(1, "", Flag.endStream));
    expect([asked.content.length, asked.ended]).toEqual([sent / 257, "end"]);
    expectAlive(server);
  }),
  shows("9113 §6.9.1 what a cancelled response held goes back to the connection's window", (server) => {
    const window = DEFAULT_WINDOW + server.increments(0);
    let sent = 0;
    while (sent < 3 * window) {
      const asked = server.ask();
      asked.takes = false;
      const { id } = asked.stream;
      server.send(headers(id, OK, Flag.endHeaders));
      sendContent(server, id, Math.min(streamWindow(server), 60_000));
      sent += Math.min(streamWindow(server), 60_000);
      asked.stream.cancel();
      server.receive();
      expect(DEFAULT_WINDOW + server.increments(0) - sent).toBeGreaterThan(60_000);
    }
    expectAlive(server);
  }),
];
