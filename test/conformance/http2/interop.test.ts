/** The client engine over real sockets against HTTP/2 servers that others made: node:http2, nginx, nghttpd, as far as they are installed. */
import { afterAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { Failure } from "../../../src/base/failure.ts";
import { findProgram, needs, program } from "../../../src/base/testing.ts";
import { type BodySink, type BodySource, type Flow, MemoryBody, NO_BODY } from "../../../src/http/body.ts";
import { FieldSection } from "../../../src/http/field-section.ts";
import { HttpRequest, type HttpResponse } from "../../../src/http/message.ts";
import { encodeSockaddr } from "../../../src/net/address.ts";
import { Connecting } from "../../../src/net/connect.ts";
import { run } from "../../../src/net/loop.ts";
import { until } from "../../../src/net/testing.ts";
import type { ResponseTaker } from "../../../src/protocol/client-connection.ts";
import { HEAD_LIMITS } from "../../../src/protocol/http1/testing.ts";
import { HandSource } from "../../../src/protocol/http1/testing-bodies.ts";
import { Http2ClientConnection } from "../../../src/protocol/http2/client.ts";
import type { Http2ClientSettings } from "../../../src/protocol/http2/client-settings.ts";
import { DEFAULT_FLOOD_LIMITS, originLimits } from "../../../src/protocol/http2/floods.ts";
import { Nginx, nginxPath } from "../../support/nginx.ts";
import { closedPort } from "../../support/origin.ts";

const children: Bun.Subprocess[] = [];
const folder = mkdtempSync(join(tmpdir(), "lintel-h2-"));

const nginxes: Nginx[] = [];

afterAll(async () => {
  for (const child of children) child.kill();
  for (const nginx of nginxes) await nginx.stop();
  rmSync(folder, { recursive: true });
});

async function nodeOrigin(settings: object = {}): Promise<number> {
  const program = join(import.meta.dir, "node-origin.mjs");
  const child = Bun.spawn([findProgram("node")!, program, JSON.stringify(settings)], { stdout: "pipe" });
  children.push(child);
  const { value } = await child.stdout.getReader().read();
  return Number(Buffer.from(value!).toString());
}

/** An exchange, and all that was heard of it. */
class Heard implements ResponseTaker, BodySink {
  readonly interim: number[] = [];
  response: HttpResponse | null = null;
  readonly pieces: Buffer[] = [];
  trailers: FieldSection | null = null;
  ended = "";
  failed = "";
  completed = "";
  flow: Flow | null = null;
  octets = 0;

  onInterim(status: number): void {
    this.interim.push(status);
  }

  onResponse(response: HttpResponse): void {
    this.response = response;
    response.body.sendTo(this);
  }

  onFailed(failure: Failure): void {
    this.failed = failure.code;
  }

  onComplete(failure: Failure | null): void {
    this.completed = failure?.code ?? "end";
  }

  begin(flow: Flow): void {
    this.flow = flow;
  }

  write(octets: Uint8Array): void {
    this.octets += octets.length;
    this.pieces.push(Buffer.from(octets));
  }

  end(trailers: FieldSection | null): void {
    this.ended = "end";
    this.trailers = trailers;
  }

  abort(why: Failure): void {
    this.ended = why.code;
  }

  get text(): string {
    return Buffer.concat(this.pieces).toString("latin1");
  }

  get status(): number {
    return this.response?.status ?? 0;
  }

  /** Waits for its end, whichever it is. */
  async over(): Promise<this> {
    await until(() => this.failed !== "" || this.ended !== "", "the end of the exchange", 10_000);
    return this;
  }
}

class Client {
  readonly events: string[] = [];
  readonly #engine: Http2ClientConnection;

  private constructor(engine: Http2ClientConnection) {
    this.#engine = engine;
  }

  static connect(port: number, settings: Partial<Http2ClientSettings> = {}): Promise<Client> {
    run();
    return new Promise((resolve, reject) => {
      new Connecting(encodeSockaddr({ kind: "tcp", host: "127.0.0.1", port }), 3000, {
        onConnected(connection) {
          const engine = new Http2ClientConnection(
            connection,
            {
              head: HEAD_LIMITS,
              maxStreams: 100,
              streamWindowOctets: 262_144,
              connectionWindowOctets: 1 << 20,
              floods: originLimits(DEFAULT_FLOOD_LIMITS),
              pingTime: null,
              pingAnswerTime: null,
              ...settings,
            },
            {
              ready: () => client.events.push("ready"),
              hasRoom() {},
              leaving: () => client.events.push("leaving"),
              gone: () => client.events.push("gone"),
              fault: reject,
            },
          );
          connection.handler = engine;
          const client = new Client(engine);
          resolve(client);
        },
        onConnectFailed: (error) => reject(new Error(error)),
        fault: reject,
      });
    });
  }

  get engine(): Http2ClientConnection {
    return this.#engine;
  }

  ask(path: string, method = "GET", body: BodySource = NO_BODY, fields: Record<string, string> = {}): Heard {
    const heard = new Heard();
    const request = new HttpRequest(method, "http", "a.test", path, FieldSection.of(fields), body);
    request.acceptsTrailers = true;
    if (fields["sec-websocket-key"] !== undefined) request.upgrade = "websocket";
    this.#engine.send(request, "a.test", null, null, heard);
    return heard;
  }
}

const sha1 = (octets: string): string => createHash("sha1").update(octets, "latin1").digest("hex");

needs(program("node")).describe("node:http2", async () => {
  const port = findProgram("node") === null ? 0 : await nodeOrigin();

  test("a request with fields, content and trailers arrives as it was sent, and so does the response", async () => {
    const client = await Client.connect(port);
    const body = new HandSource();
    const heard = client.ask("/echo?a=b", "POST", body, { "X-Mixed": "Yes", cookie: "a=1; b=2" });
    body.write("abc").end(FieldSection.of({ "X-Sum": "3" }));
    await heard.over();
    const seen = JSON.parse(heard.text);
    expect(seen).toMatchObject({
      method: "POST",
      path: "/echo?a=b",
      authority: "a.test",
      octets: 3,
      sha1: sha1("abc"),
    });
    expect(seen.fields).toMatchObject({ "x-mixed": "Yes", cookie: "a=1; b=2", te: "trailers" });
    expect(seen.trailers).toEqual({ "x-sum": "3" });
    expect(heard.trailers?.get("x-sum")).toBe(String(heard.text.length));
    client.engine.retire();
  });

  test("many exchanges at once, again and again: HPACK tables stay the same on both sides", async () => {
    const client = await Client.connect(port);
    for (let turn = 0; turn < 20; turn++) {
      const asked = Array.from({ length: 50 }, (_, n) =>
        client.ask("/echo", "GET", NO_BODY, { [`x-${(turn * n) % 70}`]: `${"v".repeat(n)}${turn}`, "x-same": "same" }),
      );
      for (const [n, heard] of asked.entries()) {
        const { fields } = JSON.parse((await heard.over()).text);
        expect([fields[`x-${(turn * n) % 70}`], fields["x-same"]]).toEqual([`${"v".repeat(n)}${turn}`, "same"]);
      }
    }
    client.engine.retire();
  });

  test("content of all sizes, up and down at once", async () => {
    const client = await Client.connect(port);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ up: fc.nat(300_000), down: fc.nat(300_000) }), { minLength: 1, maxLength: 12 }),
        async (plans) => {
          const asked = plans.map(({ up, down }, n) => [
            client.ask("/echo", "POST", MemoryBody.text(String(n % 10).repeat(up))),
            client.ask(`/octets/${down}`),
          ]);
          for (const [n, [upload, download]] of asked.entries()) {
            const { up, down } = plans[n]!;
            expect(JSON.parse((await upload!.over()).text)).toMatchObject({
              octets: up,
              sha1: sha1(String(n % 10).repeat(up)),
            });
            expect([(await download!.over()).octets, download!.ended]).toEqual([down, "end"]);
          }
        },
      ),
      { numRuns: 15 },
    );
    client.engine.retire();
  });

  test("small windows and few streams of the server's are kept to", async () => {
    const client = await Client.connect(
      await nodeOrigin({ initialWindowSize: 10, maxConcurrentStreams: 3, headerTableSize: 0 }),
    );
    await until(() => client.engine.isReady);
    expect(client.engine.capacity).toBe(3);
    const asked = [1, 2, 3].map((n) => client.ask("/echo", "POST", MemoryBody.text(String(n).repeat(1000))));
    for (const [n, heard] of asked.entries())
      expect(JSON.parse((await heard.over()).text).sha1).toBe(sha1(String(n + 1).repeat(1000)));
    expect(client.engine.capacity).toBe(3);
    client.engine.retire();
  });

  test("a taker that pauses makes the server wait; others go on", async () => {
    const client = await Client.connect(port, { streamWindowOctets: 65_535 });
    const slow = client.ask("/octets/2000000");
    await until(() => slow.octets > 0);
    slow.flow!.pause();
    const before = slow.octets;
    expect((await client.ask("/octets/500000").over()).octets).toBe(500_000);
    expect(slow.octets).toBe(before);
    slow.flow!.resume();
    expect((await slow.over()).octets).toBe(2_000_000);
    client.engine.retire();
  });

  test("HEAD, 204, 304 and interim responses", async () => {
    const client = await Client.connect(port);
    const head = client.ask("/octets/123", "HEAD");
    const [none, old, hints] = [client.ask("/status/204"), client.ask("/status/304"), client.ask("/hints")];
    for (const heard of [head, none, old, hints]) await heard.over();
    expect([head.status, head.response!.body.length, head.text, none.status, old.status]).toEqual([
      200,
      123,
      "",
      204,
      304,
    ]);
    expect([hints.interim, hints.text]).toEqual([[103], "hinted"]);
    client.engine.retire();
  });

  test("a stream that the server resets: cut within the content, refused before anything", async () => {
    const client = await Client.connect(port);
    const [cut, refused, fine] = [client.ask("/cut"), client.ask("/refuse"), client.ask("/octets/5")];
    expect([(await cut.over()).text, cut.ended]).toEqual(["abc", "upstream-truncated"]);
    expect([(await refused.over()).failed, (await fine.over()).text]).toEqual(["upstream-refused", "xxxxx"]);
    client.engine.retire();
  });

  test("an answer that does not wait for the upload ends it", async () => {
    const client = await Client.connect(port);
    const body = new HandSource();
    const heard = client.ask("/early", "POST", body);
    body.write("a".repeat(100));
    await heard.over();
    expect([heard.status, heard.text, heard.ended]).toEqual([413, "too much", "end"]);
    await until(() => body.cancelled !== null);
    expect((await client.ask("/octets/5").over()).text).toBe("xxxxx");
    client.engine.retire();
  });

  test("GOAWAY: what is in work is answered, then the connection ends", async () => {
    const client = await Client.connect(port);
    const heard = await client.ask("/goaway").over();
    expect([heard.text, heard.completed]).toEqual(["the last one", "end"]);
    await until(() => client.events.includes("gone"));
    expect([client.events, client.engine.capacity]).toEqual([["ready", "leaving", "gone"], 0]);
  });

  test("content passes both ways at once on one stream", async () => {
    const client = await Client.connect(port);
    const body = new HandSource();
    const heard = client.ask("/relay", "POST", body);
    for (let n = 0; n < 10; n++) {
      body.write(`message ${n};`);
      await until(() => heard.text.endsWith(`message ${n};`));
    }
    body.end();
    expect((await heard.over()).ended).toBe("end");
    client.engine.retire();
  });

  test("RFC 8441: a WebSocket's octets pass both ways", async () => {
    const client = await Client.connect(port);
    await until(() => client.engine.isReady);
    expect(client.engine.offersTunnels).toBe(true);
    const heard = client.ask("/chat", "GET", NO_BODY, { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" });
    await until(() => heard.status === 101);
    expect(heard.response!.fields.get("sec-websocket-accept")).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    const mine = new HandSource();
    heard.response!.tunnel!.accept(mine);
    mine.write("\x81\x05hello");
    await until(() => heard.text === "\x81\x05hello");
    mine.end();
    expect((await heard.over()).ended).toBe("end");
    client.engine.retire();
  });

  test("a server that dies fails what is under way", async () => {
    const client = await Client.connect(await nodeOrigin());
    await until(() => client.engine.isReady);
    const [wait, die] = [client.ask("/relay", "POST", new HandSource()), client.ask("/die")];
    expect((await die.over()).failed).toMatch(/upstream-(closed|reset)/);
    await until(() => wait.failed !== "" || wait.ended !== "");
    expect(wait.completed).not.toBe("end");
    expect(client.events.at(-1)).toBe("gone");
  });
});

