import { afterEach, expect, spyOn, test } from "bun:test";
import { createLog } from "../base/log.ts";
import { catalog } from "../cli/catalog.ts";
import { loadConfig } from "../config/load.ts";
import { until } from "../net/testing.ts";
import type { CertificateStore } from "../tls/certificate-store.ts";
import { Authority } from "../tls/testing.ts";
import { QuicDoor, type QuicDoorParts } from "./quic-door.ts";

const pair = new Authority().issue(["a.test"]);

const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanUp.splice(0).reverse()) clean();
});

/** What is to be done again later, and has not been called off. */
function pendingTries(): Map<unknown, () => void> {
  const pending = new Map<unknown, () => void>();
  const set = spyOn(globalThis, "setTimeout").mockImplementation(((task: () => void) => {
    const handle = {};
    pending.set(handle, task);
    return handle;
  }) as unknown as typeof setTimeout);
  const clear = spyOn(globalThis, "clearTimeout").mockImplementation(((handle: unknown) => {
    pending.delete(handle);
  }) as typeof clearTimeout);
  cleanUp.push(() => {
    set.mockRestore();
    clear.mockRestore();
  });
  return pending;
}

test("a port that is taken is tried again by one timer, however often it was asked for, and had once", async () => {
  const tree = {
    listeners: [{ name: "web", address: "127.0.0.1:0", tls: true, http3: true }],
    tls: { certificates: { cert: "a.pem", key: "a.key" } },
    sites: [{ to: "localhost:1" }],
  };
  const { config } = await loadConfig({ tree, origin: "test" }, catalog, {});
  const [listener] = config!.listeners;
  let asked = 0;
  const store = {
    identities: () => {
      asked++;
      return new Map([["*", pair]]);
    },
  } as unknown as CertificateStore;
  const said: string[] = [];
  const log = createLog({ level: "info", format: "text", write: (line) => said.push(line) });
  const parts = { log, certificates: { store }, connections: new Set() } as unknown as QuicDoorParts;
  const before = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0 });
  cleanUp.push(() => before.close());
  const door = new QuicDoor({ id: 1, name: "web", host: "127.0.0.1", port: before.port }, parts);
  cleanUp.push(() => door.abandon());

  const pending = pendingTries();
  const open = () => door.open(listener!, config!, store);
  for (let i = 0; i < 3; i++) await open();
  expect(pending.size).toBe(1);
  before.close();
  const [[handle, again]] = [...pending] as [[unknown, () => void]];
  pending.delete(handle);
  again();
  for (const clean of cleanUp.splice(2)) clean();
  await until(() => said.some((line) => line.includes("HTTP/3 is served now")), "HTTP/3");
  const askedBefore = asked;
  await open();
  expect([asked, pending.size]).toEqual([askedBefore, 0]);
});
