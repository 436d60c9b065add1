import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeAnswer, encodeQuery, MalformedAnswer, nameOfCode, RecordType } from "./message.ts";
import { a, aaaa, answerTo, cname, nameOctets, record, srv } from "./testing.ts";

const asked = { id: 0x1234, name: "app.test", type: RecordType.A };

test("a query asks one question with recursion desired, and says what it can receive (RFC 1035 §4.1, RFC 6891 §6.1)", () => {
  const expected = "1234 0100 0001 0000 0000 0001 03617070 0474657374 00 0001 0001 00 0029 04d0 00000000 0000";
  expect(encodeQuery(0x1234, { name: "app.test", type: RecordType.A }, true).toString("hex")).toBe(
    expected.replaceAll(" ", ""),
  );
  const plain = encodeQuery(1, { name: "_http._tcp.app.test", type: RecordType.SRV }, false);
  expect(
    plain.subarray(12).equals(Buffer.concat([nameOctets("_http._tcp.app.test"), Buffer.from([0, 33, 0, 1])])),
  ).toBe(true);
});

test.each([`${"a".repeat(64)}.test`, "a..test", `${"abcdefgh.".repeat(30)}test`])(
  "%s is no name for a query",
  (name) => {
    expect(() => encodeQuery(1, { name, type: RecordType.A }, true)).toThrow(RangeError);
  },
);

test("addresses, aliases and services are read with their lifetimes; other records are passed over", () => {
  const txt = record("app.test", 16, 5, Buffer.from("\x04text"));
  const answers = [cname("app.test", "b.test", 5), txt, a("b.test", "192.0.2.7", 300), aaaa("b.test", 9)];
  const additional = [srv("_http._tcp.b.test", 1, 2, 3, "host.test", 0)];
  expect(decodeAnswer(answerTo(asked, { answers, additional }))).toEqual({
    id: 0x1234,
    code: 0,
    truncated: false,
    question: { name: "app.test", type: 1 },
    answers: [
      { name: "app.test", type: RecordType.CNAME, ttlSeconds: 5, target: "b.test" },
      { name: "b.test", type: RecordType.A, ttlSeconds: 300, address: "192.0.2.7" },
      { name: "b.test", type: RecordType.AAAA, ttlSeconds: 60, address: "2001:db8::9" },
    ],
    additional: [
      {
        name: "_http._tcp.b.test",
        type: RecordType.SRV,
        ttlSeconds: 0,
        priority: 1,
        weight: 2,
        port: 3,
        target: "host.test",
      },
    ],
  });
});

test("names may be compressed, and are compared in lower case (RFC 1035 §4.1.4, RFC 4343)", () => {
  // 0xc00c is the question's name.
  const answers = [record(Buffer.from([0xc0, 0x0c]), 1, 60, Uint8Array.from([192, 0, 2, 1]))];
  const answer = decodeAnswer(answerTo({ ...asked, name: "APP.Test" }, { answers }));
  expect(answer.question?.name).toBe("app.test");
  expect(answer.answers[0]?.name).toBe("app.test");
});

test("a label with a dot or odd octets in it does not look like a plain name", () => {
  const odd = Buffer.from("\x08app.test\x02\xc3\xa9\x00", "latin1");
  const [found] = decodeAnswer(answerTo(asked, { answers: [record(odd, 1, 1, new Uint8Array(4))] })).answers;
  expect(found?.name).toBe("app\\046test.\\195\\169");
});

test("a lifetime with the highest bit set is none (RFC 2181 §8)", () => {
  const { answers } = decodeAnswer(answerTo(asked, { answers: [a("app.test", "192.0.2.1", 0x80000000)] }));
  expect(answers[0]?.ttlSeconds).toBe(0);
});

test("records of a cut answer are not read: the last one may be half of one", () => {
  const whole = answerTo(asked, { truncated: true, answers: [a("app.test", "192.0.2.1")] });
  expect(decodeAnswer(whole.subarray(0, whole.length - 3))).toMatchObject({ truncated: true, answers: [] });
});

test("upper bits of the code come from EDNS (RFC 6891 §6.1.3)", () => {
  const options = Buffer.from([0, 0, 41, 4, 0xd0, 1, 0, 0, 0, 0, 0]);
  expect(decodeAnswer(answerTo(asked, { additional: [options] })).code).toBe(16);
  expect([0, 2, 3, 5, 16].map(nameOfCode)).toEqual(["NOERROR", "SERVFAIL", "NXDOMAIN", "REFUSED", "RCODE16"]);
});

test.each([
  ["nothing", new Uint8Array(0)],
  ["a head cut short", new Uint8Array(11)],
  ["a query", encodeQuery(1, { name: "app.test", type: 1 }, true)],
  [
    "a name that points at itself",
    answerTo(asked, { answers: [record(Buffer.from([0xc0, 26]), 1, 1, new Uint8Array(4))] }),
  ],
  [
    "a name that points ahead",
    answerTo(asked, { answers: [record(Buffer.from([0xc0, 40]), 1, 1, new Uint8Array(4))] }),
  ],
  ["an address of five octets", answerTo(asked, { answers: [record("app.test", 1, 1, new Uint8Array(5))] })],
  ["an IPv6 address of four octets", answerTo(asked, { answers: [record("app.test", 28, 1, new Uint8Array(4))] })],
  [
    "an alias with more behind it",
    answerTo(asked, { answers: [record("app.test", 5, 1, Buffer.from("\x01a\x00more"))] }),
  ],
  ["a record that ends after the message", answerTo(asked, { answers: [a("app.test", "192.0.2.1")] }).subarray(0, -1)],
  ["fewer records than it says", answerTo(asked, { answers: [a("app.test", "192.0.2.1"), Buffer.alloc(0)] })],
  [
    "a label of 64 octets",
    answerTo(asked, { answers: [record(Buffer.from([64, ...new Uint8Array(64), 0]), 1, 1, new Uint8Array(4))] }),
  ],
])("%s is malformed", (_, octets) => {
  expect(() => decodeAnswer(octets)).toThrow(MalformedAnswer);
});

test("whatever octets come, reading them ends, in an answer or in MalformedAnswer", () => {
  const good = answerTo(asked, {
    answers: [cname("app.test", "b.test"), a("b.test", "192.0.2.1"), srv("x.test", 1, 2, 3, "y.test")],
  });
  const changed = fc
    .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
    .map((changes) => {
      const octets = Buffer.from(good);
      for (const [at, octet] of changes) octets[at] = octet;
      return octets;
    });
  const any = fc.oneof(
    fc.uint8Array({ maxLength: 600 }),
    changed,
    fc.nat(good.length).map((length) => good.subarray(0, length)),
  );
  fc.assert(
    fc.property(any, (octets) => {
      try {
        decodeAnswer(octets);
      } catch (thrown) {
        if (!(thrown instanceof MalformedAnswer)) throw thrown;
      }
    }),
    { numRuns: 2000 },
  );
});
