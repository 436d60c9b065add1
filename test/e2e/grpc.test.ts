/** Calls of gRPC through the whole program, between a client and a server of another making (@grpc/grpc-js). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import net from "node:net";
import { join } from "node:path";
import { needs, program } from "../../src/base/testing.ts";
import { Code, data, type FieldLine, Flag, headers, settings, settingsAck, Type } from "../conformance/http2/wire.ts";
import { Gateway } from "../support/gateway.ts";
import { type GrpcOrigin, startGrpcOrigin } from "../support/grpc-origin.ts";
import { RawHttp2, requestTo } from "../support/http2-raw.ts";
import { closedPort } from "../support/origin.ts";
import { CertificateFolder } from "../support/tls.ts";

interface Result {
  readonly answer?: string | null;
  readonly code: number;
  readonly details?: string;
  readonly messages?: readonly string[];
  readonly initial?: Readonly<Record<string, readonly string[]>>;
  readonly trailing?: Readonly<Record<string, readonly string[]>>;
}

const peer = (name: string): string => join(import.meta.dir, name);

/** What came of each thing that a client did, one after the other. */
async function calls<Name extends string>(address: string, ...names: Name[]): Promise<Record<Name, Result>> {
  return callsWith({}, address, ...names);
}

async function callsWith<Name extends string>(
  env: Readonly<Record<string, string>>,
  address: string,
  ...names: Name[]
): Promise<Record<Name, Result>> {
  const child = Bun.spawn(["node", peer("grpc-client.mjs"), address, ...names], {
    stdout: "pipe",
    env: { ...process.env, ...env },
  });
  return JSON.parse(await child.stdout.text()) as Record<Name, Result>;
}

const withoutDate = (fields: Readonly<Record<string, readonly string[]>> = {}) =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => name !== "date" && name !== "via"));

