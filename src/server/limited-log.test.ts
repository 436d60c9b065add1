import { expect, test } from "bun:test";
import { createLog } from "../base/log.ts";
import { tickTimers } from "../base/timer.ts";
import { LimitedLog } from "./limited-log.ts";

test("so many lines are written in a while, then how many more there were", async () => {
  const said: string[] = [];
  const log = createLog({ level: "info", format: "json", write: (line) => said.push(JSON.parse(line).message) });
  const limited = new LimitedLog(2, 20);
  for (let i = 0; i < 5; i++) limited.info(log, `line ${i}`, {});
  expect(said).toEqual(["line 0", "line 1"]);
  while (said.length < 3) {
    await Bun.sleep(5);
    tickTimers();
  }
  expect(said[2]).toBe("more of the same was not logged");
  limited.info(log, "another", {});
  expect(said[3]).toBe("another");
});