const nghttpd = findProgram("nghttpd");

needs(program("nghttpd", nghttpd)).describe("nghttpd", () => {
  test("files of all sizes, many at once", async () => {
    const sizes = [0, 1, 16_384, 65_535, 65_536, 1_000_000];
    for (const size of sizes) writeFileSync(join(folder, String(size)), Buffer.alloc(size, "x"));
    const port = await closedPort();
    children.push(
      Bun.spawn([nghttpd!, "--no-tls", "-a", "127.0.0.1", "-d", folder, String(port)], { stdout: "ignore" }),
    );
    let client: Client | null = null;
    for (let n = 0; client === null && n < 100; n++) {
      client = await Client.connect(port).catch(() => null);
      if (client === null) await Bun.sleep(20);
    }
    for (let turn = 0; turn < 5; turn++) {
      const asked = sizes.map((size) => client!.ask(`/${size}`));
      for (const [n, heard] of asked.entries())
        expect([(await heard.over()).octets, heard.status]).toEqual([sizes[n]!, 200]);
    }
    client!.engine.retire();
  });
});

needs(program("nginx", nginxPath)).describe("nginx", () => {
  test("files of all sizes, many at once; a taker that pauses", async () => {
    const sizes = [1, 16_384, 65_536, 1_000_000];
    const port = await closedPort();
    const nginx = await Nginx.start(
      `listen 127.0.0.1:${port} http2;`,
      Object.fromEntries(sizes.map((size) => [`f${size}`, Buffer.alloc(size, "x")])),
    );
    nginxes.push(nginx);
    const client = await Client.connect(port);
    for (let turn = 0; turn < 5; turn++) {
      const slow = client.ask("/f1000000");
      await until(() => slow.octets > 0);
      slow.flow!.pause();
      const asked = sizes.map((size) => client.ask(`/f${size}`));
      for (const [n, heard] of asked.entries()) {
        expect([(await heard.over()).octets, heard.status]).toEqual([sizes[n]!, 200]);
        expect(heard.response!.body.length).toBe(sizes[n]!);
      }
      slow.flow!.resume();
      expect((await slow.over()).octets).toBe(1_000_000);
    }
    client.engine.retire();
  });

  test("GOAWAY after every 20 requests: what was not processed is told apart, and nothing is lost", async () => {
    const port = await closedPort();
    const nginx = await Nginx.start(`listen 127.0.0.1:${port} http2; keepalive_requests 20;`, { f: "whole" });
    nginxes.push(nginx);
    let client = await Client.connect(port);
    let connections = 1;
    let refused = 0;
    for (let turn = 0; turn < 30; turn++) {
      let asked = Array.from({ length: 9 }, () => client.ask("/f"));
      while (asked.length > 0) {
        for (const heard of asked) await heard.over();
        const again = asked.filter(({ failed }) => failed === "upstream-refused");
        for (const heard of asked)
          if (!again.includes(heard)) expect([heard.text, heard.completed]).toEqual(["whole", "end"]);
        refused += again.length;
        if (client.engine.capacity === 0) {
          client = await Client.connect(port);
          connections++;
        }
        asked = again.map(() => client.ask("/f"));
      }
    }
    expect([connections > 10, refused > 0]).toEqual([true, true]);
    client.engine.retire();
  });
});
