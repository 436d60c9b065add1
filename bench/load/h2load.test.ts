import { expect, test } from "bun:test";
import { parseReport } from "./h2load.ts";

const OUTPUT = `finished in 1.01s, 2999.00 req/s, 500.00KB/s
requests: 3004 total, 3030 started, 3004 done, 2999 succeeded, 5 failed, 4 errored, 1 timeout
status codes: 2990 2xx, 0 3xx, 7 4xx, 2 5xx
`;

test("counts and times are found in what h2load prints and in its log", () => {
  const times = Array.from({ length: 100 }, (_, i) => `1700000000000000\t200\t${(100 - i) * 1000}`).join("\n");
  expect(parseReport(OUTPUT, `${times}\n`)).toEqual({
    requests: 2999,
    p50: 50,
    p99: 99,
    max: 100,
    socketErrors: 6,
    badResponses: 9,
  });
});

test("output without a result is an error that shows it", () => {
  expect(() => parseReport("could not connect", "")).toThrow("could not connect");
});
