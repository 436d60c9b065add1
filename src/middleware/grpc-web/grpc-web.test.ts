import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Failure } from "../../base/failure.ts";
import { type BodySource, collect, MemoryBody, NO_BODY } from "../../http/body.ts";
import type { Exchange } from "../../http/exchange.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpResponse } from "../../http/message.ts";
import { HandSink, HandSource } from "../../protocol/http1/testing-bodies.ts";
import { build, request } from "../testing.ts";
import { grpcWeb } from "./grpc-web.ts";

const octets = (text: string): Buffer => Buffer.from(text, "latin1");
const message = (content: string): Buffer => {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(content.length, 1);
  return Buffer.concat([prefix, octets(content)]);
};
const base64 = (content: Uint8Array): string => Buffer.from(content).toString("base64");
const whole = (body: BodySource): Promise<Buffer> => collect(body, 1e6, () => new Failure("internal", "too much"));

function call(contentType: string, body: BodySource = NO_BODY, fields: Record<string, string> = {}): Exchange {
  return request("/pkg.Service/Method", { method: "POST", fields: { "content-type": contentType, ...fields }, body });
}

const ofGrpc = (body: BodySource, fields: Record<string, string> = {}): HttpResponse =>
  new HttpResponse(200, FieldSection.of({ "content-type": "application/grpc+proto", ...fields }), body);

/** Frames of gRPC-Web: flag and content. */
function frames(content: Buffer): [number, string][] {
  const found: [number, string][] = [];
  for (let at = 0; at < content.length; ) {
    const length = content.readUInt32BE(at + 1);
    expect(at + 5 + length).toBeLessThanOrEqual(content.length);
    found.push([content[at]!, content.toString("latin1", at + 5, at + 5 + length)]);
    at += 5 + length;
  }
  return found;
}

/** As clients decode it: group by group, whatever padding is between. */
const decoded = (text: string): Buffer =>
  Buffer.concat(Array.from(text.matchAll(/[^=]+=*/g), ([part]) => Buffer.from(part, "base64")));

describe("a call", () => {
  test("becomes one of gRPC, with the format of its messages", async () => {
    const exchange = call("application/grpc-web+proto", new MemoryBody(message("hello")));
    let seen = "";
    await build(
      grpcWeb,
      {},
    )(async ({ request: { fields, acceptsTrailers, body } }) => {
      seen = `${fields.get("content-type")} ${acceptsTrailers} ${body.length} ${(await whole(body)).toString("latin1", 5)}`;
      return ofGrpc(NO_BODY, { "grpc-status": "0" });
    })(exchange);
    expect(seen).toBe("application/grpc+proto true 10 hello");
  });

  test("in base64 is decoded, however it was cut and padded", async () => {
    const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(pieces, fc.infiniteStream(fc.integer({ min: 1, max: 9 })), async (contents, cuts) => {
        const text = contents.map(base64).join("");
        const source = new HandSource();
        const exchange = call("application/grpc-web-text", source);
        let got: Buffer | null = null;
        const response = build(
          grpcWeb,
          {},
        )(async ({ request: { body } }) => {
          expect(body.length).toBeNull();
          const all = whole(body);
          for (let at = 0; at < text.length; ) {
            const cut = at + cuts.next().value!;
            source.write(text.slice(at, cut));
            at = cut;
          }
          source.end();
          got = await all;
          return ofGrpc(NO_BODY, { "grpc-status": "0" });
        })(exchange);
        await response;
        expect(got!).toEqual(Buffer.concat(contents));
      }),
      { numRuns: 50 },
    );
  });

  test("512 KiB of base64 in one piece", async () => {
    const content = Buffer.alloc(384 * 1024, "abcdefg");
    const exchange = call("application/grpc-web-text", new MemoryBody(octets(base64(content))));
    let got: Buffer = Buffer.alloc(0);
    await build(
      grpcWeb,
      {},
    )(async ({ request: { body } }) => {
      got = await whole(body);
      return ofGrpc(NO_BODY, { "grpc-status": "0" });
    })(exchange);
    expect(got.equals(content)).toBe(true);
  });

  test.each(["AB!D", "A===", "=AAA", "AAAAA", "AA=A", "AAAA\r\n"])(
    "%j is not base64: the origin server sees no complete message",
    async (text) => {
      const source = new HandSource();
      const sink = new HandSink();
      await build(
        grpcWeb,
        {},
      )(({ request: { body } }) => {
        body.sendTo(sink);
        source.write(text);
        if (source.cancelled === null) source.end();
        return ofGrpc(NO_BODY, { "grpc-status": "0" });
      })(call("application/grpc-web-text", source));
      expect(sink.ended).toBe("request-malformed");
    },
  );

  test.each([
    ["another type", "application/json", "POST"],
    ["gRPC itself", "application/grpc", "POST"],
    ["a preflight of CORS", "", "OPTIONS"],
    ["another method", "application/grpc-web", "GET"],
    ["a type that begins alike", "application/grpc-websocket", "POST"],
  ])("%s is none, and passes untouched", (_, contentType, method) => {
    const exchange = request("/", { method, fields: contentType === "" ? {} : { "content-type": contentType } });
    const answer = new HttpResponse(200, FieldSection.of({ "content-type": "application/grpc" }), new HandSource());
    const { body } = answer;
    expect(build(grpcWeb, {})(() => answer)(exchange)).toBe(answer);
    expect(answer.body).toBe(body);
    expect(exchange.request.acceptsTrailers).toBe(false);
  });
});

