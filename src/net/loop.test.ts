/** The loop and the runtime's own, side by side: neither keeps the other waiting, and both may end. */
import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { Connecting } from "./connect.ts";
import { libc, SOCK_NONBLOCK } from "./libc.ts";
import { TcpConnection } from "./tcp.ts";
import { listening, pair, Recorder, until } from "./testing.ts";

/** Runs code beside this file in a process of its own. @returns what it printed */
async function run(code: string): Promise<string> {
  const child = Bun.spawn([process.execPath, "-e", code], { cwd: import.meta.dir, stdout: "pipe", stderr: "inherit" });
  const timer = setTimeout(() => child.kill(9), 5000);
  const text = await child.stdout.text();
  expect(await child.exited).toBe(0);
  clearTimeout(timer);
  return text.trim();
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!;

/** Milliseconds that something takes, several times over. */
async function medianOf(times: number, work: () => Promise<unknown>): Promise<number> {
  const took: number[] = [];
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await work();
    took.push(performance.now() - start);
  }
  return median(took);
}

test("a timer of the runtime is late by 20 ms at most while only our loop has sockets", async () => {
  const { connection, peer } = await pair();
  expect(await medianOf(7, () => Bun.sleep(5))).toBeLessThan(30);
  connection.destroy();
  peer.close();
});

test("work of the runtime's threads wakes our wait at once", async () => {
  const { connection, peer } = await pair();
  expect(await medianOf(15, () => readFile("/proc/self/stat"))).toBeLessThan(10);
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
  expect(await medianOf(15, roundTrip)).toBeLessThan(10);
  const exited = performance.now();
  child.kill(9);
  await child.exited;
  expect(performance.now() - exited).toBeLessThan(200);
  connection.destroy();
  peer.close();
});

test("a busy loop gives the runtime a pass every few milliseconds", async () => {
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
  expect(await medianOf(9, () => Bun.sleep(1))).toBeLessThan(15);
  expect(await medianOf(9, () => readFile("/proc/self/stat"))).toBeLessThan(15);
  expect(connections[0]!.octetsIn).toBeGreaterThan(100);
  for (const connection of connections) connection.destroy();
  libc.close(fd);
});

test("octets that arrive wake the loop at once", async () => {
  const { connection, heard, peer } = await pair();
  const child = Bun.spawn(["sh", "-c", "for i in 1 2 3 4 5 6 7; do date +%s%N; sleep 0.03; done >&3"], {
    stdio: ["ignore", "inherit", "inherit", peer.fd],
  });
  const late: number[] = [];
  heard.onOctets = (room, length) => {
    late.push(performance.timeOrigin + performance.now() - Number(room.toString("latin1", 0, length)) / 1e6);
  };
  await child.exited;
  await until(() => late.length === 7);
  expect(median(late)).toBeLessThan(10);
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
    process.on("uncaughtException", (error) => console.log(error.message));
    const { connection, peer, heard } = await pair();
    new Timer(() => { throw new Error("in a timer"); }).arm(timerList(10));
    await Bun.sleep(60);
    peer.send("still here");
    await until(() => heard.text !== "");
    console.log(heard.text);
    process.exit(0);`;
  expect(await run(code)).toBe("in a timer\nstill here");
});

test("what a promise's continuation writes leaves in the same turn", async () => {
  const { connection, heard, peer } = await pair();
  heard.onOctets = () => {
    void Promise.resolve().then(() => connection.writeText("answer"));
  };
  peer.send("question");
  const start = performance.now();
  let answer = "";
  await until(() => (answer += peer.receive().toString()) !== "");
  expect(answer).toBe("answer");
  expect(performance.now() - start).toBeLessThan(40);
  connection.destroy();
  peer.close();
});
