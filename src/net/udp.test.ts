import { afterEach, beforeEach, expect, test } from "bun:test";
import { encodeSockaddr, familyOf } from "./address.ts";
import { libc, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from "./libc.ts";
import { localAddressOf } from "./local-address.ts";
import { openSockets, until } from "./testing.ts";
import {
  type DatagramHandler,
  DatagramListener,
  type DatagramPeer,
  DatagramPort,
  type ReceivedDatagram,
} from "./udp.ts";

let before = 0;
const clean: (() => void)[] = [];
beforeEach(() => {
  before = openSockets();
});
afterEach(async () => {
  for (const one of clean.splice(0).reverse()) one();
  await until(() => openSockets() <= before, "every socket of the test is closed");
});

/** A bound socket by plain system calls: nothing of it runs by itself. */
function bound(host = "127.0.0.1") {
  const sockaddr = encodeSockaddr({ kind: "tcp", host, port: 0 });
  const fd = libc.socket(familyOf(sockaddr), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  libc.bind(fd, sockaddr, sockaddr.length);
  clean.push(() => libc.close(fd));
  const { port } = localAddressOf(fd);
  const room = new Uint8Array(70_000);
  return {
    fd,
    port,
    sockaddr: encodeSockaddr({ kind: "tcp", host, port }),
    connect: (to: Uint8Array) => libc.connect(fd, to, to.length),
    send: (text: string) => libc.send(fd, Buffer.from(`${text} `), text.length, 0),
    /** Text of the next datagram; null: there is none. */
    receive: (): string | null => {
      const length = libc.recv(fd, room, room.length, MSG_DONTWAIT);
      return length < 0 ? null : Buffer.from(room.subarray(0, length)).toString();
    },
  };
}

class Heard implements DatagramHandler {
  readonly peers: DatagramPeer[] = [];
  readonly keys: (number | string)[] = [];
  readonly lengths: number[] = [];
  readonly unsent: string[] = [];
  readonly faults: unknown[] = [];
  act: (datagram: ReceivedDatagram) => void = () => {};

  onDatagram(datagram: ReceivedDatagram): void {
    this.keys.push(datagram.key);
    this.lengths.push(datagram.length);
    this.peers.push(datagram.peer());
    this.act(datagram);
  }

  onUnsent(count: number, error: string): void {
    this.unsent.push(`${count} ${error}`);
  }

  fault(thrown: unknown): void {
    this.faults.push(thrown);
  }
}

function listen(fd: number) {
  const heard = new Heard();
  const listener = new DatagramListener(fd, heard);
  listener.start();
  clean.push(() => listener.close());
  return { heard, listener };
}

test("more datagrams than a batch holds are all read, with their senders", async () => {
  const [server, one, two] = [bound(), bound(), bound()];
  one.connect(server.sockaddr);
  two.connect(server.sockaddr);
  for (let i = 0; i < 50; i++) {
    one.send("x".repeat(i));
    two.send("y".repeat(i));
  }
  const { heard } = listen(server.fd);
  await until(() => heard.keys.length === 100);
  expect(new Set(heard.keys).size).toBe(2);
  expect(heard.lengths.reduce((sum, length) => sum + length)).toBe(2 * 1225);
  expect(new Set(heard.peers.map(({ sockaddr }) => [...sockaddr.subarray(0, 8)].join()))).toEqual(
    new Set([one, two].map(({ sockaddr }) => [...sockaddr.subarray(0, 8)].join())),
  );
});

test("a handler that throws loses that datagram only", async () => {
  const [server, client] = [bound(), bound()];
  client.connect(server.sockaddr);
  for (let i = 0; i < 3; i++) client.send(String(i));
  const { heard } = listen(server.fd);
  heard.act = () => {
    if (heard.keys.length === 2) throw new Error("a fault");
  };
  await until(() => heard.keys.length === 3);
  expect(heard.faults).toHaveLength(1);
});

test("answers go out by the batch; one that cannot be sent does not keep the others", async () => {
  const [server, origin, client] = [bound(), bound(), bound()];
  const { listener, heard } = listen(server.fd);
  const answered: number[] = [];
  const port = (peer: Uint8Array) => {
    const made = new DatagramPort(
      origin.sockaddr,
      listener,
      { sockaddr: peer, control: null },
      {
        onAnswers: (count) => answered.push(count),
        onPortError() {},
        fault(thrown) {
          throw thrown;
        },
      },
    );
    clean.push(() => made.close());
    return made;
  };
  // Nobody can have port 0.
  const nobody = encodeSockaddr({ kind: "tcp", host: "127.0.0.1", port: 0 });
  client.connect(server.sockaddr);
  client.send("who");
  await until(() => heard.peers.length === 1);
  const ports = [port(heard.peers[0]!.sockaddr), port(nobody), port(heard.peers[0]!.sockaddr)];
  heard.act = (datagram) => {
    for (const one of ports) one.send(datagram);
  };
  client.send("question");
  await until(() => origin.receive() === "question");
  // Answers to all three, each twice.
  for (const { localPort: to } of ports) {
    for (const text of ["a", "b"]) {
      const sockaddr = encodeSockaddr({ kind: "tcp", host: "127.0.0.1", port: to });
      origin.connect(sockaddr);
      origin.send(text);
    }
  }
  await until(() => answered.reduce((sum, count) => sum + count, 0) === 6);
  const got: string[] = [];
  await until(() => {
    for (let text = client.receive(); text !== null; text = client.receive()) got.push(text);
    return got.length === 4;
  });
  expect(got.sort()).toEqual(["a", "a", "b", "b"]);
  await until(() => heard.unsent.length === 2);
  expect(heard.unsent).toEqual(["1 EINVAL", "1 EINVAL"]);
});
