/** When the kernel wakes us for long content: what a socket's own option says, and what arrives. */
import { expect, test } from "bun:test";
import type { UnseenOctets } from "./connection.ts";
import { libc, SO_RCVLOWAT, SOL_SOCKET } from "./libc.ts";
import { LowWaterMark } from "./low-water-mark.ts";
import { jump, pair, Recorder, until } from "./testing.ts";

const KIB = 1024;
const PATIENCE_MS = 4;

function markOf(fd: number): number {
  const value = new Int32Array(1);
  libc.getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, value, Uint32Array.of(4));
  return value[0]!;
}

/** Takes note of content that passes unseen, and drops it. */
class Counter extends Recorder {
  unseen = 1024 * KIB;
  moved = 0;

  onUnseen({ length }: UnseenOctets): void {
    this.moved += length;
    this.unseen -= length;
  }
}

test.each([
  ["a burst of long content", 64 * KIB, 900 * KIB, 256 * KIB],
  ["the end of content, of which less is to come than is worth waking for", 64 * KIB, 1000, 1000],
  ["little at a time", 1000, 900 * KIB, 1],
  ["an end that nobody knows", 64 * KIB, Infinity, 1],
])("%s", async (_, burst, wanted, expected) => {
  const { connection, peer } = await pair();
  const mark = new LowWaterMark(connection.fd);
  mark.waitFor(burst, wanted);
  expect(markOf(connection.fd)).toBe(expected);
  mark.clear();
  expect(markOf(connection.fd)).toBe(1);
  mark.waitFor(burst, wanted);
  jump(PATIENCE_MS);
  expect(markOf(connection.fd)).toBe(1);
  connection.destroy();
  peer.close();
});

test("a peer that pauses within content is not waited for, and what follows the content counts from its first octet", async () => {
  const { connection, heard, peer } = await pair({ handler: new Counter() });
  const send = async (length: number) => {
    const before = heard.moved;
    for (let left = length; left > 0; ) left -= peer.send(Buffer.alloc(Math.min(left, 64 * KIB)));
    await until(() => heard.moved === before + length, `${length} octets more`);
  };
  for (const length of [64 * KIB, 10, 64 * KIB, 300 * KIB, 1]) await send(length);
  await send(heard.unseen);
  peer.send("next");
  await until(() => heard.text === "next");
  expect(markOf(connection.fd)).toBe(1);
  connection.destroy();
  peer.close();
});
