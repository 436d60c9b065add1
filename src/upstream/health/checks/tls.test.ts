import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { folder, freePort, runCheck, saysAndEnds, stalls, testEndpoint } from "./testing.ts";
import { AUTHORITY, ENDED, GOOD } from "./testing-certificates.ts";
import { tls } from "./tls.ts";

const ca = () => {
  const path = join(folder(), "ca.pem");
  writeFileSync(path, AUTHORITY);
  return path;
};

test("a certificate that is good for the name, from a trusted authority, passes", async () => {
  const endpoint = await testEndpoint(stalls, { tls: GOOD });
  expect(await runCheck(tls, { ca: ca() }, endpoint.address)).toBeNull();
  expect(await runCheck(tls, { ca: ca() }, endpoint.address, 5000, "app.test:443")).toBeNull();
  expect(await runCheck(tls, { ca: ca(), serverName: "app.test" }, endpoint.address)).toBeNull();
  await endpoint.quiet();
});

test("an endpoint does not see a check as a failed handshake", async () => {
  const faults: Error[] = [];
  const { createServer } = await import("node:tls");
  const server = createServer(GOOD, (socket) => {
    socket.on("error", (error) => faults.push(error));
    socket.on("end", () => socket.end());
  });
  server.on("tlsClientError", (error) => faults.push(error));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  for (let i = 0; i < 5; i++) expect(await runCheck(tls, { verify: false }, `127.0.0.1:${port}`)).toBeNull();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  expect(faults).toEqual([]);
});

test("one from an authority nobody trusts, for another name, or out of time does not", async () => {
  const endpoint = await testEndpoint(stalls, { tls: GOOD });
  expect(await runCheck(tls, {}, endpoint.address)).toBe("TLS failed: UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  expect(await runCheck(tls, { ca: ca(), serverName: "other.test" }, endpoint.address)).toContain("other.test");
  const ended = await testEndpoint(stalls, { tls: ENDED });
  expect(await runCheck(tls, { ca: ca() }, ended.address)).toBe("TLS failed: CERT_HAS_EXPIRED");
  expect(await runCheck(tls, { verify: false }, ended.address)).toBeNull();
});

test("`minDays` looks at the end of the certificate, verified or not", async () => {
  const endpoint = await testEndpoint(stalls, { tls: GOOD });
  expect(await runCheck(tls, { verify: false, minDays: 30 }, endpoint.address)).toBeNull();
  const ended = await testEndpoint(stalls, { tls: ENDED });
  expect(await runCheck(tls, { verify: false, minDays: 0 }, ended.address)).toMatch(
    /^the certificate ended on Feb +1 .* 2020/,
  );
});

test("an endpoint that says nothing, ends, resets, or speaks plain text", async () => {
  const silent = await testEndpoint(stalls);
  expect(await runCheck(tls, { verify: false }, silent.address, 200)).toBe("no TLS handshake within 200 ms");
  await silent.quiet();
  const ends = await testEndpoint(saysAndEnds(""));
  expect(await runCheck(tls, { verify: false }, ends.address)).toBe("TLS failed: the connection ended (ECONNRESET)");
  const resets = await testEndpoint((socket) => void socket.resetAndDestroy());
  expect(await runCheck(tls, { verify: false }, resets.address)).toBe("TLS failed: the connection ended (ECONNRESET)");
  const plain = await testEndpoint(saysAndEnds("HTTP/1.1 400 Bad Request\r\n\r\n"));
  expect(await runCheck(tls, { verify: false }, plain.address)).toBe("TLS failed: ERR_SSL_WRONG_VERSION_NUMBER");
  for (const endpoint of [ends, resets, plain]) await endpoint.quiet();
});

test("nobody listens, or the file of authorities is not there", async () => {
  expect(await runCheck(tls, {}, `127.0.0.1:${await freePort()}`)).toBe("connect failed: ECONNREFUSED");
  expect(await runCheck(tls, { ca: "/nonexistent/ca.pem" }, "127.0.0.1:1")).toContain("/nonexistent/ca.pem");
});
