/** Against knot; servers that are silent or say something odd are small ones of ours, in its place. */
import { afterAll, afterEach, beforeAll, expect, setSystemTime, test } from "bun:test";
import { needs, program } from "../../base/testing.ts";
import type { DynamicUpdateConfig } from "../../config/gateway-config.ts";
import { freePort } from "../testing.ts";
import { DynamicUpdate } from "./dynamic-update.ts";
import { Knot, knotPath } from "./testing.ts";

const never = new AbortController().signal;
const NAME = "_acme-challenge.shop.example.test";
const running: { stop(): unknown }[] = [];
afterEach(async () => {
  setSystemTime();
  for (const one of running.splice(0).reverse()) await one.stop();
});

function updater(server: string, more: Partial<DynamicUpdateConfig> = {}): DynamicUpdate {
  return new DynamicUpdate({ kind: "rfc2136", server, zone: null, key: null, ttl: 60_000, timeout: 5000, ...more });
}

needs(program("knotd", knotPath)).describe("against knot", () => {
  let knot: Knot;
  beforeAll(async () => {
    knot = await Knot.start();
  });
  afterAll(() => knot.stop());

  test("a record is set and taken away; either is no error if it is so already", async () => {
    const update = updater(knot.address, { key: knot.key });
    for (const value of ["one", "two", "two"]) await update.present(NAME, value, never);
    expect((await knot.lookUp("TXT", NAME)).sort()).toEqual(["one", "two"]);
    for (const value of ["two", "two", "three"]) await update.cleanup(NAME, value, never);
    expect(await knot.lookUp("TXT", NAME)).toEqual(["one"]);
    await update.cleanup(NAME, "one", never);
    expect(await knot.lookUp("TXT", NAME)).toEqual([]);
  }, 120_000);

  test("its server can be named by a host's name", async () => {
    const server = knot.address.replace("127.0.0.1", "localhost");
    const update = updater(server, { key: knot.key });
    await update.present(NAME, "by name", never);
    expect(await knot.lookUp("TXT", NAME)).toEqual(["by name"]);
    await update.cleanup(NAME, "by name", never);
  }, 120_000);

  test("without a key it is refused, and the advice is about the server", async () => {
    const refused = updater(knot.address, { zone: "example.test" }).present(NAME, "x", never);
    await expect(refused).rejects.toThrow(`${knot.address} answers an update of ${NAME} with `);
    await expect(refused).rejects.toThrow(/(NOTAUTH|REFUSED) \(the server does not /);
  }, 120_000);

  test("a key of another name, another secret, and a clock that is wrong are told apart (RFC 8945 §5.2)", async () => {
    const secret = Buffer.from("another key, of any length").toString("base64");
    const told = (key: DynamicUpdateConfig["key"]) => expect(updater(knot.address, { key }).present(NAME, "x", never));
    await told({ ...knot.key, name: "stranger" }).rejects.toThrow("with BADKEY (the server knows no key of that name");
    await told({ ...knot.key, secret }).rejects.toThrow("with BADSIG (the server has another secret");
    setSystemTime(new Date(Date.now() - 3_600_000));
    await told(knot.key).rejects.toThrow("with BADTIME (the clocks");
    setSystemTime();
    expect(await knot.lookUp("TXT", NAME)).toEqual([]);
  }, 120_000);

  test("a name that DNS cannot hold is refused before anybody is asked", async () => {
    const long = `_acme-challenge.${"x".repeat(64)}.example.test`;
    const update = updater("127.0.0.1:1", { zone: "example.test" });
    await expect(update.present(long, "x", never)).rejects.toThrow("is no name for DNS");
  });
});

/** A server that answers what comes over a connection with these octets, or not at all. */
function oddServer(answer: (message: Buffer) => Buffer | "nothing" | "end"): string {
  const server = Bun.listen({
    port: 0,
    hostname: "127.0.0.1",
    socket: {
      data(socket, message) {
        const octets = answer(message);
        if (octets === "end") socket.end();
        else if (octets !== "nothing") socket.write(octets);
      },
    },
  });
  running.push({ stop: () => server.stop(true) });
  return `127.0.0.1:${server.port}`;
}

/** The head of a reply to a message that came with its length before it. */
function replyTo(message: Buffer, code: number): Buffer {
  const head = Buffer.alloc(14);
  head.writeUInt16BE(12, 0);
  message.copy(head, 2, 2, 4);
  head.writeUInt16BE(0x8000 | code, 4);
  return head;
}

test.each([
  ["says nothing", () => "nothing", "did not answer within 0.2 s"],
  ["hangs up", () => "end", "closed the connection before its answer"],
  ["breaks off", (message: Buffer) => replyTo(message, 0).subarray(0, 8), "did not answer within 0.2 s"],
  [
    "says something else",
    () => Buffer.from("HTTP/1.1 400 Bad Request\r\n".repeat(1000)),
    "sent something that is no answer",
  ],
  [
    "answers another question",
    (message: Buffer) => replyTo(message.fill(0xee, 2, 4), 0),
    "sent something that is no answer",
  ],
  ["sends an empty message", () => Buffer.from([0, 0]), "sent something that is no answer"],
  ["repeats the question", (message: Buffer) => message, "sent something that is no answer"],
  ["has a code of its own", (message: Buffer) => replyTo(message, 14), `answers an update of ${NAME} with RCODE14`],
  ["fails", (message: Buffer) => replyTo(message, 2), "with SERVFAIL (see the server's log)"],
  ["has another zone", (message: Buffer) => replyTo(message, 10), "with NOTZONE (the name is outside of the zone"],
] as const)("a server that %s is told by its address", async (_what, answer, said) => {
  const address = oddServer(answer as (message: Buffer) => Buffer);
  // Only who is silent to the end is waited for that long.
  const timeout = said.includes("0.2 s") ? 200 : 60_000;
  const update = updater(address, { zone: "example.test", timeout }).present(NAME, "x", never);
  await expect(update).rejects.toThrow(said);
  await expect(update).rejects.toThrow(address);
});

test("an answer may come octet by octet, and more behind it", async () => {
  const server = Bun.listen({
    port: 0,
    hostname: "127.0.0.1",
    socket: {
      async data(socket, message) {
        for (const octet of [...replyTo(message, 0), 1, 2, 3]) {
          socket.write(Uint8Array.of(octet));
          socket.flush();
          await Bun.sleep(1);
        }
      },
    },
  });
  running.push({ stop: () => server.stop(true) });
  await updater(`127.0.0.1:${server.port}`, { zone: "example.test" }).present(NAME, "x", never);
});

test("a server that knows no zone for the name is asked for each name above it, but not for a top level one", async () => {
  const asked: string[] = [];
  const address = oddServer((message) => {
    asked.push(message.subarray(14, -5).toString("latin1"));
    return replyTo(message, 5);
  });
  await expect(updater(address).present("_acme-challenge.a.test", "x", never)).rejects.toThrow(
    `${address} has no zone for _acme-challenge.a.test`,
  );
  expect(asked).toEqual(["\x0f_acme-challenge\x01a\x04test", "\x01a\x04test"]);
});

test("a server that does not listen", async () => {
  const address = `127.0.0.1:${await freePort()}`;
  await expect(updater(address).present(NAME, "x", never)).rejects.toThrow(`${address} cannot be asked: ECONNREFUSED`);
});

test("an update that is called off says why, before and while the server is asked", async () => {
  const reason = new Error("the gateway stops");
  const arrived = Promise.withResolvers<void>();
  const address = oddServer(() => {
    arrived.resolve();
    return "nothing";
  });
  const update = updater(address, { timeout: 600_000 });
  await expect(update.cleanup(NAME, "x", AbortSignal.abort(reason))).rejects.toBe(reason);
  const calling = new AbortController();
  const asking = update.present(NAME, "x", calling.signal);
  await arrived.promise;
  calling.abort(reason);
  await expect(asking).rejects.toBe(reason);
});
