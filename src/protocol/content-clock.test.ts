import { expect, test } from "bun:test";
import { Timer, timerList } from "../base/timer.ts";
import { jump } from "../net/testing.ts";
import { ContentClock } from "./content-clock.ts";

/** A clock with what it said whenever its timer was out. */
function clockWith(continueMs: number | null = null) {
  const said: (string | null)[] = [];
  const timer = new Timer(() => said.push(clock.expired()?.message ?? null));
  const clock = new ContentClock(timer, {
    contentIdleTime: timerList(10_000),
    continueTime: continueMs === null ? null : timerList(continueMs),
    contentRate: 0,
    tunnelIdleTime: timerList(60_000),
  });
  return { clock, timer, said };
}

const NO_CONTENT = "no request content for timeouts.contentIdle";
const NO_WORD = "nothing passed the tunnel for timeouts.tunnelIdle";
const NO_MESSAGE = "nothing of the call came for timeouts.tunnelIdle";

test("content has its limit while somebody takes it, and none while the taker is full", () => {
  const { clock, said } = clockWith();
  clock.wait();
  clock.pause();
  jump(20_000);
  expect(said).toEqual([]);
  clock.wait();
  jump(20_000);
  expect(said).toEqual([NO_CONTENT]);
});

test("a client that waits for 100 is told to begin, not that it is late", () => {
  const { clock, said } = clockWith(1000);
  clock.reset(true);
  clock.wait();
  jump(2000);
  expect(said).toEqual([null]);
});

test("in a tunnel pauses count, and the end of one half changes nothing", () => {
  const { clock, said } = clockWith();
  clock.openTunnel(undefined);
  clock.pause();
  clock.wait();
  clock.complete();
  jump(50_000);
  expect(said).toEqual([]);
  jump(70_000);
  expect(said).toEqual([NO_WORD]);
});

test.each(["passed", "arrived"] as const)("octets that have %s begin the silence of a tunnel anew", (event) => {
  const { clock, timer } = clockWith();
  clock.openTunnel(undefined);
  jump(70_000);
  expect(timer.armed).toBe(false);
  clock[event](1);
  expect(timer.armed).toBe(true);
  timer.cancel();
});

test("a call has a limit until its request is complete, and none that begins after that", () => {
  const { clock, timer, said } = clockWith();
  clock.openCall(undefined);
  jump(70_000);
  expect(said).toEqual([NO_MESSAGE]);
  clock.complete();
  clock.passed();
  clock.openCall(undefined);
  clock.wait();
  expect(timer.armed).toBe(false);
});

test("an exchange's own limits are instead of those of all", () => {
  const { clock, timer, said } = clockWith();
  clock.wait(30_000);
  jump(20_000);
  expect(said).toEqual([]);
  clock.openTunnel(Infinity);
  expect(timer.armed).toBe(false);
});

test("what octets of a connection that is given up do starts no timer", () => {
  const { clock, timer } = clockWith();
  clock.openTunnel(undefined);
  clock.stop();
  clock.passed();
  clock.arrived(1);
  expect(timer.armed).toBe(false);
});
