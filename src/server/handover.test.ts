import { expect, test } from "bun:test";
import { Handover } from "./handover.ts";

/** A worker that ends by the third SIGTERM, as one does that took the first two for one. */
const BUSY = `let terms = 0;
  process.on("SIGTERM", () => { if (++terms === 3) process.exit(0); });
  setInterval(() => {}, 1000);
  console.log("listens");`;

test("a worker for which two signals were one is told again that it is to end", async () => {
  const child = Bun.spawn([process.execPath, "-e", BUSY], { stdio: ["ignore", "pipe", "inherit"] });
  await child.stdout.getReader().read();
  const overrides = { upstreams: {} } as never;
  const facts = { version: "1", listeners: [], workers: [child.pid], draining: [], overrides };
  expect(await new Handover(facts).end(30_000)).toBe(true);
  expect([await child.exited, child.signalCode]).toEqual([0, null]);
}, 120_000);