describe("an answer", () => {
  const streamed = async (contentType: string, fields: Record<string, string> = {}) => {
    const source = new HandSource();
    const sink = new HandSink();
    const exchange = call(contentType, NO_BODY, fields);
    const response = await build(grpcWeb, {})(() => ofGrpc(source))(exchange);
    response.body.sendTo(sink);
    return { source, sink, exchange, response };
  };

  test("has its messages as they come, and its trailers in a last frame", async () => {
    const { source, sink, exchange, response } = await streamed("application/grpc-web");
    expect([response.fields.get("content-type"), response.body.length]).toEqual(["application/grpc-web", null]);
    source.write(message("one").toString("latin1"));
    expect(sink.text).toBe(message("one").toString("latin1"));
    source.write(message("two").toString("latin1"));
    source.end(FieldSection.of({ "Grpc-Status": "0", "x-own-bin": "AAE" }));
    expect(frames(octets(sink.text))).toEqual([
      [0, "one"],
      [0, "two"],
      [0x80, "grpc-status: 0\r\nx-own-bin: AAE\r\n"],
    ]);
    expect([sink.ended, sink.trailers]).toEqual(["end", ""]);
    expect(exchange.trailers?.get("grpc-status")).toBe("0");
  });

  test("is in base64 for who asked for that, each piece complete by itself", async () => {
    const { source, sink, response } = await streamed("application/grpc-web-text+proto");
    expect(response.fields.get("content-type")).toBe("application/grpc-web-text+proto");
    for (const piece of ["\0", "\0\0\0\x05he", "llo"]) {
      source.write(piece);
      expect(sink.text.length % 4).toBe(0);
    }
    expect(decoded(sink.text).toString("latin1")).toBe(message("hello").toString("latin1"));
    source.end(FieldSection.of({ "grpc-status": "0" }));
    expect(frames(decoded(sink.text))).toEqual([
      [0, "hello"],
      [0x80, "grpc-status: 0\r\n"],
    ]);
  });

  test("is what Accept says, whatever the request was", async () => {
    const text = await streamed("application/grpc-web", { accept: "application/grpc-web-text" });
    expect(text.response.fields.get("content-type")).toBe("application/grpc-web-text");
    const binary = await streamed("application/grpc-web-text", { accept: "application/grpc-web" });
    expect(binary.response.fields.get("content-type")).toBe("application/grpc-web");
    const any = await streamed("application/grpc-web-text", { accept: "*/*" });
    expect(any.response.fields.get("content-type")).toBe("application/grpc-web-text");
  });

  test("without messages has its status in the head", async () => {
    const exchange = call("application/grpc-web");
    const response = await build(grpcWeb, {})(() => ofGrpc(NO_BODY, { "grpc-status": "5" }))(exchange);
    expect(response.body).toBe(NO_BODY);
    expect([response.fields.get("grpc-status"), response.fields.get("content-type")]).toEqual([
      "5",
      "application/grpc-web",
    ]);
  });

  test("that is cut between messages ends with a status that says so", async () => {
    const { source, sink, exchange } = await streamed("application/grpc-web");
    source.write(message("one").toString("latin1")).abort(new Failure("upstream-truncated", "cut"));
    expect(frames(octets(sink.text))[1]).toEqual([0x80, "grpc-status: 14\r\ngrpc-message: upstream-truncated\r\n"]);
    expect([sink.ended, exchange.failure?.code]).toEqual(["end", "upstream-truncated"]);
  });

  test("that is cut within a message is cut: the frame would be taken for its rest", async () => {
    const all = message("one").toString("latin1");
    for (let at = 1; at < all.length; at++) {
      const { source, sink } = await streamed("application/grpc-web");
      source.write(all + all.slice(0, at)).abort(new Failure("upstream-truncated", "cut"));
      expect([sink.text, sink.ended]).toEqual([all + all.slice(0, at), "upstream-truncated"]);
    }
  });

  test("where messages begin is known however they are cut", async () => {
    const all = Buffer.concat([message("a"), message(""), message("bcd")]).toString("latin1");
    for (let cut = 1; cut < all.length; cut++) {
      const { source, sink } = await streamed("application/grpc-web");
      source.write(all.slice(0, cut)).write(all.slice(cut)).abort(new Failure("upstream-truncated", "cut"));
      expect(frames(octets(sink.text))).toHaveLength(4);
    }
  });

  test("of the gateway's own is a status, whether it was thrown or made", async () => {
    const thrown = call("application/grpc-web-text");
    const failed = await build(grpcWeb, {})(() => Promise.reject(new Failure("no-endpoint", "all down")))(thrown);
    expect(failed.body).toBe(NO_BODY);
    expect([failed.status, failed.fields.get("grpc-status"), failed.fields.get("content-type")]).toEqual([
      200,
      "14",
      "application/grpc-web-text",
    ]);
    expect(thrown.failure?.code).toBe("no-endpoint");
    const made = await build(grpcWeb, {})(() => new HttpResponse(403, undefined, MemoryBody.text("no")))(
      call("application/grpc-web"),
    );
    expect([made.status, made.fields.get("grpc-status")]).toEqual([200, "7"]);
  });

  test("that is not gRPC passes as it is", async () => {
    const exchange = call("application/grpc-web");
    exchange.attempts = [{} as never];
    const page = new HttpResponse(502, FieldSection.of({ "content-type": "text/html" }), MemoryBody.text("<p>bad"));
    expect(await build(grpcWeb, {})(() => page)(exchange)).toBe(page);
  });

  test("to a fault of ours is the engine's, which sees the request as it came: no call of gRPC", async () => {
    const fault = new Error("a bug");
    const exchange = call("application/grpc-web-text+proto; charset=utf-8");
    const answer = build(grpcWeb, {})(() => Promise.reject(fault))(exchange);
    await expect(answer).rejects.toBe(fault);
    expect(exchange.request.fields.get("content-type")).toBe("application/grpc-web-text+proto; charset=utf-8");
  });

  test("nobody waits for is none", async () => {
    const gone = new Failure("client-closed", "gone");
    const answer = build(grpcWeb, {})(() => Promise.reject(gone))(call("application/grpc-web"));
    expect(answer).rejects.toBe(gone);
  });
});
