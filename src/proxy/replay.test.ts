import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Failure } from "../base/failure.ts";
import { FieldSection } from "../http/field-section.ts";
import { HandSink, HandSource } from "../protocol/http1/testing-bodies.ts";
import { ReplayBody } from "./replay.ts";

const gone = () => new Failure("client-closed", "gone");

function setUp({ maxOctets = 10, length = null }: { maxOctets?: number; length?: number | null } = {}) {
  const source = new HandSource(length);
  const body = new ReplayBody(source, maxOctets);
  const attempt = () => {
    const sink = new HandSink();
    body.sendTo(sink);
    return sink;
  };
  return { source, body, attempt };
}

describe("the first attempt", () => {
  test("gets everything as it comes, and its end with trailers", () => {
    const { source, attempt } = setUp();
    const sink = attempt();
    for (const piece of ["ab", "cd"]) {
      source.write(piece);
      expect(sink.text).toEndWith(piece);
    }
    source.end(FieldSection.of({ "x-sum": "1" }));
    expect(sink).toMatchObject({ text: "abcd", ended: "end", trailers: "x-sum: 1\r\n" });
  });

  test("is what the source waits for: a full one pauses it, and room resumes it", () => {
    const { source, attempt } = setUp();
    const sink = attempt();
    sink.onWrite = ({ flow }) => flow.pause();
    source.write("ab");
    expect(source.paused).toBe(true);
    sink.flow.resume();
    expect(source.paused).toBe(false);
  });

  test("has the length of the source", () => {
    expect(setUp({ length: 7 }).body.length).toBe(7);
    expect(setUp().body.length).toBeNull();
  });

  test("that is cut by the client is cut for the endpoint", () => {
    const { source, attempt } = setUp();
    const sink = attempt();
    source.write("ab").abort(gone());
    expect(sink.ended).toBe("client-closed");
  });
});

describe("another attempt", () => {
  test("gets what has passed, then what comes", () => {
    const { source, body, attempt } = setUp();
    attempt();
    source.write("ab");
    body.detach();
    expect(source.paused).toBe(true);
    const second = attempt();
    expect(second.text).toBe("ab");
    expect(source.paused).toBe(false);
    source.write("cd").end();
    expect(second).toMatchObject({ text: "abcd", ended: "end" });
  });

  test("gets it all from a source that has ended, as often as needed, with trailers", () => {
    const { source, body, attempt } = setUp();
    attempt();
    source.write("abc").end(FieldSection.of({ "x-sum": "1" }));
    for (let i = 0; i < 3; i++) {
      body.detach();
      expect(attempt()).toMatchObject({ text: "abc", ended: "end", trailers: "x-sum: 1\r\n" });
    }
    expect(body.isDelivered).toBe(true);
  });

  test("gets what came while there was none", () => {
    const { source, body, attempt } = setUp();
    attempt();
    source.write("ab");
    body.detach();
    source.write("cd").end();
    expect(attempt()).toMatchObject({ text: "abcd", ended: "end" });
  });

  test("may be made once more though what came meanwhile went over the bound", () => {
    const { source, body, attempt } = setUp({ maxOctets: 3 });
    attempt();
    source.write("abc");
    body.detach();
    source.write("defgh");
    expect(body.canBeSentAgain).toBe(true);
    const second = attempt();
    expect(second.text).toBe("abcdefgh");
    expect(body.canBeSentAgain).toBe(false);
    source.write("i").end();
    expect(second).toMatchObject({ text: "abcdefghi", ended: "end" });
  });

  test("that is full gets the rest when it has room; the source waits for it", () => {
    const { source, body, attempt } = setUp({ maxOctets: 200_000 });
    const all = "x".repeat(150_000);
    attempt();
    source.write(all);
    body.detach();
    const sink = new HandSink();
    sink.onWrite = ({ flow }) => flow.pause();
    body.sendTo(sink);
    for (let pieces = 1; sink.text.length < all.length; pieces++) {
      expect({ paused: source.paused, pieces: pieces < 5 }).toEqual({ paused: true, pieces: true });
      sink.flow.resume();
    }
    expect(source.paused).toBe(true);
    sink.flow.resume();
    expect(source.paused).toBe(false);
    source.write("y");
    expect(sink.text).toBe(`${all}y`);
  });

  test("is possible after a sink's own cancel: the source only waits", () => {
    const { source, body, attempt } = setUp();
    const first = attempt();
    source.write("ab");
    first.flow.cancel(gone());
    expect(source).toMatchObject({ paused: true, cancelled: null });
    expect(attempt().text).toBe("ab");
    expect(body.canBeSentAgain).toBe(true);
  });
});