needs(program("node")).describe("gRPC", () => {
  let first: GrpcOrigin;
  let gateway: Gateway;
  let address = "";
  beforeAll(async () => {
    first = await startGrpcOrigin();
    gateway = await Gateway.start({
      workers: 1,
      listeners: ["127.0.0.1:0"],
      upstreams: {
        calls: { endpoints: first.address, protocol: "http2" },
        dead: { endpoints: `127.0.0.1:${await closedPort()}`, protocol: "http2" },
      },
      sites: [
        {
          routes: [
            {
              match: { path: "/test.Peer/*", field: { "x-limited": "yes" } },
              use: [{ timeouts: { exchange: "500ms" } }],
              to: "calls",
              name: "limited",
            },
            { match: "/test.Peer/Fail", to: "calls", name: "by-method" },
            { match: "/test.Peer/*", to: "calls", name: "by-service" },
            { match: "/test.Denied/*", use: [{ respond: { status: 403, body: "<p>no</p>" } }] },
            { match: "/test.Dead/*", to: "dead" },
          ],
        },
      ],
    });
    address = new URL(gateway.url()).host;
  });
  afterAll(async () => {
    await gateway.stop();
    first.stop();
  });

  const PLAIN = [
    "unary",
    "metadata",
    "large",
    "status",
    "unknown",
    "count",
    "list",
    "list-large",
    "chat",
    "many",
  ] as const;

  test("calls of all four kinds are the same through the gateway as without it", async () => {
    const [direct, through] = await Promise.all([calls(first.address, ...PLAIN), calls(address, ...PLAIN)]);
    for (const name of PLAIN) {
      if (name === "unknown") continue;
      const [a, b] = [direct[name], through[name]];
      expect({ ...b, initial: withoutDate(b.initial), trailing: withoutDate(b.trailing) }).toEqual({
        ...a,
        initial: withoutDate(a.initial),
        trailing: withoutDate(a.trailing),
      });
    }
    expect(through.unary.answer).toBe("echo of hello");
    expect(through.metadata.trailing!["trailing-echo-bin"]).toEqual(["AAEC/w==", "c2Vjb25k"]);
    expect(through.status).toMatchObject({ code: 5, details: "no such thing: ü 100 %" });
    expect(through.chat.messages).toHaveLength(20);
    // No route: what the gateway says of its own.
    expect(through.unknown).toEqual({ code: 12, details: "no-route" });
  });

  test("a method has its route, and the log says how each call ended", async () => {
    await gateway.skipLog();
    await calls(address, "unary", "status", "unknown");
    const lines = await gateway.log(3);
    expect(lines.map((line) => [line["target"], line["status"], line["grpcStatus"], line["route"]])).toEqual([
      ["/test.Peer/Echo", 200, "0", "by-service"],
      ["/test.Peer/Fail", 200, "5", "by-method"],
      ["/test.Other/Method", 200, "12", null],
    ]);
  });

  test("a call that the client cancels is cancelled at the origin server, whatever its kind", async () => {
    const results = await calls(address, "cancel-unary", "cancel-stream", "cancel-chat");
    for (const { code } of Object.values(results)) expect(code).toBe(1);
  });

  test("a call that the origin server cancels is cancelled, after the messages there were", async () => {
    const { reset } = await calls(address, "reset");
    expect(reset).toMatchObject({ messages: ["one"], code: 1, details: "upstream-truncated" });
  });

  test("a limit that passes is DEADLINE_EXCEEDED: the client's, and the route's before and within messages", async () => {
    const results = await calls(address, "deadline", "gateway-limit", "gateway-limit-stream");
    expect(results.deadline.code).toBe(4);
    expect(results["gateway-limit"]).toMatchObject({ code: 4, details: "exchange-timeout" });
    expect(results["gateway-limit-stream"]).toMatchObject({ code: 4, details: "exchange-timeout", some: true });
  });

  test("grpc-timeout ends a call here, whoever else has a clock: the origin server hears of both", async () => {
    const connections: RawHttp2[] = [];
    // It knows of no limits.
    const silent = net.createServer((socket) => {
      const connection = new RawHttp2(socket, true);
      connections.push(connection);
      void connection.send(settings(), settingsAck());
    });
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    await using own = await Gateway.start({
      workers: 1,
      listeners: ["127.0.0.1:0"],
      upstreams: {
        calls: { endpoints: `127.0.0.1:${(silent.address() as net.AddressInfo).port}`, protocol: "http2" },
      },
      sites: [{ to: "calls" }],
    });
    using client = await RawHttp2.connect(own.port);
    const call = (stream: number, ...more: FieldLine[]) =>
      client.send(
        headers(
          stream,
          [...requestTo("/test.Peer/Hang", "POST"), ["content-type", "application/grpc"], ["te", "trailers"], ...more],
          Flag.endHeaders,
        ),
        data(stream, Buffer.of(0, 0, 0, 0, 0), Flag.endStream),
      );
    await call(1);
    await call(3, ["grpc-timeout", "200m"]);
    await client.until(() => client.ended(3), "the end of the call with a limit");
    expect(Object.fromEntries(client.heads(3)[0]!)).toMatchObject({
      ":status": "200",
      "grpc-status": "4",
      "grpc-message": "exchange-timeout",
    });
    const [connection] = connections;
    await connection!.until(
      () => connection!.of(Type.rstStream).length > 0,
      "the end of the call at the origin server",
    );
    expect(connection!.of(Type.rstStream).map(({ stream }) => [stream, connection!.resetCode(stream)])).toEqual([
      [3, Code.cancel],
    ]);
    const limits = [1, 3].map((stream) => connection!.heads(stream)[0]!.find(([name]) => name === "grpc-timeout")?.[1]);
    expect(limits).toEqual([undefined, "200m"]);
    // The call without a limit goes on.
    expect([client.ended(1), client.resetCode(1)]).toEqual([false, null]);
    connection![Symbol.dispose]();
    silent.close();
  }, 60_000);

  test("what fails here has a status: no endpoint, a refusal of a middleware", async () => {
    const { unavailable, denied } = await calls(address, "unavailable", "denied");
    expect(unavailable).toMatchObject({ code: 14, details: "upstream-connect-refused" });
    expect(denied).toMatchObject({ code: 7, details: "403 Forbidden" });
  });

  test("an origin server that goes away within a stream is a status at its end, and nothing is lost before", async () => {
    using dying = await startGrpcOrigin();
    await using own = await Gateway.start({
      workers: 1,
      listeners: ["127.0.0.1:0"],
      upstreams: { calls: { endpoints: dying.address, protocol: "http2" } },
      sites: [{ to: "calls" }],
    });
    const { cut } = await calls(new URL(own.url()).host, "cut");
    expect(cut).toMatchObject({ messages: ["one", "two"], code: 14 });
  });

  test("an endpoint that says by gRPC that it does not serve gets no calls until it does again", async () => {
    using other = await startGrpcOrigin();
    await using own = await Gateway.start({
      workers: 1,
      listeners: ["127.0.0.1:0"],
      upstreams: {
        calls: {
          endpoints: [first.address, other.address],
          protocol: "http2",
          health: { check: { grpc: { service: "test.Peer" }, every: "100ms", rise: 1, fall: 1 } },
        },
      },
      sites: [{ to: "calls" }],
    });
    await calls(other.address, "stop-serving");
    await own.says(/test\.Peer.* is NOT_SERVING/);
    const { many } = await calls(new URL(own.url()).host, "many");
    expect(many).toHaveLength(100);
    const lines = await own.log(100);
    expect(new Set(lines.map((line) => line["endpoint"]))).toEqual(new Set([first.address]));
    await calls(other.address, "serve");
    await own.says(`an endpoint is up upstream=calls endpoint=${other.address}`);
  });

  test("over TLS on both sides, HTTP/2 by ALPN", async () => {
    const files = new CertificateFolder();
    const pair = files.put("both", files.authority.issue(["localhost", "127.0.0.1"]));
    using secure = await startGrpcOrigin(pair);
    await using own = await Gateway.start({
      workers: 1,
      listeners: [{ address: "127.0.0.1:0", tls: true }],
      tls: { certificates: pair },
      upstreams: { calls: { endpoints: secure.address, protocol: "http2", tls: { ca: files.file("ca.pem") } } },
      sites: [{ to: "calls" }],
    });
    const { port } = new URL(own.url());
    const env = { GRPC_CA: files.file("ca.pem") };
    const results = await callsWith(
      env,
      `localhost:${port}`,
      "unary",
      "metadata",
      "status",
      "list-large",
      "chat",
      "many",
    );
    expect(results.unary.answer).toBe("echo of hello");
    expect(results.metadata.trailing!["trailing-echo-bin"]).toEqual(["AAEC/w==", "c2Vjb25k"]);
    expect(results.status.code).toBe(5);
    expect(results["list-large"]).toEqual({ count: 40, octets: 8_000_000, code: 0 } as never);
    expect(results.chat.messages).toHaveLength(20);
    expect(results.many).toHaveLength(100);
    files.remove();
  });

  test("a call that has not begun is made again, at another endpoint", async () => {
    await using own = await Gateway.start({
      workers: 1,
      listeners: ["127.0.0.1:0"],
      upstreams: {
        calls: {
          endpoints: [`127.0.0.1:${await closedPort()}`, first.address],
          protocol: "http2",
          health: { passive: "off" },
          retry: { budget: "100%" },
        },
      },
      sites: [{ to: "calls" }],
    });
    const { many } = await calls(new URL(own.url()).host, "many");
    expect(many).toEqual(Array.from({ length: 100 }, (_, n) => `echo of ${n}`) as never);
  });
});
