/** Batches of the loop: reads come first, then our own work, then all sends; and what may happen to a connection in between. */
import { expect, spyOn, test } from "bun:test";
import { libc } from "./libc.ts";
import { BATCH } from "./loop.ts";
import { pair, Recorder, until, wait } from "./testing.ts";

/** Reads ahead, and does something with what has come. */
class Ahead extends Recorder {
  readonly readsAhead: boolean = true;
  onText: (text: string) => void = () => {};

  override onOctets(room: Buffer, length: number): void {
    super.onOctets(room, length);
    this.onText(room.latin1Slice(0, length));
  }
}

class NotAhead extends Ahead {
  override readonly readsAhead = false;
}

const pairs = <H extends Ahead>(count: number, make: () => H) =>
  Promise.all(Array.from({ length: count }, () => pair({ handler: make() })));

type Pairs = Awaited<ReturnType<typeof pairs>>;

function endAll(all: Pairs): void {
  for (const { connection, peer } of all) {
    connection.destroy();
    peer.close();
  }
}

/** What happens in the turn that finds a request of each of these connections, which answer at once. */
async function orderOf(all: Pairs): Promise<string[]> {
  await wait(1);
  const order: string[] = [];
  const { recv, send } = libc;
  const noting = (what: string, call: typeof recv): typeof recv =>
    ((fd, at, length, flags) => {
      const done = call(fd, at, length, flags);
      if (done > 0) order.push(what);
      return done;
    }) as typeof recv;
  const spies = [
    spyOn(libc, "recv").mockImplementation(noting("read", recv)),
    spyOn(libc, "send").mockImplementation(noting("send", send)),
  ];
  for (const { connection, heard } of all)
    heard.onText = (text) => {
      order.push("work");
      connection.writeText(`answer to ${text}`);
    };
  for (const { peer } of all) libc.send(peer.fd, Buffer.from("x"), 1, 0);
  order.length = 0;
  try {
    await until(() => order.filter((what) => what === "send").length === all.length);
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return order;
}

const times = (count: number, ...what: string[]): string[] => Array.from({ length: count }, () => what).flat();

test("a batch is read, then worked on, then sent", async () => {
  const all = await pairs(3, () => new Ahead());
  expect(await orderOf(all)).toEqual([...times(3, "read"), ...times(3, "work"), ...times(3, "send")]);
  endAll(all);
});

test("one batch after the other", async () => {
  const all = await pairs(BATCH + 2, () => new Ahead());
  const batch = (size: number) => [...times(size, "read"), ...times(size, "work"), ...times(size, "send")];
  expect(await orderOf(all)).toEqual([...batch(BATCH), ...batch(2)]);
  endAll(all);
});

test("who does not ask for it is read at its turn", async () => {
  const all = await pairs(3, () => new NotAhead());
  expect(await orderOf(all)).toEqual([...times(3, "read", "work"), ...times(3, "send")]);
  endAll(all);
});

test("each is handed what its own peer sent", async () => {
  const all = await pairs(3 * BATCH, () => new Ahead());
  for (const { connection, heard } of all) heard.onText = (text) => connection.writeText(text.toUpperCase());
  for (let round = 0; round < 20; round++) {
    const texts = all.map((_, i) => `${String.fromCharCode(0x61 + i)}${round}`.repeat(1 + ((i * 7 + round) % 400)));
    for (const [i, { peer }] of all.entries()) peer.send(texts[i]!);
    for (const [i, { peer }] of all.entries()) {
      let got = "";
      await until(() => (got += String(peer.receive())).length >= texts[i]!.length);
      expect(got).toBe(texts[i]!.toUpperCase());
    }
  }
  for (const { heard } of all) expect(heard.events).toEqual(["octets"]);
  endAll(all);
});

/** The first of a batch does something to the second, whose octets are read by then. */
async function meddle(what: (other: Pairs[number]["connection"]) => void): Promise<Pairs> {
  const all = await pairs(2, () => new Ahead());
  await wait(1);
  all[0]!.heard.onText = () => what(all[1]!.connection);
  for (const { peer } of all) peer.send("x");
  await until(() => all[0]!.heard.text === "x");
  await wait(5);
  return all;
}

test("one that is destroyed before its turn hears nothing more", async () => {
  const all = await meddle((other) => other.destroy());
  expect(all[1]!.heard.events).toEqual([]);
  expect(String(all[1]!.peer.receive())).toMatch(/^(end|ECONNRESET)$/);
  endAll(all);
});

test("one that is closed before its turn drops what has come, and ends in order", async () => {
  const all = await meddle((other) => {
    other.writeText("bye");
    other.close(true);
  });
  expect(all[1]!.heard.events).toEqual([]);
  expect(String(all[1]!.peer.receive())).toBe("bye");
  expect(all[1]!.peer.receive()).toBe("end");
  all[1]!.peer.endWriting();
  await until(() => !all[1]!.connection.open);
  endAll(all);
});

test("one that is paused before its turn gets what is read, and no more until it is resumed", async () => {
  const all = await meddle((other) => other.pause());
  const { connection, heard, peer } = all[1]!;
  expect(heard.text).toBe("x");
  peer.send("y");
  await wait(5);
  expect(heard.text).toBe("x");
  connection.resume();
  await until(() => heard.text === "xy");
  endAll(all);
});

test("more than one read takes, and an end behind it, come in order", async () => {
  const all = await pairs(2, () => new Ahead());
  const content = Buffer.alloc(300_000, "0123456789");
  const { heard, peer, connection } = all[1]!;
  all[0]!.peer.send("x");
  for (let at = 0; at < content.length; await wait(1)) at += peer.send(content.subarray(at));
  peer.endWriting();
  await until(() => heard.events.includes("end"));
  expect(Buffer.concat(heard.pieces).equals(content)).toBe(true);
  expect(heard.events).toEqual(["octets", "end"]);
  expect(connection.octetsIn).toBe(content.length);
  endAll(all);
});

test("a reset before the turn is told as ever", async () => {
  const all = await pairs(2, () => new Ahead());
  for (const { peer } of all) peer.send("x");
  all[1]!.peer.reset();
  await until(() => all[1]!.heard.events.some((event) => event.startsWith("lost")));
  expect(all[1]!.heard.events.at(-1)).toBe("lost ECONNRESET");
  expect(all[0]!.heard.text).toBe("x");
  endAll(all);
});
