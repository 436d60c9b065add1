import { expect, test } from "bun:test";
import { join } from "node:path";
import { tcp } from "./tcp.ts";
import { folder, freePort, runCheck, stalls, testEndpoint } from "./testing.ts";

test("an endpoint that takes connections passes, and hears nothing", async () => {
  const endpoint = await testEndpoint(stalls, { onConnect: true });
  expect(await runCheck(tcp, {}, endpoint.address)).toBeNull();
  expect(await runCheck(tcp, {}, `localhost:${endpoint.port}`)).toBeNull();
  await endpoint.quiet();
  expect(endpoint.received).toBe("");
});

test("a unix socket passes while somebody listens", async () => {
  const path = join(folder(), "s");
  const endpoint = await testEndpoint(stalls, { path });
  expect(await runCheck(tcp, {}, endpoint.address)).toBeNull();
  expect(await runCheck(tcp, {}, `${endpoint.address}2`)).toBe("connect failed: ENOENT");
});

test("nobody listens", async () => {
  expect(await runCheck(tcp, {}, `127.0.0.1:${await freePort()}`)).toBe("connect failed: ECONNREFUSED");
});

test("a full backlog is no connection", async () => {
  const { listening } = await import("../../../net/testing.ts");
  const { libc } = await import("../../../net/libc.ts");
  const { formatAddress } = await import("../../../net/address.ts");
  const { fd, address } = listening(undefined, 0);
  const text = formatAddress(address);
  // Nobody accepts: the first one or two wait in the kernel, and the SYN of others is dropped.
  const reasons: (string | null)[] = [];
  for (let i = 0; i < 3; i++) reasons.push(await runCheck(tcp, {}, text, 200));
  expect(reasons[2]).toBe("no connection within 200 ms");
  libc.close(fd);
});

test("what is not an address is said and does not reject", async () => {
  expect(await runCheck(tcp, {}, "nowhere")).toBe("nowhere is not an address");
});
