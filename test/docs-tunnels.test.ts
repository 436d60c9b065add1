/** The example of docs/tunnels.md is served, and tunnels behave as the page says. */
import { afterEach, expect, test } from "bun:test";
import type { Script } from "./support/origin.ts";
import { PageReader } from "./support/page-reader.ts";
import { closeClients, RawClient, wire } from "./support/raw.ts";

afterEach(closeClients);

/** Accepts what it is offered, and sends back what comes through the tunnel. */
const echo: Script = async (request) => {
  const { connection } = request;
  if (request.field("upgrade") === undefined) return request.reply({ content: "no upgrade came" });
  const fields = ["Connection: Upgrade", `Upgrade: ${request.field("upgrade")}`];
  connection.detach();
  await connection.send(wire("HTTP/1.1 101 Switching Protocols", ...fields, "", ""));
  while (connection.inbox.ended === null) {
    await connection.inbox.until(() => connection.inbox.pending.length > 0 || connection.inbox.ended, "octets", 60_000);
    await connection.send(connection.inbox.take(connection.inbox.pending.length));
  }
};

const offer = (path: string, protocol: string): string =>
  wire(`GET ${path} HTTP/1.1`, "Host: a.example", "Connection: Upgrade", `Upgrade: ${protocol}`, "", "");

async function tunnel(reader: PageReader, path: string, protocol: string): Promise<RawClient> {
  const client = await RawClient.connect(reader.port);
  await client.send(offer(path, protocol));
  const { status, field } = await client.response();
  expect([status, field("upgrade")]).toEqual([101, protocol]);
  return client;
}

async function says(client: RawClient, text: string): Promise<void> {
  await client.send(text);
  expect(await client.until(text)).toBe(text);
}

test("docs/tunnels.md", async () => {
  await using reader = await PageReader.open("tunnels.md");
  await reader.next({}, (text) => text.replace("tunnelIdle: 10m", "tunnelIdle: 2s"));
  const { one } = reader;
  one.script = echo;

  // Both fields go up, the octets pass untouched, and where nothing moves the tunnel is closed: but not that of the route.
  const lasting = await tunnel(reader, "/socket", "websocket");
  expect([one.last.field("upgrade"), one.last.field("connection")?.toLowerCase()]).toEqual(["websocket", "upgrade"]);
  await says(lasting, "\x00\xff\r\n\r\nGET / HTTP/1.1\r\n");
  const idle = await tunnel(reader, "/other", "my-protocol/2");
  await says(idle, "hello");
  await idle.closed();
  await says(lasting, "still here");
  const ofOtherProtocol = await tunnel(reader, "/socket", "my-protocol/2");
  await ofOtherProtocol.closed();
  await says(lasting, "and still");

  // Each side may close its half before the other does.
  one.script = async (request) => {
    const { connection } = request;
    connection.detach();
    await connection.send(wire("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: sum", "", ""));
    await connection.closed();
    await connection.send(`had ${connection.inbox.pending.toString("latin1")}`);
    connection.end();
  };
  const half = await RawClient.connect(reader.port);
  await half.send(offer("/socket", "sum"));
  expect((await half.response()).status).toBe(101);
  await half.send("all of it");
  half.halfClose();
  expect(await half.untilClose()).toBe("had all of it");

  // Who answers otherwise has answered.
  one.script = (request) => request.reply({ status: 403, content: "not for you" });
  const client = await RawClient.connect(reader.port);
  await client.send(offer("/socket", "websocket"));
  expect(await client.response()).toMatchObject({ status: 403, text: "not for you" });

  // h2c is not relayed: the origin server never sees it.
  one.script = echo;
  await client.send(offer("/x", "h2c"));
  expect(await client.response()).toMatchObject({ status: 200, text: "no upgrade came" });
  closeClients();
}, 60_000);

test("docs/tunnels.md: CONNECT is refused with 405, unless its listener has `allowConnect` and a route takes it", async () => {
  await using reader = await PageReader.open("tunnels.md");
  await reader.next();
  const connect = wire("CONNECT a.example:443 HTTP/1.1", "Host: a.example:443", "", "");
  const asks = async (): Promise<RawClient> => {
    const client = await RawClient.connect(reader.port);
    await client.send(connect);
    return client;
  };
  expect((await (await asks()).response("CONNECT")).status).toBe(405);
  expect(reader.one.requests).toEqual([]);

  await using allowing = await PageReader.open("tunnels.md");
  await allowing.next({ listeners: [{ address: "127.0.0.1:0", allowConnect: true }] });
  allowing.one.script = async (request) => {
    request.connection.detach();
    await request.send("HTTP/1.1 200 OK\r\n\r\n");
    await request.send("through");
    await request.connection.closed(60_000);
  };
  const client = await RawClient.connect(allowing.port);
  await client.send(connect);
  expect((await client.head()).startLine).toContain(" 200 ");
  expect(await client.until("through")).toBe("through");
  closeClients();
}, 60_000);
