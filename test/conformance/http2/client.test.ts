/** What RFC 9113, RFC 7541 and RFC 8441 demand of a client, each as a case of its own. */
import { describe, expect, test } from "bun:test";
import { CONNECTION } from "./client-role/connection.ts";
import { FLOW_CONTROL } from "./client-role/flow-control.ts";
import { MESSAGES } from "./client-role/messages.ts";

const ROOMS = { connection: CONNECTION, messages: MESSAGES, "flow control": FLOW_CONTROL };

for (const [name, cases] of Object.entries(ROOMS)) {
  describe(`HTTP/2 client: ${name}`, () => {
    for (const { name, run } of cases) test(name, run);
  });
}

test("there are at least 150 cases, each with a name of its own", () => {
  const names = Object.values(ROOMS).flatMap((cases) => cases.map(({ name }) => name));
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThanOrEqual(150);
});
