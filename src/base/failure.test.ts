import { describe, expect, test } from "bun:test";
import { FAILURES, Failure, type FailureCode } from "./failure.ts";

const codes = Object.keys(FAILURES) as FailureCode[];
const side = (wanted: string) => codes.filter((code) => FAILURES[code].side === wanted);

test("a failure says its status, side and retry rule by its code alone", () => {
  const cause = new Error("why");
  const failure = new Failure("upstream-closed", "it closed", { cause });
  expect(failure).toMatchObject({
    name: "Failure",
    message: "it closed",
    status: 502,
    side: "upstream",
    retry: "reset",
  });
  expect(failure.cause).toBe(cause);
  expect(failure).toBeInstanceOf(Error);
});

describe("the table", () => {
  test("what the client caused is 4xx, or 5xx for what no server here can do; it is never retried", () => {
    for (const code of side("downstream")) {
      const { status, retry } = FAILURES[code];
      expect({ code, fits: (status >= 400 && status < 500) || status === 501 || status === 505 }).toEqual({
        code,
        fits: true,
      });
      expect({ code, retry }).toEqual({ code, retry: "never" });
    }
  });

  test("what the origin server caused is 502, 503 or 504, and the name of a timeout is a 504", () => {
    for (const code of side("upstream")) {
      const { status } = FAILURES[code];
      expect({ code, fits: [502, 503, 504].includes(status) }).toEqual({ code, fits: true });
      expect({ code, timeout: code.endsWith("-timeout") }).toEqual({ code, timeout: status === 504 });
    }
  });

  test("the condition `connect` is met only if nothing reached the endpoint", () => {
    expect(codes.filter((code) => FAILURES[code].retry === "connect").sort()).toEqual([
      "pool-full",
      "upstream-connect-failed",
      "upstream-connect-refused",
      "upstream-connect-timeout",
      "upstream-refused",
      "upstream-resolve-failed",
      "upstream-tls-failed",
      "upstream-tls-refused",
      "upstream-tls-timeout",
      "upstream-untrusted",
    ]);
  });

  test("nothing is retried once the response has begun", () => {
    expect(FAILURES["upstream-truncated"].retry).toBe("never");
    expect(FAILURES["upstream-idle-timeout"].retry).toBe("never");
  });
});

test("a failure may say when it is worth trying again", () => {
  expect(new Failure("queue-full", "full", { retryAfterSeconds: 7 }).retryAfterSeconds).toBe(7);
  expect(new Failure("queue-full", "full").retryAfterSeconds).toBeNull();
});

describe("whatever is thrown becomes a failure", () => {
  test("a failure stays itself", () => {
    const failure = new Failure("no-route", "none");
    expect(Failure.from(failure)).toBe(failure);
  });

  test("an error is a fault of ours, with its stack for the log", () => {
    const error = new TypeError("x is not a function");
    const failure = Failure.from(error);
    expect(failure).toMatchObject({ code: "internal", status: 500, side: "gateway" });
    expect(failure.message).toContain("TypeError: x is not a function");
    expect(failure.cause).toBe(error);
  });

  test.each([["text"], [42], [null], [undefined], [{ a: 1 }]])("so is %p", (thrown) => {
    expect(Failure.from(thrown)).toMatchObject({ code: "internal", message: String(thrown), cause: thrown });
  });
});
