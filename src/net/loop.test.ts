/** The loop and the runtime's own, side by side: neither keeps the other waiting, and both may end. */
import { expect, spyOn, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { Timer, timerList } from "../base/timer.ts";
import { Connecting } from "./connect.ts";
import { libc, SOCK_NONBLOCK } from "./libc.ts";
import { nextTurn } from "./loop.ts";
import { TcpConnection } from "./tcp.ts";
import { listening, pair, Recorder } from "./testing.ts";

/** Runs code beside this file in a process of its own. @returns what it printed */
async function run(code: string): Promise<string> {
  const child = Bun.spawn([process.execPath, "-e", code], { cwd: import.meta.dir, stdout: "pipe", stderr: "inherit" });
  const timer = setTimeout(() => child.kill(9), 20_000);
  const text = await child.stdout.text();
  expect(await child.exited).toBe(0);
  clearTimeout(timer);
  return text.trim();
}

/** Does something several times. @returns how often a wait of ours was ended by an event meanwhile, not by its limit */
async function wakes(work: () => Promise<unknown>): Promise<number> {
  const { epoll_wait } = libc;
  const waits = spyOn(libc, "epoll_wait").mockImplementation(epoll_wait);
  for (let i = 0; i < 50; i++) await work();
  const ended = waits.mock.results.filter(({ value }) => Number(value) > 0);
  waits.mockRestore();
  return ended.length;
}

test("the runtime's timers go on while only our loop has sockets", async () => {
  const { connection, peer } = await pair();
  const ours = new Timer(() => {
    throw new Error("ten of 5 ms each take more than 10 s");
  });
  ours.arm(timerList(10_000)!);
  for (let i = 0; i < 10; i++) await Bun.sleep(5);
  ours.cancel();
  connection.destroy();
  peer.close();
});

test("work of the runtime's threads wakes our wait", async () => {
  const { connection, peer } = await pair();
  expect(await wakes(() => readFile("/proc/self/stat"))).toBeGreaterThan(2);
  connection.destroy();
  peer.close();
});

test("so does a message from another process", async () => {
  const { connection, peer } = await pair();
  let answered: () => void = () => {};
  const child = Bun.spawn([process.execPath, "-e", `process.on("message", (m) => process.send(m))`], {
    stdio: ["ignore", "inherit", "inherit"],
    ipc: () => answered(),
  });
  const roundTrip = () =>
    new Promise<void>((resolve) => {
      answered = resolve;
      child.send("ping");
    });
  await roundTrip();
  expect(await wakes(roundTrip)).toBeGreaterThan(2);
  child.kill(9);
  await child.exited;
  connection.destroy();
  peer.close();
});

test("a busy loop gives the runtime its passes", async () => {
  // Two of our connections that answer each other without a pause.
  const { fd, sockaddr } = listening();
  const { promise, resolve: onConnected, reject } = Promise.withResolvers<TcpConnection>();
  new Connecting(sockaddr, 1000, { onConnected, onConnectFailed: reject, fault: reject });
  const connections = [await promise, new TcpConnection(libc.accept4(fd, null, null, SOCK_NONBLOCK))];
  for (const connection of connections) {
    const echo = new Recorder();
    echo.onOctets = (room, length) => connection.write(room.subarray(0, length));
    connection.handler = echo;
  }
  connections[0]!.writeText("x");
  for (let i = 0; i < 9; i++) {
    await Bun.sleep(1);
    await readFile("/proc/self/stat");
  }
  expect(connections[0]!.octetsIn).toBeGreaterThan(100);
  for (const connection of connections) connection.destroy();
  libc.close(fd);
});

test("octets that another process sends are heard while nothing else wakes the loop", async () => {
  const { connection, heard, peer } = await pair();
  const child = Bun.spawn(["sh", "-c", "for i in 1 2 3 4 5; do sleep 0.03; printf $i; done >&3"], {
    stdio: ["ignore", "inherit", "inherit", peer.fd],
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  heard.onOctets = (room, length) => {
    heard.pieces.push(Buffer.from(room.subarray(0, length)));
    if (heard.text.endsWith("5")) resolve();
  };
  await promise;
  expect(heard.text).toBe("12345");
  await child.exited;
  connection.destroy();
  peer.close();
});

test("the process ends by itself once nothing is watched and no deadline is armed", async () => {
  const code = `
    import { pair, until } from "./testing.ts";
    import { Timer, timerList } from "../base/timer.ts";
    const { connection, peer } = await pair();
    new Timer(() => {
      connection.close(false);
      peer.close();
      console.log("closed");
    }).arm(timerList(50));`;
  expect(await run(code)).toBe("closed");
});

test("a connection keeps the process alive", async () => {
  const code = `
    import { pair } from "./testing.ts";
    const { connection, peer } = await pair();
    connection.handler = { ...connection.handler, onOctets() { console.log("heard"); process.exit(0); } };
    Bun.spawn(["sh", "-c", "sleep 0.1; printf x >&3"], { stdio: ["ignore", "inherit", "inherit", peer.fd] }).unref();`;
  expect(await run(code)).toBe("heard");
});

test("a fault that a process chooses to outlive does not stop the loop", async () => {
  const code = `
    import { pair, until } from "./testing.ts";
    import { Timer, timerList } from "../base/timer.ts";
    const { promise, resolve } = Promise.withResolvers();
    process.on("uncaughtException", (error) => resolve(console.log(error.message)));
    const { connection, peer, heard } = await pair();
    new Timer(() => { throw new Error("in a timer"); }).arm(timerList(10));
    await promise;
    peer.send("still here");
    await until(() => heard.text !== "");
    console.log(heard.text);
    process.exit(0);`;
  expect(await run(code)).toBe("in a timer\nstill here");
});

test("what a promise's continuation writes leaves in the same turn", async () => {
  const { connection, heard, peer } = await pair();
  const { promise, resolve } = Promise.withResolvers<string>();
  heard.onOctets = () => {
    void Promise.resolve().then(() => connection.writeText("answer"));
    nextTurn({ onAgain: () => resolve(peer.receive().toString()), onReady() {}, onFault() {} });
  };
  peer.send("question");
  expect(await promise).toBe("answer");
  connection.destroy();
  peer.close();
});