describe("content over the bound", () => {
  test("still passes, and is not kept", () => {
    const { source, body, attempt } = setUp({ maxOctets: 3 });
    const sink = attempt();
    source.write("abc");
    expect(body.canBeSentAgain).toBe(true);
    source.write("d");
    expect(body.canBeSentAgain).toBe(false);
    source.write("e").end();
    expect(sink).toMatchObject({ text: "abcde", ended: "end" });
  });

  test("is not wanted any more once its sink cancels", () => {
    const { source, attempt } = setUp({ maxOctets: 1 });
    const sink = attempt();
    source.write("ab");
    const why = gone();
    sink.flow.cancel(why);
    expect(source.cancelled).toBe(why);
  });
});

describe("the end of attempts", () => {
  test("release: the source is told that nobody wants the rest", () => {
    const { source, body, attempt } = setUp();
    attempt();
    source.write("ab");
    body.detach();
    const why = gone();
    body.release(why);
    expect(source.cancelled).toBe(why);
    expect(body.canBeSentAgain).toBe(false);
  });

  test("release of a source that was never asked, or has ended, says nothing", () => {
    const never = setUp();
    never.body.release(gone());
    expect(never.source.cancelled).toBeNull();
    const ended = setUp();
    ended.attempt();
    ended.source.end();
    ended.body.release(gone());
    expect(ended.source.cancelled).toBeNull();
  });

  test("commit: nothing is kept, and the attempt that has it gets the rest", () => {
    const { source, body, attempt } = setUp();
    const sink = attempt();
    source.write("ab");
    body.commit();
    expect(body.canBeSentAgain).toBe(false);
    source.write("cd").end();
    expect(sink).toMatchObject({ text: "abcd", ended: "end" });
  });

  test("commit in the middle of sending again does not lose what is still to be sent", () => {
    const { source, body, attempt } = setUp({ maxOctets: 200_000 });
    attempt();
    source.write("x".repeat(100_000));
    body.detach();
    const sink = new HandSink();
    sink.onWrite = ({ flow }) => flow.pause();
    body.sendTo(sink);
    body.commit();
    sink.onWrite = () => {};
    sink.flow.resume();
    source.write("y").end();
    expect(sink.text).toBe(`${"x".repeat(100_000)}y`);
    expect(sink.ended).toBe("end");
  });
});

test("content moves while the client is waited for, or the endpoint takes some of it", () => {
  const { source, body, attempt } = setUp();
  expect(body.isMoving()).toBe(false);
  const sink = attempt();
  expect(body.isMoving()).toBe(true);
  sink.flow.pause();
  expect(body.isMoving()).toBe(false);
  source.write("a");
  expect([body.isMoving(), body.isMoving()]).toEqual([true, false]);
  sink.flow.resume();
  source.write("b").end();
  expect(body.isMoving()).toBe(false);
});

test("whoever wants to know hears that all has gone out, of the attempt that has it", () => {
  const { source, body, attempt } = setUp();
  const heard: string[] = [];
  attempt();
  body.whenDelivered = () => heard.push("first");
  source.write("a");
  body.detach();
  attempt();
  body.whenDelivered = () => heard.push("second");
  source.end();
  expect(heard).toEqual(["second"]);
});

test("whatever happens in whatever order, each attempt gets the same octets from the first on (property)", () => {
  const STEPS = ["write", "pause", "resume", "fail", "cancel", "end"] as const;
  const play = (script: readonly (typeof STEPS)[number][], maxOctets: number) => {
    const { source, body, attempt } = setUp({ maxOctets });
    let written = "";
    let ended = false;
    const sinks = [attempt()];
    const again = () => {
      if (!body.canBeSentAgain) return;
      body.detach();
      sinks.push(attempt());
    };
    for (const step of script) {
      const sink = sinks.at(-1)!;
      if (step === "write" && !ended && source.cancelled === null) {
        const piece = String(written.length % 10).repeat(1 + (written.length % 3));
        written += piece;
        source.write(piece);
      } else if (step === "end" && !ended && source.cancelled === null) {
        ended = true;
        source.end();
      } else if (step === "pause" && sink.ended === "") sink.flow.pause();
      else if (step === "resume" && sink.ended === "") sink.flow.resume();
      else if (step === "cancel" && sink.ended === "") {
        sink.flow.cancel(gone());
        if (!body.canBeSentAgain) {
          expect(source.cancelled === null).toBe(ended);
          return;
        }
        again();
      } else if (step === "fail") again();
    }
    const last = sinks.at(-1)!;
    if (last.ended === "") last.flow.resume();
    expect(last.text).toBe(written);
    expect(last.ended).toBe(ended ? "end" : "");
    if (!ended) expect(source.paused).toBe(false);
    for (const { text } of sinks) expect(written).toStartWith(text);
  };
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...STEPS), { maxLength: 30 }), fc.integer({ min: 0, max: 12 }), play),
    {
      numRuns: 2000,
    },
  );
});
