import { afterEach, beforeEach, expect, test } from "bun:test";
import { IPV6, needs } from "../base/testing.ts";
import { type Address, encodeSockaddr } from "./address.ts";
import { Connecting } from "./connect.ts";
import { libc } from "./libc.ts";
import type { TcpConnection } from "./tcp.ts";
import { jump, LOOPBACK, listening, openSockets, Peer, pass, Recorder, until, wait } from "./testing.ts";

let before = 0;
beforeEach(() => {
  before = openSockets();
});
afterEach(async () => {
  await until(() => openSockets() <= before, "every socket of the test is closed");
});

/** What became of an attempt to connect. */
class Attempt {
  outcome = "";
  connection: TcpConnection | null = null;
  readonly connecting: Connecting;

  constructor(sockaddr: Uint8Array, timeoutMs = 10_000) {
    this.connecting = new Connecting(sockaddr, timeoutMs, this);
    expect(this.outcome).toBe(""); // Never from within the constructor.
  }

  onConnected(connection: TcpConnection): void {
    this.connection = connection;
    this.#over("connected");
  }

  onConnectFailed(error: string): void {
    this.#over(error);
  }

  fault(thrown: unknown): void {
    this.#over(`fault ${thrown}`);
  }

  #over(outcome: string): void {
    this.outcome += outcome;
  }

  async done(): Promise<string> {
    await until(() => this.outcome !== "", "the attempt is over");
    return this.outcome;
  }
}

/** A socket on loopback that completes no further handshake: its backlog is full. */
function blackhole(): { sockaddr: Uint8Array; close(): void } {
  const { fd, sockaddr } = listening(LOOPBACK, 0);
  const peer = new Peer(sockaddr);
  return {
    sockaddr,
    close() {
      peer.close();
      libc.close(fd);
    },
  };
}

const connectsTo = async (address: Address): Promise<void> => {
  const { fd, sockaddr } = listening(address);
  const attempt = new Attempt(sockaddr);
  expect(await attempt.done()).toBe("connected");
  const connection = attempt.connection!;
  connection.handler = new Recorder();
  connection.writeText("hello");
  expect(connection.isQuiet()).toBe(true);
  connection.close(false);
  libc.close(fd);
};
test("connects over IPv4", () => connectsTo(LOOPBACK));
needs(IPV6).test("connects over IPv6", () => connectsTo({ kind: "tcp", host: "::1", port: 0 }));
test("connects over a unix socket", () => connectsTo({ kind: "unix", path: `@lintel-connect-${process.pid}` }));

test("what the peer says at once is heard", async () => {
  const { fd, sockaddr } = listening();
  const attempt = new Attempt(sockaddr);
  const heard = new Recorder();
  await attempt.done();
  attempt.connection!.handler = heard;
  const accepted = libc.accept4(fd, null, null, 0);
  libc.send(accepted, Buffer.from("220 ready"), 9, 0);
  libc.close(accepted);
  await until(() => heard.events.length === 2);
  expect({ text: heard.text, events: heard.events }).toEqual({ text: "220 ready", events: ["octets", "end"] });
  attempt.connection!.destroy();
  libc.close(fd);
});

test("nobody listens: ECONNREFUSED", async () => {
  const { fd, sockaddr } = listening();
  libc.close(fd);
  const attempt = new Attempt(sockaddr);
  expect(await attempt.done()).toBe("ECONNREFUSED");
});

test("no answer within the limit: ETIMEDOUT, neither early nor late, and the socket is closed", async () => {
  const hole = blackhole();
  const attempt = new Attempt(hole.sockaddr, 5000);
  jump(4999);
  expect(attempt.outcome).toBe("");
  jump(5000);
  expect(attempt.outcome).toBe("ETIMEDOUT");
  hole.close();
});

test("the limit counts from the attempt, not from when the loop last turned", async () => {
  // Nothing is watched, so our clock stands still meanwhile.
  await Bun.sleep(20);
  const hole = blackhole();
  const begun = performance.now();
  const attempt = new Attempt(hole.sockaddr, 5000);
  jump(4999, begun);
  expect(attempt.outcome).toBe("");
  attempt.connecting.cancel();
  hole.close();
});

test("a cancelled attempt says nothing and leaves no socket", async () => {
  const hole = blackhole();
  const waiting = new Attempt(hole.sockaddr, 5000);
  await pass();
  waiting.connecting.cancel();
  const { fd, sockaddr } = listening();
  const connected = new Attempt(sockaddr);
  connected.connecting.cancel();
  connected.connecting.cancel();
  const refused = new Attempt(encodeSockaddr({ kind: "unix", path: "/nonexistent/lintel.sock" }));
  refused.connecting.cancel();
  jump(5000);
  await wait(5);
  expect([waiting.outcome, connected.outcome, refused.outcome]).toEqual(["", "", ""]);
  libc.close(fd);
  hole.close();
});

test("cancelling after the outcome changes nothing", async () => {
  const { fd, sockaddr } = listening();
  const attempt = new Attempt(sockaddr);
  await attempt.done();
  attempt.connecting.cancel();
  await pass();
  expect(attempt.connection!.open).toBe(true);
  attempt.connection!.destroy();
  libc.close(fd);
});

test("a unix socket that is not there: ENOENT, told in a later turn", async () => {
  const attempt = new Attempt(encodeSockaddr({ kind: "unix", path: "/nonexistent/lintel.sock" }));
  expect(await attempt.done()).toBe("ENOENT");
});

test("a unix socket whose backlog is full refuses, as nothing else would ever tell", async () => {
  const { fd, sockaddr } = listening({ kind: "unix", path: `@lintel-full-${process.pid}` }, 0);
  const peer = new Peer(sockaddr);
  expect(await new Attempt(sockaddr).done()).toBe("ECONNREFUSED");
  peer.close();
  libc.close(fd);
});

test("an address that cannot be reached fails with the kernel's reason", async () => {
  const attempt = new Attempt(encodeSockaddr({ kind: "tcp", host: "255.255.255.255", port: 80 }));
  expect(await attempt.done()).toMatch(/^(ENETUNREACH|EACCES|EHOSTUNREACH)$/);
});

test("a taker that throws loses its connection only", async () => {
  const { fd, sockaddr } = listening();
  let faults = "";
  new Connecting(sockaddr, 1000, {
    onConnected() {
      throw new Error("taker");
    },
    onConnectFailed() {},
    fault(thrown) {
      faults += String(thrown);
    },
  });
  await until(() => faults !== "");
  expect(faults).toBe("Error: taker");
  const next = new Attempt(sockaddr);
  expect(await next.done()).toBe("connected");
  next.connection!.destroy();
  libc.close(fd);
});
