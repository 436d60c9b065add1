/** Runs of several writers in one place: each leaves whole, in order, and nothing of another with it. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { CORK_OCTETS, type Corked, corkOctets, corkText, flushCork, openRun, takenOctets, takeRun } from "./cork.ts";

class Writer implements Corked {
  run = -1;
  readonly sent: string[] = [];
  written = "";

  constructor(readonly name: string) {}

  flush(): void {
    if (takeRun(this)) this.sent.push(Buffer.from(takenOctets(0)).toString());
  }

  text(length: number): void {
    const text = this.name.repeat(length);
    openRun(this, length);
    corkText(text);
    this.written += text;
  }

  octets(length: number): void {
    const text = this.name.toUpperCase().repeat(length);
    openRun(this, length);
    corkOctets(Buffer.from(text));
    this.written += text;
  }
}

test("what one writer writes at once leaves at once", () => {
  const [a, b] = [new Writer("a"), new Writer("b")];
  a.text(3);
  a.octets(2);
  b.text(1);
  b.octets(1);
  flushCork();
  expect([a.sent, b.sent]).toEqual([["aaaAA"], ["bB"]]);
});

test("a writer that writes again after another one has its first run sent before", () => {
  const [a, b] = [new Writer("a"), new Writer("b")];
  a.text(1);
  b.text(1);
  a.text(2);
  expect([a.sent, b.sent]).toEqual([["a"], ["b"]]);
  flushCork();
  expect(a.sent).toEqual(["a", "aa"]);
});

test("what was taken is not sent again, and the runs beside it stay whole", () => {
  const [a, b, c] = [new Writer("a"), new Writer("b"), new Writer("c")];
  a.text(4);
  b.text(5);
  c.text(6);
  b.flush();
  expect(b.sent).toEqual(["bbbbb"]);
  takeRun(c); // Dropped.
  b.text(1);
  flushCork();
  expect([a.sent, b.sent, c.sent]).toEqual([["aaaa"], ["bbbbb", "b"], []]);
});

test("a full cork is sent to make room", () => {
  const [a, b] = [new Writer("a"), new Writer("b")];
  a.text(CORK_OCTETS);
  b.octets(1);
  expect(a.sent).toEqual(["a".repeat(CORK_OCTETS)]);
  flushCork();
  expect(b.sent).toEqual(["B"]);
});

test("any writes and flushes of any writers: each one's octets in the order in which it wrote them", () => {
  const step = fc.tuple(fc.nat(4), fc.constantFrom("text", "octets", "flush"), fc.oneof(fc.nat(60), fc.nat(9000)));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const writers = [..."abcde"].map((name) => new Writer(name));
      for (const [who, what, length] of steps) {
        if (what === "flush") writers[who]!.flush();
        else if (length > 0) writers[who]![what as "text" | "octets"](length);
      }
      flushCork();
      for (const { sent, written } of writers) expect(sent.join("")).toBe(written);
    }),
  );
});
