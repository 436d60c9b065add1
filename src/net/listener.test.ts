import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { IPV6, needs } from "../base/testing.ts";
import { IPPROTO_TCP, libc, TCP_DEFER_ACCEPT } from "./libc.ts";
import { Listener } from "./listener.ts";
import { onTurnEnd } from "./loop.ts";
import type { TcpConnection } from "./tcp.ts";
import { jump, LOOPBACK, listening, openSockets, Peer, pass, Recorder, until, wait } from "./testing.ts";

let before = 0;
beforeEach(() => {
  before = openSockets();
});
afterEach(async () => {
  await until(() => openSockets() <= before, "every socket of the test is closed");
});

/** A listener with all that it said. */
class Door {
  readonly connections: TcpConnection[] = [];
  readonly peers: string[] = [];
  readonly pauses: string[] = [];
  readonly faults: unknown[] = [];
  readonly listener: Listener;
  readonly sockaddr: Uint8Array;
  readonly fd: number;
  accept: (connection: TcpConnection) => void = () => {};

  constructor(maxConnections = 100, address = LOOPBACK) {
    const { fd, sockaddr } = listening(address);
    this.fd = fd;
    this.sockaddr = sockaddr;
    this.listener = new Listener(fd, maxConnections, this);
    this.listener.start();
  }

  onConnection(connection: TcpConnection, peer: string, peerPort: number): void {
    connection.handler = new Recorder();
    this.connections.push(connection);
    this.peers.push(`${peer} ${peerPort > 0}`);
    this.accept(connection);
  }

  onAcceptPaused(reason: string): void {
    this.pauses.push(reason);
  }

  fault(thrown: unknown): void {
    this.faults.push(thrown);
  }

  deferredSeconds(): number {
    const seconds = new Int32Array(1);
    libc.getsockopt(this.fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, seconds, Uint32Array.of(4));
    return seconds[0]!;
  }

  close(): void {
    this.listener.stop();
    libc.close(this.fd);
    for (const connection of this.connections) connection.destroy();
  }
}

const tellsThePeer = async (host: string): Promise<void> => {
  const door = new Door(100, { kind: "tcp", host, port: 0 });
  using _peer = new Peer(door.sockaddr);
  await until(() => door.connections.length === 1);
  expect(door.peers).toEqual([`${host} true`]);
  door.close();
};
test("tells the address of an IPv4 peer", () => tellsThePeer("127.0.0.1"));
needs(IPV6).test("tells the address of an IPv6 peer", () => tellsThePeer("::1"));

needs(IPV6).test(
  "an IPv4 peer of a listener on all addresses has its IPv4 address; one on a unix socket has none",
  async () => {
    const dual = new Door(100, { kind: "tcp", host: "::", port: 0 });
    const port = (dual.sockaddr[2]! << 8) | dual.sockaddr[3]!;
    using _first = new Peer(Uint8Array.from([2, 0, port >> 8, port & 255, 127, 0, 0, 1, ...new Array(8).fill(0)]));
    const unix = new Door(100, { kind: "unix", path: `@lintel-listener-${process.pid}` });
    using _second = new Peer(unix.sockaddr);
    await until(() => dual.connections.length + unix.connections.length === 2);
    expect([dual.peers, unix.peers]).toEqual([["127.0.0.1 true"], [" false"]]);
    dual.close();
    unix.close();
  },
);

test("more than one event's worth of waiting clients are all accepted", async () => {
  const door = new Door(1000);
  const peers = Array.from({ length: 120 }, () => new Peer(door.sockaddr));
  await until(() => door.connections.length === 120);
  expect(door.pauses).toEqual([]);
  for (const peer of peers) peer.close();
  door.close();
});

describe("at the limit of connections", () => {
  test("clients wait in the backlog, and get in as soon as one has gone", async () => {
    const door = new Door(2);
    const peers = Array.from({ length: 4 }, () => new Peer(door.sockaddr));
    await until(() => door.pauses.length > 0);
    await wait(30);
    expect(door.connections).toHaveLength(2);
    expect(door.listener.connections).toBe(2);
    expect(door.pauses).toContain("limit");
    door.connections[0]!.destroy();
    door.listener.released();
    // Not at its next look: now.
    for (let i = 0; i < 3; i++) await pass();
    expect(door.connections).toHaveLength(3);
    for (const peer of peers) peer.close();
    door.close();
  });

  test("it does not spin: it looks again about ten times a second", async () => {
    const door = new Door(1);
    const peers = [new Peer(door.sockaddr), new Peer(door.sockaddr)];
    await until(() => door.pauses.length > 0);
    let turns = 0;
    onTurnEnd(() => turns++);
    const [start, looks] = [performance.now(), door.pauses.length];
    await Bun.sleep(150);
    const tookMs = performance.now() - start;
    // However long that was in truth.
    expect(door.pauses.length - looks).toBeLessThanOrEqual(Math.ceil(tookMs / 100));
    expect(turns).toBeLessThan(tookMs);
    const before = door.pauses.length;
    jump(100);
    await until(() => door.pauses.length > before);
    for (const peer of peers) peer.close();
    door.close();
  });
});

test("stop takes those that wait already, and nobody after them; start goes on with those who came meanwhile", async () => {
  const door = new Door();
  const peers = [new Peer(door.sockaddr), new Peer(door.sockaddr)];
  door.listener.stop();
  expect(door.connections).toHaveLength(2);
  peers.push(new Peer(door.sockaddr));
  await wait(20);
  door.listener.released();
  await wait(20);
  expect(door.connections).toHaveLength(2);
  door.listener.start();
  await until(() => door.connections.length === 3);
  for (const peer of peers) peer.close();
  door.close();
});

