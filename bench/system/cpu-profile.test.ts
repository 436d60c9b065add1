import { expect, test } from "bun:test";
import { selfTimes } from "./cpu-profile.ts";

test("samples of a function are added up over its callers, the most first", () => {
  const frame = (functionName: string, url: string, lineNumber: number) => ({ functionName, url, lineNumber });
  const nodes = [
    { hitCount: 2, callFrame: frame("read", "file:///a.ts", 9) },
    { hitCount: 0, callFrame: frame("(root)", "", -1) },
    { hitCount: 4, callFrame: frame("", "file:///b.ts", 0) },
    { hitCount: 3, callFrame: frame("read", "file:///a.ts", 9) },
  ];
  expect(selfTimes({ nodes })).toEqual([
    { name: "read", place: "file:///a.ts:10", samples: 5 },
    { name: "(anonymous)", place: "file:///b.ts:1", samples: 4 },
  ]);
});
