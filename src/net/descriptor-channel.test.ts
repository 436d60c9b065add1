import { expect, test } from "bun:test";
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { DescriptorChannel } from "./descriptor-channel.ts";
import { libc } from "./libc.ts";
import { listening, Peer } from "./testing.ts";

const MODULE = JSON.stringify(`${import.meta.dir}/descriptor-channel.ts`);

/** A process with the other end of the channel as descriptor 3; it prints what the script prints. */
function child(channel: DescriptorChannel, script: string) {
  const program = `
    const { DescriptorChannel } = await import(${MODULE});
    const channel = new DescriptorChannel(3);
    const all = [];
    const want = async (count) => { while (all.length < count) { all.push(...channel.receive()); await Bun.sleep(2); } return all; };
    ${script}`;
  return Bun.spawn([process.execPath, "-e", program], {
    stdio: ["ignore", "pipe", "inherit", channel.fd],
  }) as Bun.Subprocess<"ignore", "pipe", "inherit">;
}

test("a running process receives descriptors with their labels, and uses them", async () => {
  const [ours, theirs] = DescriptorChannel.pair();
  const process = child(
    theirs,
    `const [{ id, fd }] = await want(1);
     const { libc } = await import(${JSON.stringify(`${import.meta.dir}/libc.ts`)});
     const { Peer } = await import(${JSON.stringify(`${import.meta.dir}/testing.ts`)});
     const peer = await Peer.accept(fd);
     peer.send("accepted on " + id);
     peer.close();`,
  );
  theirs.close();
  const { fd, sockaddr } = listening();
  ours.send([{ id: 7001, fd }]);
  libc.close(fd);
  using peer = new Peer(sockaddr);
  expect((await peer.receiveAll(10_000)).octets.toString()).toBe("accepted on 7001");
  expect(await process.exited).toBe(0);
  ours.close();
});

test("several hundred descriptors arrive whole, in their order, closed on exec", async () => {
  const folder = mkdtempSync(`${tmpdir()}/lintel-channel-`);
  const [ours, theirs] = DescriptorChannel.pair();
  const count = 450;
  const process = child(
    theirs,
    `const { readFileSync } = await import("node:fs");
     await want(${count});
     const flags = all.map(({ fd }) => parseInt(/flags:\\s*(\\d+)/.exec(readFileSync("/proc/self/fdinfo/" + fd, "latin1"))[1], 8));
     console.log(JSON.stringify({
       said: all.map(({ id, fd }) => [id, readFileSync(fd, "utf8")]),
       closedOnExec: flags.every((one) => (one & 0o2000000) !== 0),
     }));`,
  );
  theirs.close();
  const files = Array.from({ length: count }, (_, i) => {
    writeFileSync(`${folder}/${i}`, `file ${i}`);
    return openSync(`${folder}/${i}`, "r");
  });
  ours.send(files.map((fd, i) => ({ id: i * 3, fd })));
  for (const fd of files) closeSync(fd);
  expect(JSON.parse(await process.stdout.text())).toEqual({
    said: Array.from({ length: count }, (_, i) => [i * 3, `file ${i}`]),
    closedOnExec: true,
  });
  ours.close();
  rmSync(folder, { recursive: true });
});

test("with nothing sent, and after the other side is gone, there is nothing to receive", () => {
  const [ours, theirs] = DescriptorChannel.pair();
  expect(ours.receive()).toEqual([]);
  theirs.close();
  expect(ours.receive()).toEqual([]);
  expect(() => ours.send([{ id: 1, fd: 0 }])).toThrow("descriptors cannot be sent: EPIPE");
  ours.close();
});

test("a descriptor that is not open cannot be sent", () => {
  const [ours, theirs] = DescriptorChannel.pair();
  expect(() => ours.send([{ id: 1, fd: 9999 }])).toThrow("descriptors cannot be sent");
  expect(theirs.receive()).toEqual([]);
  ours.close();
  theirs.close();
});

test("nothing is left open, and what the receiver has outlives the sender's", () => {
  const before = readdirSync("/proc/self/fd").length;
  const [ours, theirs] = DescriptorChannel.pair();
  const sent = openSync(import.meta.path, "r");
  ours.send([{ id: 1, fd: sent }]);
  closeSync(sent);
  const [received] = theirs.receive();
  ours.close();
  theirs.close();
  expect(fstatSync(received!.fd).size).toBe(readFileSync(import.meta.path).length);
  closeSync(received!.fd);
  expect(readdirSync("/proc/self/fd").length).toBe(before);
});