describe("deferred: the client speaks first", () => {
  const deferring = (): Door => {
    const door = new Door();
    door.listener.deferAccept = true;
    return door;
  };

  test("it is taken up when it has spoken", async () => {
    const door = deferring();
    const startedAt = performance.now();
    using peer = new Peer(door.sockaddr);
    await wait(50);
    // The system asks again after a second; a machine that was busy for so long has seen nothing of this.
    if (performance.now() - startedAt < 900) expect(door.connections).toEqual([]);
    peer.send("x");
    await until(() => door.connections.length === 1);
    const heard = door.connections[0]!.handler as Recorder;
    await until(() => heard.text === "x");
    door.close();
  });

  test("one that says nothing is taken up later", async () => {
    const door = deferring();
    using _peer = new Peer(door.sockaddr);
    await until(() => door.connections.length === 1);
    door.close();
  });

  test("one that ends without a word is taken up, and says so", async () => {
    const door = deferring();
    using peer = new Peer(door.sockaddr);
    peer.endWriting();
    await until(() => door.connections.length === 1);
    const heard = door.connections[0]!.handler as Recorder;
    await until(() => heard.events.includes("end"));
    door.close();
  });

  test("it can be taken back, and ends with its listener: the socket may be for another protocol next", () => {
    const door = deferring();
    expect(door.deferredSeconds()).toBeGreaterThan(0);
    door.listener.deferAccept = false;
    expect(door.deferredSeconds()).toBe(0);
    door.listener.deferAccept = true;
    new Listener(door.fd, 1, door);
    expect(door.deferredSeconds()).toBe(0);
    door.close();
  });
});

test("a client that is gone before it is accepted costs nothing", async () => {
  const door = new Door();
  const connections = door.listener.connections;
  for (let i = 0; i < 20; i++) new Peer(door.sockaddr).reset();
  using peer = new Peer(door.sockaddr);
  peer.send("x");
  await until(() => door.connections.some(({ octetsIn }) => octetsIn === 1));
  expect(door.pauses).toEqual([]);
  expect(door.listener.connections).toBeGreaterThan(connections);
  door.close();
});

test("a handler that throws loses that connection only", async () => {
  const door = new Door();
  door.accept = () => {
    door.accept = () => {};
    throw new Error("handler");
  };
  using first = new Peer(door.sockaddr);
  using _second = new Peer(door.sockaddr);
  await until(() => door.connections.length === 2);
  expect(door.faults.map(String)).toEqual(["Error: handler"]);
  expect(door.connections.map(({ open }) => open)).toEqual([false, true]);
  expect(door.listener.connections).toBe(1);
  expect((await first.receiveAll()).end).toBe("end");
  await pass();
  door.close();
});

describe("out of file descriptors", () => {
  /** Runs in a process of its own that may have few descriptors. */
  async function starved(script: string): Promise<unknown> {
    const code = `
      import { readdirSync } from "node:fs";
      import { IPPROTO_TCP, libc, TCP_DEFER_ACCEPT } from "./libc.ts";
      import { Listener } from "./listener.ts";
      import { onTurnEnd } from "./loop.ts";
      import { Connecting } from "./connect.ts";
      import { listening, Peer, until } from "./testing.ts";
      const { fd, sockaddr } = listening();
      const accepted = [], pauses = [];
      const listener = new Listener(fd, 1000, {
        onConnection(connection) { accepted.push(connection); },
        onAcceptPaused(reason) { pauses.push(reason); },
        fault(thrown) { throw thrown; },
      });
      listener.start();
      let turns = 0;
      onTurnEnd(() => turns++);
      ${script}
      process.exit(0);`;
    const child = Bun.spawn(["sh", "-c", 'ulimit -n 60; exec "$0" -e "$1"', process.execPath, code], {
      cwd: import.meta.dir,
      stdout: "pipe",
      stderr: "inherit",
    });
    return JSON.parse(await child.stdout.text());
  }

  test("accepting pauses without spinning, says why once each time, and goes on when descriptors come back", async () => {
    const result = await starved(`
      const hoard = [];
      for (let one; (one = libc.socket(1, 1, 0)) >= 0; ) hoard.push(one);
      // One for the peer, none left to accept it with.
      libc.close(hoard.pop());
      const peer = new Peer(sockaddr);
      await until(() => pauses.length > 0);
      const [start, looks, turned] = [performance.now(), pauses.length, turns];
      await Bun.sleep(200);
      const tookMs = performance.now() - start;
      const spun = { looks: pauses.length - looks > Math.ceil(tookMs / 100), turns: turns - turned > tookMs };
      for (const one of hoard) libc.close(one);
      await until(() => accepted.length === 1);
      console.log(JSON.stringify({ reasons: [...new Set(pauses)], spun }));`);
    expect(result).toEqual({ reasons: ["EMFILE"], spun: { looks: false, turns: false } });
  });

  test("connecting fails with EMFILE, in a later turn", async () => {
    const result = await starved(`
      const hoard = [];
      for (let one; (one = libc.socket(1, 1, 0)) >= 0; ) hoard.push(one);
      const said = [];
      const taker = { onConnected() { said.push("connected"); }, onConnectFailed(error) { said.push(error); }, fault() {} };
      new Connecting(sockaddr, 1000, taker);
      const cancelled = new Connecting(sockaddr, 1000, taker);
      cancelled.cancel();
      said.push("returned");
      await until(() => said.length === 2);
      console.log(JSON.stringify(said));`);
    expect(result).toEqual(["returned", "EMFILE"]);
  });
});
