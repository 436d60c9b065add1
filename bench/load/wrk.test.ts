import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cases, ROUTES } from "../cases.ts";
import { browserRequests } from "./browser.ts";
import { parseReport, writeScript } from "./wrk.ts";

test("the line of the script is found among what wrk prints, times in milliseconds and seconds", () => {
  const line =
    '{"requests":10,"microseconds":5000000,"p50":1500,"p99":2500,"max":9000,"socketErrors":1,"badResponses":2}';
  expect(parseReport(`Running 5s test\n  1 threads\nRESULT ${line}\n`)).toEqual({
    requests: 10,
    seconds: 5,
    p50: 1.5,
    p99: 2.5,
    max: 9,
    socketErrors: 1,
    badResponses: 2,
  });
});

test("output without a result is an error that shows it", () => {
  expect(() => parseReport("unable to connect")).toThrow("unable to connect");
});

test("browser requests have twelve fields and reach nearly all routes, the same at every call", () => {
  const requests = browserRequests(8191);
  expect(requests[0]!.split("\r\n").length - 3).toBe(12);
  const prefixes = new Set(requests.map((request) => request.split("/").slice(1, 3).join("/")));
  expect(prefixes.size).toBeGreaterThan(ROUTES * 0.99);
  expect(browserRequests(8191)).toEqual(requests);
});

test("every case has a script that ends with the report", () => {
  const directory = mkdtempSync(join(tmpdir(), "bench-test-"));
  try {
    for (const each of cases) expect(readFileSync(writeScript(directory, each), "utf8")).toContain("function done");
  } finally {
    rmSync(directory, { recursive: true });
  }
});
