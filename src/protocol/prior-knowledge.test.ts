import { describe, expect, test } from "bun:test";
import type { Failure } from "../base/failure.ts";
import { timerList } from "../base/timer.ts";
import type { ClientInfo } from "../http/exchange.ts";
import type { ConnectionHandler } from "../net/connection.ts";
import type { ExchangeHooks } from "./http1/server.ts";
import { everySplit, FakeConnection, latin1, pass } from "./http1/testing.ts";
import { PriorKnowledge } from "./prior-knowledge.ts";

const CLIENT: ClientInfo = {
  listener: "http",
  peer: "192.0.2.1",
  peerPort: 1,
  localAddress: "",
  localPort: 80,
  tls: null,
};

class Door implements ExchangeHooks {
  readonly connection = new FakeConnection();
  readonly refused: Failure[] = [];
  chosen: boolean | null = null;
  text = "";
  closedCalls = 0;
  draining = false;
  readonly sniffer: PriorKnowledge;

  constructor() {
    this.sniffer = new PriorKnowledge(this.connection, CLIENT, timerList(5000), this, (isHttp2) => {
      this.chosen = isHttp2;
      this.connection.handler = this.engine;
      return this.engine;
    });
    this.connection.handler = this.sniffer;
  }

  readonly engine: ConnectionHandler = {
    onOctets: (room, length) => {
      this.text += room.toString("latin1", 0, length);
    },
    onRoom() {},
    onPeerEnd() {},
    onLost() {},
    onFault() {},
  };

  handle(): never {
    throw new Error("no exchange here");
  }
  finish(): void {}
  malformed(_client: ClientInfo, failure: Failure): void {
    this.refused.push(failure);
  }
  closed(): void {
    this.closedCalls++;
  }
  fault(thrown: unknown): void {
    throw thrown;
  }
}

describe("the first octets decide, however they are cut", () => {
  test.each([
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true],
    ["GET / HTTP/1.1\r\n\r\n", false],
    ["POST / HTTP/1.1\r\n\r\n", false],
    ["PROPFIND / HTTP/1.1\r\n\r\n", false],
    ["\r\nGET / HTTP/1.1\r\n\r\n", false],
  ])("%j", (text, isHttp2) => {
    for (const pieces of everySplit(latin1(text))) {
      const door = new Door();
      door.connection.arrive(...pieces.filter((piece) => piece.length > 0));
      expect([door.chosen, door.text, door.closedCalls]).toEqual([isHttp2, text, 0]);
      pass(6000);
      expect(door.connection.fate).toBe("open");
    }
  });
});

test("a client that says nothing, or not enough, is let go", () => {
  const silent = new Door();
  const slow = new Door();
  slow.connection.arrive("PR");
  pass(5001);
  for (const { connection, closedCalls } of [silent, slow])
    expect([connection.fate, closedCalls]).toEqual(["closed", 1]);
  expect(silent.refused).toEqual([]);
  expect(slow.refused[0]!.code).toBe("head-timeout");
});

test("a client that goes before it is decided", () => {
  const ended = new Door();
  ended.connection.arrive("P").end();
  expect([ended.connection.fate, ended.closedCalls, ended.refused[0]!.code]).toEqual(["closed", 1, "client-closed"]);
  const lost = new Door();
  lost.connection.lose();
  expect(lost.closedCalls).toBe(1);
});
