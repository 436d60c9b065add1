/**
 * gRPC-Web through the whole program: a client by hand that follows PROTOCOL-WEB.md, over HTTP/1.1 and chunk by
 * chunk, and an origin server of gRPC of another making (@grpc/grpc-js).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { needs, program } from "../../src/base/testing.ts";
import { Gateway } from "../support/gateway.ts";
import { type GrpcOrigin, startGrpcOrigin } from "../support/grpc-origin.ts";
import { closedPort } from "../support/origin.ts";

const BINARY = "application/grpc-web+proto";
const TEXT = "application/grpc-web-text";

function frame(content: string): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(Buffer.byteLength(content), 1);
  return Buffer.concat([prefix, Buffer.from(content)]);
}

/** Takes frames from octets in any pieces, and from base64 with padding anywhere between its groups. */
class Frames {
  readonly messages: string[] = [];
  trailers: Record<string, string> | null = null;
  #octets = Buffer.alloc(0);
  #text = "";

  constructor(readonly isText: boolean) {}

  take(piece: Uint8Array): void {
    if (!this.isText) this.#octets = Buffer.concat([this.#octets, piece]);
    else {
      this.#text += Buffer.from(piece).toString("latin1");
      const whole = this.#text.length - (this.#text.length % 4);
      for (const [group] of this.#text.slice(0, whole).matchAll(/[^=]+=*/g))
        this.#octets = Buffer.concat([this.#octets, Buffer.from(group, "base64")]);
      this.#text = this.#text.slice(whole);
    }
    while (this.#octets.length >= 5 && this.#octets.length >= 5 + this.#octets.readUInt32BE(1)) {
      const end = 5 + this.#octets.readUInt32BE(1);
      const content = this.#octets.toString("utf8", 5, end);
      if (this.trailers !== null) throw new Error("a frame after the trailers");
      if ((this.#octets[0]! & 0x80) === 0) this.messages.push(content);
      else
        this.trailers = Object.fromEntries(
          content
            .trimEnd()
            .split("\r\n")
            .map((line) => line.split(": ")),
        );
      this.#octets = this.#octets.subarray(end);
    }
  }

  get isComplete(): boolean {
    return this.#octets.length === 0 && this.#text === "";
  }
}

needs(program("node")).describe("gRPC-Web", () => {
  let origin: GrpcOrigin;
  let gateway: Gateway;
  beforeAll(async () => {
    origin = await startGrpcOrigin();
    gateway = await Gateway.start({
      workers: 1,
      listeners: ["127.0.0.1:0"],
      upstreams: {
        calls: { endpoints: origin.address, protocol: "http2" },
        dead: { endpoints: `127.0.0.1:${await closedPort()}`, protocol: "http2" },
      },
      sites: [
        {
          use: ["grpc-web"],
          routes: [
            { match: "/test.Peer/*", to: "calls" },
            { match: "/test.Dead/*", to: "dead" },
          ],
        },
      ],
    });
  });
  afterAll(async () => {
    await gateway.stop();
    origin.stop();
  });

  function send(
    path: string,
    content: string,
    type: string,
    fields: Record<string, string> = {},
    signal?: AbortSignal,
  ) {
    const octets = frame(content);
    return fetch(`${gateway.url()}${path}`, {
      method: "POST",
      headers: { "content-type": type, accept: type, "x-grpc-web": "1", ...fields },
      body: type.startsWith(TEXT) ? octets.toString("base64") : octets,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  async function call(method: string, content: string, type: string, fields: Record<string, string> = {}) {
    const response = await send(`/test.Peer/${method}`, content, type, fields);
    const frames = new Frames(type.startsWith(TEXT));
    for await (const piece of response.body ?? []) frames.take(piece);
    expect(frames.isComplete).toBe(true);
    return { response, messages: frames.messages, trailers: frames.trailers };
  }

  describe.each([BINARY, TEXT])("%s", (type) => {
    test("a call with one answer", async () => {
      const { response, messages, trailers } = await call("Echo", "hello", type, { "echo-text": "back" });
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toStartWith(type);
      expect(response.headers.get("echo-text")).toBe("back");
      expect(messages).toEqual(["echo of hello"]);
      expect(trailers).toEqual({ "grpc-status": "0", "grpc-message": "OK", "trailing-echo-text": "back" });
    });

    test("a stream of answers, large ones too", async () => {
      const { messages, trailers } = await call("List", "50 50000", type);
      expect(messages.map((one) => Number.parseInt(one, 10))).toEqual(Array.from({ length: 50 }, (_, n) => n));
      expect(messages.every(({ length }) => length === 50_000)).toBe(true);
      expect(trailers).toMatchObject({ "grpc-status": "0", listed: "50" });
    });

    test("an error of the service has its status in the head", async () => {
      const { response, messages } = await call("Fail", "thing", type);
      expect(messages).toEqual([]);
      expect(response.headers.get("grpc-status")).toBe("5");
      expect(decodeURIComponent(response.headers.get("grpc-message")!)).toBe("no thing: ü 100 %");
      expect(response.headers.get("why")).toBe("because");
    });

    test("messages come as they are sent, and leaving cancels the call at the origin server", async () => {
      const leave = new AbortController();
      const response = await send("/test.Peer/Endless", "please", type, {}, leave.signal);
      const frames = new Frames(type === TEXT);
      for await (const piece of response.body!) {
        frames.take(piece);
        if (frames.messages.length >= 3) break;
      }
      leave.abort();
      for (;;) {
        const { messages } = await call("Seen", "now", BINARY);
        if ((JSON.parse(messages[0]!) as { cancelled: string[] }).cancelled.includes("Endless")) break;
        await Bun.sleep(20);
      }
    });

    test("a deadline that passes is DEADLINE_EXCEEDED", async () => {
      const { response } = await call("Hang", "please", type, { "grpc-timeout": "100m" });
      expect(response.status).toBe(200);
      expect(response.headers.get("grpc-status")).toBe("4");
    });

    test("what the gateway says of its own is a status, too", async () => {
      const { headers, status } = await send("/test.Dead/Method", "x", type);
      expect([status, headers.get("grpc-status"), headers.get("grpc-message")]).toEqual([
        200,
        "14",
        "upstream-connect-refused",
      ]);
      expect(headers.get("content-type")).toStartWith(type);
    });
  });

  test("the log has the status of the call", async () => {
    await gateway.skipLog();
    await call("Echo", "hello", TEXT);
    expect((await gateway.log(1))[0]).toMatchObject({ target: "/test.Peer/Echo", status: 200, grpcStatus: "0" });
  });
});
