/** Windows in both directions: RFC 9113 §5.2, §6.9. */
import { expect } from "bun:test";
import { type HostileClient, post } from "../hostile-client.ts";
import { connectionError, eitherError, expectAlive, type ServerCase, shows, streamError } from "../verdict.ts";
import {
  Code,
  DEFAULT_WINDOW,
  data,
  Flag,
  headers,
  MAX_WINDOW,
  paddedData,
  rstStream,
  Setting,
  settings,
  Type,
  windowUpdate,
} from "../wire.ts";

const window = (octets: number) => [[Setting.initialWindowSize, octets]] as const;
const open = (client: HostileClient, stream = 1, path = "/echo") =>
  client.send(headers(stream, post(path), Flag.endHeaders));

/** Sends content in frames of the largest size. */
function sendContent(client: HostileClient, stream: number, octets: number): void {
  for (let left = octets; left > 0; left -= 16_384) client.send(data(stream, Buffer.alloc(Math.min(left, 16_384))));
}

export const FLOW_CONTROL: readonly ServerCase[] = [
  // The server sends.
  shows(
    "9113 §6.9.2 no more than SETTINGS_INITIAL_WINDOW_SIZE is sent, and as much as each update adds",
    (client) => {
      client.request(1, "/octets/10");
      expect(client.answer(1)).toMatchObject({ status: 200, content: "x", ended: false });
      client.send(windowUpdate(1, 4));
      expect(client.answer(1)).toMatchObject({ content: "xxxxx", ended: false });
      client.send(windowUpdate(1, 100));
      expect(client.answer(1)).toMatchObject({ content: "xxxxxxxxxx", ended: true });
    },
    window(1),
  ),
  shows(
    "9113 §6.9.1 HEADERS are sent while the window is empty",
    (client) => {
      expect(client.request(1, "/octets/10").answer(1)).toMatchObject({ status: 200, content: "", ended: false });
      expect(client.request(3, "/status/204").answer(3)).toMatchObject({ status: 204, ended: true });
    },
    window(0),
  ),
  shows(
    "9113 §6.9.1 trailers wait for the content, not for a window",
    (client) => {
      client.request(1, "/trailers", ["te", "trailers"]).send(windowUpdate(1, 7));
      expect(client.answer(1)).toMatchObject({ content: "content", trailers: [["x-sum", "7"]], ended: true });
    },
    window(0),
  ),
  shows("9113 §6.9.1 all streams together send no more than the connection's window", (client) => {
    client.send(settings([Setting.initialWindowSize, MAX_WINDOW]));
    client.request(1, "/octets/50000").request(3, "/octets/50000");
    const sent = () => client.answer(1).content.length + client.answer(3).content.length;
    expect(sent()).toBe(DEFAULT_WINDOW);
    client.send(windowUpdate(0, 100));
    expect(sent()).toBe(DEFAULT_WINDOW + 100);
    client.send(windowUpdate(0, 1 << 20));
    expect([client.answer(1).ended, client.answer(3).ended, sent()]).toEqual([true, true, 100_000]);
  }),
  shows("9113 §5.2.1 a stream without window does not hold up others", (client) => {
    client.send(settings([Setting.initialWindowSize, 0])).request(1, "/octets/10");
    client.send(settings([Setting.initialWindowSize, 100])).send(settings([Setting.initialWindowSize, 0]));
    client.request(3, "/octets/10").send(windowUpdate(3, 10));
    expect(client.answer(3)).toMatchObject({ ended: true });
  }),
  shows("9113 §6.9.2 a larger SETTINGS_INITIAL_WINDOW_SIZE adds to open streams", (client) => {
    client.send(settings([Setting.initialWindowSize, 3])).request(1, "/octets/10");
    client.send(settings([Setting.initialWindowSize, 5]));
    expect(client.answer(1).content).toBe("xxxxx");
  }),
  shows("9113 §6.9.2 a smaller SETTINGS_INITIAL_WINDOW_SIZE makes windows negative", (client) => {
    client.send(settings([Setting.initialWindowSize, 3])).request(1, "/octets/10");
    client.send(settings([Setting.initialWindowSize, 1])); // The window is -2 now.
    client.send(windowUpdate(1, 2));
    expect(client.answer(1).content).toBe("xxx");
    client.send(windowUpdate(1, 1));
    expect(client.answer(1).content).toBe("xxxx");
  }),
  shows("9113 §6.9.2 SETTINGS_INITIAL_WINDOW_SIZE does not change the connection's window", (client) => {
    client.send(settings([Setting.initialWindowSize, 1 << 20])).request(1, "/octets/100000");
    expect(client.answer(1).content).toHaveLength(DEFAULT_WINDOW);
  }),
  shows("9113 §6.9.1 what a reset stream did not send stays for others", (client) => {
    client.request(1, "/octets/200000");
    expect(client.answer(1).content).toHaveLength(DEFAULT_WINDOW);
    client.send(rstStream(1)).request(3, "/octets/1000").send(windowUpdate(0, 1000));
    expect(client.answer(3)).toMatchObject({ ended: true });
    expect(client.answer(3).content).toHaveLength(1000);
  }),

  // The client's updates.
  streamError("9113 §6.9 an increment of 0 on a stream", Code.protocol, (client) =>
    open(client).send(windowUpdate(1, 0)),
  ),
  connectionError("9113 §6.9 an increment of 0 on the connection", Code.protocol, (client) =>
    client.send(windowUpdate(0, 0)),
  ),
  connectionError("9113 §6.9 an increment of which only the reserved bit is set", Code.protocol, (client) =>
    client.send(windowUpdate(0, 0x8000_0000)),
  ),
  streamError("9113 §6.9.1 a stream's window above 2^31-1", Code.flowControl, (client) =>
    open(client).send(windowUpdate(1, MAX_WINDOW)),
  ),
  streamError("9113 §6.9.1 a stream's window above 2^31-1 in two steps", Code.flowControl, (client) =>
    open(client).send(windowUpdate(1, MAX_WINDOW - DEFAULT_WINDOW), windowUpdate(1, 1)),
  ),
  connectionError("9113 §6.9.1 the connection's window above 2^31-1", Code.flowControl, (client) =>
    client.send(windowUpdate(0, MAX_WINDOW)),
  ),
  connectionError("9113 §6.9.1 the connection's window above 2^31-1 in two steps", Code.flowControl, (client) =>
    client.send(windowUpdate(0, MAX_WINDOW - DEFAULT_WINDOW), windowUpdate(0, 1)),
  ),
  connectionError("9113 §6.9.2 SETTINGS that bring a stream's window above 2^31-1", Code.flowControl, (client) =>
    open(client).send(
      windowUpdate(1, MAX_WINDOW - DEFAULT_WINDOW),
      settings([Setting.initialWindowSize, DEFAULT_WINDOW + 1]),
    ),
  ),
  shows("9113 §6.9.1 windows of exactly 2^31-1", (client) => {
    client.send(windowUpdate(0, MAX_WINDOW - DEFAULT_WINDOW));
    open(client, 1, "/echo").send(windowUpdate(1, MAX_WINDOW - DEFAULT_WINDOW), data(1, "abc", Flag.endStream));
    expect(client.answer(1)).toMatchObject({ content: "abc", ended: true });
    expect(client.goawayCode).toBeNull();
  }),

  // The server receives.
  eitherError("9113 §6.9.1 more content than the stream's window", Code.flowControl, (client) => {
    open(client, 1, "/untaken");
    sendContent(client, 1, client.streamWindow + client.increments(1) + 1);
  }),
  connectionError("9113 §6.9.1 more content than the connection's window", Code.flowControl, (client) => {
    let stream = 1;
    for (let left = client.connectionWindow + 1; left > 0; stream += 2) {
      const octets = Math.min(left, client.streamWindow);
      open(client, stream, "/untaken");
      sendContent(client, stream, octets);
      left -= octets;
    }
  }),
  eitherError("9113 §6.9.1 padding counts: more than the stream's window with it", Code.flowControl, (client) => {
    open(client, 1, "/untaken");
    let sent = 0;
    // 256 of 257 octets are padding and its length.
    while (sent <= client.streamWindow + client.increments(1) && client.connection.fate === "open") {
      client.send(paddedData(1, "x", 255));
      sent += 257;
    }
  }),
  shows("9113 §6.9.1 the window is used to its last octet", (client) => {
    open(client, 1, "/untaken");
    const octets = Math.min(client.streamWindow, client.connectionWindow);
    sendContent(client, 1, octets);
    expect(client.answer(1).reset).toBeNull();
    client.send(data(1, "", Flag.endStream));
    expect([client.answer(1).reset, client.goawayCode]).toEqual([null, null]);
  }),
  shows("9113 §5.2.2 content that nobody takes is not asked for", (client) => {
    open(client, 1, "/untaken");
    sendContent(client, 1, client.streamWindow);
    expect(client.increments(1)).toBe(0);
    client.send(rstStream(1));
    expectAlive(client);
  }),
  shows("9113 §6.9.1 content that is taken is asked for again, padding too", (client) => {
    open(client);
    const window = client.streamWindow;
    let sent = 0;
    while (sent < 3 * window) {
      const allowed = client.streamWindow + client.increments(1) - sent;
      expect(allowed).toBeGreaterThanOrEqual(257);
      client.send(paddedData(1, "x", 255));
      sent += 257;
    }
    expect(client.increments(1)).toBeGreaterThanOrEqual(sent - window);
    expect(client.increments(1)).toBeLessThanOrEqual(sent);
    client.send(data(1, "", Flag.endStream));
    expect(client.answer(1)).toMatchObject({ status: 200, reset: null });
  }),
  shows("9113 §6.9.1 the connection's window comes back when a stream is reset", (client) => {
    const window = client.connectionWindow;
    let sent = 0;
    for (let stream = 1; sent < 4 * window; stream += 2) {
      const octets = Math.min(client.streamWindow, DEFAULT_WINDOW);
      expect(window + client.increments(0) - (window - DEFAULT_WINDOW)).toBeGreaterThan(0);
      open(client, stream, "/untaken");
      sendContent(client, stream, octets);
      client.send(rstStream(stream));
      expect(client.goawayCode).toBeNull();
      sent += octets;
    }
    expectAlive(client);
  }),
  shows("9113 §6.9 no WINDOW_UPDATE of the server has an increment of 0", (client) => {
    client.upload(1, "abc").upload(3, "").request(5);
    for (const { payload } of client.of(Type.windowUpdate)) expect(payload.readUInt32BE(0)).toBeGreaterThan(0);
    expectAlive(client);
  }),
  shows("9113 §6.9.1 no window that the server gives is above 2^31-1", (client) => {
    expect(client.connectionWindow).toBeLessThanOrEqual(MAX_WINDOW);
    expect(client.streamWindow).toBeLessThanOrEqual(MAX_WINDOW);
  }),
];
