/**
 * How exchanges behave, whatever protocols the client and the origin server speak: the engine's
 * promises as a table. Each is told of one lane (lane.ts) and run in all of them.
 */
import { expect } from "bun:test";
import { createHash } from "node:crypto";
import type { Lane } from "./lane.ts";

export interface Behaviour {
  readonly name: string;
  /** Some need what not every lane has. */
  readonly holdsIn?: (lane: Lane) => boolean;
  run(lane: Lane): Promise<void>;
}

const MIB = 1 << 20;
/** More than all buffers on the way hold. */
const LARGE = 48 * MIB;

const sha1s = new Map<number, string>();
/** Of the content that all programs of the matrix can make: octet i is i modulo 251. */
function sha1Of(octets: number): string {
  let known = sha1s.get(octets);
  if (known === undefined) {
    const period = Buffer.from(Array.from({ length: 251 * 64 }, (_, i) => i % 251));
    const hash = createHash("sha1");
    for (let at = 0; at < octets; at += period.length)
      hash.update(period.subarray(0, Math.min(period.length, octets - at)));
    known = hash.digest("hex");
    sha1s.set(octets, known);
  }
  return known;
}

const EMPTY = sha1Of(0);

export const behaviours: readonly Behaviour[] = [
  // ── heads ────────────────────────────────────────────────────────────────────────────────
  ...["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"].map((method) => ({
    name: `${method} is relayed`,
    async run(lane: Lane) {
      const exchange = lane.begin("/echo?a=1&b=%2F", { method });
      expect((await exchange.head()).status).toBe(200);
      expect(await exchange.sees("head")).toMatchObject({
        method,
        target: "/echo?a=1&b=%2F",
        authority: lane.upstream.host,
      });
      expect(await exchange.sees("content")).toMatchObject({ octets: 0 });
      expect(await exchange.over()).toMatchObject({ complete: true, text: "0 octets" });
    },
  })),
  {
    name: "the origin server is spoken to in the upstream's protocol, with the connection's scheme",
    async run(lane) {
      const exchange = lane.begin("/echo");
      const seen = await exchange.sees("head");
      const { version, isSecure } = lane.upstream;
      expect(seen).toMatchObject({ version: version === "2" ? "2.0" : "1.1", secure: isSecure });
      if (version === "2") expect(seen["scheme"]).toBe(isSecure ? "https" : "http");
      await exchange.over();
    },
  },
  {
    name: "fields go both ways, and what a gateway has to say is added (RFC 9110 §7.6.3)",
    async run(lane) {
      const exchange = lane.begin("/cookies", { fields: { "x-own": "a  b", cookie: "c=1; d=2", te: "trailers" } });
      const { downstream, upstream } = lane;
      const { fields } = (await exchange.sees("head")) as unknown as { fields: Record<string, string> };
      expect(fields).toMatchObject({
        "x-own": "a  b",
        cookie: "c=1; d=2",
        via: `${downstream.version} lintel`,
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": downstream.isSecure ? "https" : "http",
        "x-forwarded-host": upstream.host,
        te: "trailers",
      });
      const head = await exchange.head();
      expect(head.fields).toMatchObject({ "x-twice": "one, two", via: `${upstream.version} lintel` });
      expect(head.fields["set-cookie"]).toEqual(["a=1; Path=/", "b=2; Path=/"]);
      await exchange.over();
    },
  },
  {
    name: "a large field goes both ways, one that is too large is refused (RFC 6585 §5)",
    async run(lane) {
      const exchange = lane.begin("/echo", { fields: { "x-large": "v".repeat(6000) } });
      expect(((await exchange.sees("head"))["fields"] as Record<string, string>)["x-large"]).toHaveLength(6000);
      await exchange.over();
      const tooLarge = lane.begin("/echo", { fields: { "x-large": "v".repeat(40_000) } });
      expect((await tooLarge.head()).status).toBe(431);
      expect(tooLarge.wasSeen("head")).toBe(false);
    },
  },
  // ── request content ──────────────────────────────────────────────────────────────────────
  ...[0, 1, 100, 16_384, 65_536, 3 * MIB + 17].flatMap((octets) =>
    [true, false].map((length) => ({
      name: `request content of ${octets} octets ${length ? "with a" : "without"} length arrives whole`,
      async run(lane: Lane) {
        const exchange = lane.begin("/echo", { method: "POST", content: { octets, length } });
        expect(await exchange.sees("content")).toMatchObject({ octets, sha1: sha1Of(octets) });
        if (length) {
          const { fields } = (await exchange.sees("head")) as unknown as { fields: Record<string, string> };
          expect(fields["content-length"]).toBe(String(octets));
        }
        expect(await exchange.over()).toMatchObject({ complete: true, text: `${octets} octets` });
      },
    })),
  ),
  {
    name: "request trailers arrive (RFC 9110 §6.5)",
    async run(lane) {
      const exchange = lane.begin("/echo", { method: "POST", content: "open", fields: { trailer: "x-sum" } });
      exchange.send("content");
      exchange.end({ "x-sum": "7" });
      expect(await exchange.sees("content")).toMatchObject({ octets: 7, trailers: { "x-sum": "7" } });
      await exchange.over();
    },
  },
  {
    name: "Expect: the origin server's 100 comes before the content (RFC 9110 §10.1.1)",
    async run(lane) {
      const exchange = lane.begin("/echo", { method: "POST", content: "open", fields: { expect: "100-continue" } });
      await exchange.interim(100);
      expect(exchange.wasSeen("content")).toBe(false);
      exchange.send("now");
      exchange.end();
      expect(await exchange.over()).toMatchObject({ complete: true, text: "3 octets" });
    },
  },
  {
    name: "a response may come before the request is complete, and the rest of it still arrives or is not needed",
    async run(lane) {
      const exchange = lane.begin("/early", { method: "POST", content: "open" });
      exchange.send("begin");
      expect((await exchange.head()).status).toBe(403);
      exchange.end();
      expect(await exchange.over()).toMatchObject({ complete: true, text: "early" });
    },
  },
  // ── response content ─────────────────────────────────────────────────────────────────────
  ...[0, 1, 100, 16_384, 65_536, 5 * MIB + 3].flatMap((octets) =>
    ["octets", "stream"].map((kind) => ({
      name: `response content of ${octets} octets ${kind === "octets" ? "with a" : "without"} length arrives whole`,
      async run(lane: Lane) {
        const exchange = lane.begin(`/${kind}/${octets}`);
        const head = await exchange.head();
        if (kind === "octets") expect(head.fields["content-length"]).toBe(String(octets));
        expect(await exchange.over()).toMatchObject({ complete: true, octets, sha1: sha1Of(octets) });
      },
    })),
  ),
  {
    name: "the answer to HEAD has the length and no content (RFC 9110 §9.3.2)",
    async run(lane) {
      const exchange = lane.begin("/octets/1234", { method: "HEAD" });
      expect((await exchange.head()).fields["content-length"]).toBe("1234");
      expect(await exchange.over()).toMatchObject({ complete: true, octets: 0 });
    },
  },
  ...[200, 201, 204, 205, 301, 304, 401, 404, 500, 503].map((status) => ({
    name: `${status} without content is relayed, and the connection serves on`,
    async run(lane: Lane) {
      for (let i = 0; i < 2; i++) {
        const exchange = lane.begin(`/status/${status}`);
        expect(await exchange.head()).toMatchObject({ status, fields: { "x-said": "so" } });
        expect(await exchange.over()).toMatchObject({ complete: true, octets: 0, sha1: EMPTY });
      }
    },
  })),
  {
    name: "response trailers arrive (RFC 9110 §6.5)",
    async run(lane) {
      const exchange = lane.begin("/trailers", { fields: { te: "trailers" } });
      expect(await exchange.over()).toMatchObject({
        complete: true,
        text: "content",
        trailers: { "x-sum": "12", "x-more": "yes" },
      });
    },
  },
  {
    name: "103 arrives before the final response (RFC 8297)",
    async run(lane) {
      const exchange = lane.begin("/hints");
      expect((await exchange.interim(103))["fields"]).toMatchObject({ link: "</style.css>; rel=preload" });
      exchange.open();
      expect(await exchange.over()).toMatchObject({ complete: true, text: "hinted" });
    },
  },
  // ── streaming ────────────────────────────────────────────────────────────────────────────
  {
    name: "what the origin server has sent arrives before it sends more",
    async run(lane) {
      const exchange = lane.begin("/gate");
      await exchange.received("first ");
      exchange.open();
      expect(await exchange.over()).toMatchObject({ complete: true, text: "first second" });
    },
  },
  {
    name: "both directions stream at the same time",
    async run(lane) {
      const exchange = lane.begin("/duplex", { method: "POST", content: "open" });
      let all = "";
      for (const piece of ["one ", "two ", "three"]) {
        exchange.send(piece);
        all += piece;
        await exchange.received(all);
      }
      exchange.end();
      expect(await exchange.over()).toMatchObject({ complete: true, text: all });
    },
  },
  {
    name: "a client that does not read holds the origin server up, and gets everything in the end",
    async run(lane) {
      const exchange = lane.begin(`/octets/${LARGE}`);
      await exchange.head();
      exchange.pause();
      expect(await exchange.originStalled()).toBeLessThan(LARGE);
      exchange.resume();
      expect(await exchange.over()).toMatchObject({ complete: true, octets: LARGE, sha1: sha1Of(LARGE) });
    },
  },
  {
    name: "an origin server that does not read holds the client up, and gets everything in the end",
    // The runtime's QUIC gives windows back whatever is done with what came (docs/http3.md): see the next one.
    holdsIn: ({ downstream }) => downstream.version !== "3",
    async run(lane) {
      const exchange = lane.begin("/sluggish", { method: "POST", content: { octets: LARGE, length: true } });
      await exchange.sees("head");
      expect(await exchange.stalled()).toBeLessThan(LARGE);
      exchange.open();
      expect(await exchange.sees("content")).toMatchObject({ octets: LARGE, sha1: sha1Of(LARGE) });
      expect(await exchange.over()).toMatchObject({ complete: true });
    },
  },
  {
    name: "what an origin server does not read is held for it where clients cannot be slowed, and arrives in the end",
    holdsIn: ({ downstream }) => downstream.version === "3",
    async run(lane) {
      const exchange = lane.begin("/sluggish", { method: "POST", content: { octets: LARGE, length: true } });
      await exchange.sees("head");
      await exchange.sent(LARGE);
      expect(exchange.wasSeen("content")).toBe(false);
      exchange.open();
      expect(await exchange.sees("content")).toMatchObject({ octets: LARGE, sha1: sha1Of(LARGE) });
      expect(await exchange.over()).toMatchObject({ complete: true });
    },
  },
  // ── ends before their time ───────────────────────────────────────────────────────────────
  {
    name: "a client that leaves in the middle of a response ends it at the origin server",
    async run(lane) {
      const exchange = lane.begin("/gate");
      await exchange.received("first ");
      exchange.abort();
      expect(await exchange.sees("closed")).toMatchObject({ complete: false });
    },
  },
  {
    name: "a client that leaves in the middle of its content never makes it look complete",
    async run(lane) {
      const exchange = lane.begin("/echo", { method: "POST", content: "open" });
      exchange.send("half");
      await exchange.sees("head");
      exchange.abort();
      expect(await exchange.sees("closed")).toMatchObject({ complete: false });
      expect(exchange.wasSeen("content")).toBe(false);
    },
  },
  ...["length", "stream"].map((where) => ({
    name: `a response ${where === "length" ? "with a" : "without"} length that is cut never looks complete`,
    async run(lane: Lane) {
      const exchange = lane.begin(`/cut/${where}`);
      await exchange.received("x".repeat(500));
      exchange.open();
      expect(await exchange.over()).toMatchObject({ complete: false });
    },
  })),
  {
    name: "an origin server that ends without a response is 502, and the next exchange goes through",
    async run(lane) {
      const exchange = lane.begin("/cut/head", { method: "POST" });
      expect((await exchange.head()).status).toBe(502);
      await exchange.over();
      expect((await lane.begin("/echo").head()).status).toBe(200);
    },
  },
  // ── limits ───────────────────────────────────────────────────────────────────────────────
  {
    name: "an origin server that takes too long to answer is 504, and hears that nobody waits any more",
    async run(lane) {
      const exchange = lane.begin("/late/first-octet");
      expect((await exchange.head()).status).toBe(504);
      await exchange.over();
      expect(await exchange.sees("closed")).toMatchObject({ complete: false });
    },
  },
  ...["idle", "exchange"].map((limit) => ({
    name: `a response that outlasts its limit (${limit}) is cut, and never looks complete`,
    async run(lane: Lane) {
      const exchange = lane.begin(`/gate/${limit}`);
      await exchange.received("first ");
      expect(await exchange.over()).toMatchObject({ complete: false });
      expect(await exchange.sees("closed")).toMatchObject({ complete: false });
    },
  })),
  {
    name: "content that stops coming is 408, and never looks complete to the origin server",
    async run(lane) {
      const exchange = lane.begin("/echo/content-idle", { method: "POST", content: "open" });
      exchange.send("half");
      expect((await exchange.head()).status).toBe(408);
      expect(exchange.wasSeen("content")).toBe(false);
    },
  },
  ...[true, false].map((length) => ({
    name: `content beyond its limit, ${length ? "with a" : "without"} length, is 413, and never looks complete`,
    async run(lane: Lane) {
      const fits = lane.begin("/echo/small", { method: "POST", content: { octets: 1000, length } });
      expect(await fits.over()).toMatchObject({ complete: true, text: "1000 octets" });
      const exchange = lane.begin("/echo/small", { method: "POST", content: { octets: 1001, length } });
      expect((await exchange.head()).status).toBe(413);
      expect(exchange.wasSeen("content")).toBe(false);
    },
  })),
  // ── further attempts ─────────────────────────────────────────────────────────────────────
  {
    name: "what may be repeated is asked again where it was lost (RFC 9110 §9.2.2)",
    async run(lane) {
      const exchange = lane.begin("/flaky");
      expect((await exchange.head()).status).toBe(200);
      expect(await exchange.over()).toMatchObject({ complete: true });
      // The first time there was no content to see.
      await exchange.sees("content");
      expect(exchange.timesSeen("head")).toBe(2);
    },
  },
  {
    name: "what may not be repeated is asked once",
    async run(lane) {
      const exchange = lane.begin("/flaky", { method: "POST", content: { octets: 10, length: true } });
      expect((await exchange.head()).status).toBe(502);
      await exchange.over();
      await exchange.sees("closed");
      expect(exchange.timesSeen("head")).toBe(1);
    },
  },
  {
    name: "where nobody is, nothing is lost: the next endpoint has it, content and all",
    async run(lane) {
      for (let i = 0; i < 3; i++) {
        const exchange = lane.begin("/echo/elsewhere", { method: "POST", content: { octets: 70_000, length: true } });
        expect(await exchange.sees("content")).toMatchObject({ octets: 70_000, sha1: sha1Of(70_000) });
        expect(await exchange.over()).toMatchObject({ complete: true });
      }
    },
  },
  {
    name: "a host without a site is 404, and says who answered",
    async run(lane) {
      const exchange = lane.begin("/echo", { authority: "nobody.matrix.test" });
      expect((await exchange.head()).status).toBe(404);
      await exchange.over();
    },
  },
  {
    name: "fifty exchanges at one time get each their own answer",
    async run(lane) {
      const all = Array.from({ length: 50 }, (_, i) => lane.begin(`/octets/${i * 997}`));
      for (const [i, exchange] of all.entries()) {
        expect(await exchange.over()).toMatchObject({ complete: true, octets: i * 997, sha1: sha1Of(i * 997) });
      }
    },
  },
  // ── tunnels ──────────────────────────────────────────────────────────────────────────────
  {
    name: "a WebSocket opens, carries octets both ways, and ends (RFC 6455, RFC 8441, RFC 9220)",
    holdsIn: ({ downstream }) => downstream.hasTunnels,
    async run(lane) {
      const exchange = lane.begin("/socket", { upgrade: true });
      expect((await exchange.head()).status).toBe(lane.downstream.version === "1.1" ? 101 : 200);
      expect(await exchange.sees("upgrade")).toMatchObject({
        protocol: "websocket",
        version: lane.upstream.tunnelVersion,
      });
      let all = "";
      for (const piece of ["ping", "\x00\xff", "x".repeat(20_000)]) {
        exchange.send(piece);
        all += piece;
        await exchange.received(all);
      }
      exchange.end();
      expect(await exchange.over()).toMatchObject({ octets: all.length });
    },
  },
  {
    name: "a WebSocket that the origin server refuses is refused",
    holdsIn: ({ downstream }) => downstream.hasTunnels,
    async run(lane) {
      const exchange = lane.begin("/status/403", { upgrade: true });
      expect((await exchange.head()).status).toBe(403);
      await exchange.over();
    },
  },
];
