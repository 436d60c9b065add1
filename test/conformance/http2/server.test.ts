/** What RFC 9113, RFC 7541 and RFC 8441 demand of a server, each as a case of its own. */
import { describe, expect, test } from "bun:test";
import { COMPRESSION } from "./server-role/compression.ts";
import { TUNNELS } from "./server-role/connect.ts";
import { FLOW_CONTROL } from "./server-role/flow-control.ts";
import { FRAMES } from "./server-role/frames.ts";
import { GENERIC } from "./server-role/generic.ts";
import { MESSAGES } from "./server-role/messages.ts";
import { STREAMS } from "./server-role/streams.ts";

const ROOMS = {
  generic: GENERIC,
  frames: FRAMES,
  streams: STREAMS,
  "flow control": FLOW_CONTROL,
  messages: MESSAGES,
  HPACK: COMPRESSION,
  tunnels: TUNNELS,
};

for (const [name, cases] of Object.entries(ROOMS)) {
  describe(`HTTP/2 server: ${name}`, () => {
    for (const { name, run } of cases) test(name, run);
  });
}

test("there are at least 350 cases, each with a name of its own", () => {
  const names = Object.values(ROOMS).flatMap((cases) => cases.map(({ name }) => name));
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThanOrEqual(350);
});
