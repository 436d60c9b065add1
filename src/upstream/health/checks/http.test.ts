import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { http, statusText } from "./http.ts";
import { drips, folder, freePort, runCheck, says, saysAndEnds, stalls, testEndpoint } from "./testing.ts";
import { AUTHORITY, ENDED, GOOD } from "./testing-certificates.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const status = (line: string) => `HTTP/1.1 ${line}\r\nContent-Length: 0\r\n\r\n`;

describe("what is asked", () => {
  test("GET / of the endpoint's own address, on a connection that is closed after it", async () => {
    const endpoint = await testEndpoint(says(OK));
    expect(await runCheck(http, {}, endpoint.address)).toBeNull();
    expect(endpoint.received.split("\r\n")[0]).toBe("GET / HTTP/1.1");
    expect(endpoint.received.toLowerCase()).toContain(`\r\nhost: ${endpoint.address}\r\n`);
    expect(endpoint.received.toLowerCase()).toContain("\r\nconnection: close\r\n");
    await endpoint.quiet();
  });

  test("method, path, host and fields are the config's", async () => {
    const endpoint = await testEndpoint(says(status("204 No Content")));
    const fields = { "X-Probe": "1", "User-Agent": "probe/2" };
    const written = { method: "OPTIONS", path: "/healthz?deep=1", host: "app.example", fields };
    expect(await runCheck(http, written, endpoint.address)).toBeNull();
    expect(endpoint.received.split("\r\n")[0]).toBe("OPTIONS /healthz?deep=1 HTTP/1.1");
    const text = endpoint.received.toLowerCase();
    expect(text).toContain("\r\nhost: app.example\r\n");
    expect(text).toContain("\r\nx-probe: 1\r\n");
    expect(text.match(/user-agent/g)).toHaveLength(1);
  });

  test("a check at another port still asks for the endpoint's own address", async () => {
    const endpoint = await testEndpoint(says(OK));
    expect(await runCheck(http, {}, endpoint.address, 5000, "10.0.0.9:8080")).toBeNull();
    expect(endpoint.received.toLowerCase()).toContain("\r\nhost: 10.0.0.9:8080\r\n");
  });

  test("a unix socket, also one without a file, is asked for localhost", async () => {
    for (const path of [join(folder(), "s"), `\0lintel-check-${process.pid}`]) {
      const endpoint = await testEndpoint(says(OK), { path });
      expect(await runCheck(http, {}, endpoint.address)).toBeNull();
      expect(endpoint.received.toLowerCase()).toContain("\r\nhost: localhost\r\n");
    }
  });

  test("of a name with several addresses the one that answers", async () => {
    const endpoint = await testEndpoint(says(OK));
    expect(await runCheck(http, {}, `localhost:${endpoint.port}`)).toBeNull();
  });
});

describe("what passes", () => {
  test.each(["200 OK", "204 No Content", "302 Found", "304 Not Modified"])("%s by default", async (line) => {
    const endpoint = await testEndpoint(says(status(line)));
    expect(await runCheck(http, {}, endpoint.address)).toBeNull();
  });

  test.each(["404 Not Found", "500 Oops", "503 Busy"])("%s does not", async (line) => {
    const endpoint = await testEndpoint(says(status(line)));
    const reason = `answered ${line.slice(0, 3)}, wanted 2xx or 3xx`;
    expect(await runCheck(http, {}, endpoint.address)).toBe(reason);
    await endpoint.quiet();
  });

  test("only the statuses that are wanted, singly or by class", async () => {
    const endpoint = await testEndpoint(says(status("404 Not Found")));
    expect(await runCheck(http, { status: [200, "4xx"] }, endpoint.address)).toBeNull();
    expect(await runCheck(http, { status: [200, 301, "2xx"] }, endpoint.address)).toBe(
      "answered 404, wanted 2xx or 301",
    );
  });

  test("a redirect is an answer and is not followed", async () => {
    const endpoint = await testEndpoint(says(`HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n`));
    expect(await runCheck(http, { status: 302 }, endpoint.address)).toBeNull();
    expect(endpoint.received).not.toContain("/next");
  });

  test("interim responses are not the answer", async () => {
    const endpoint = await testEndpoint(says(`HTTP/1.1 103 Early Hints\r\n\r\n${OK}`));
    expect(await runCheck(http, {}, endpoint.address)).toBeNull();
  });

  test("101 (Switching Protocols) is an answer nobody asked for", async () => {
    const endpoint = await testEndpoint(says("HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"));
    expect(await runCheck(http, {}, endpoint.address)).toBe("answered 101, wanted 2xx or 3xx");
    await endpoint.quiet();
  });

  test("content that contains the text, in whatever pieces it comes", async () => {
    const utf8 = Buffer.from("all güt");
    const endpoint = await testEndpoint((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${utf8.length}\r\n\r\n`);
      for (const octet of utf8) socket.write(Buffer.of(octet));
    });
    expect(await runCheck(http, { contains: "güt" }, endpoint.address)).toBeNull();
    expect(await runCheck(http, { contains: "gut" }, endpoint.address)).toBe(`the content does not contain "gut"`);
  });

  test("no more than 64 KiB of content is read, and endless content is let go", async () => {
    const endless = (first: string) =>
      testEndpoint((socket) => {
        socket.write(`HTTP/1.1 200 OK\r\n\r\n${first}`);
        const more = setInterval(() => socket.write("x".repeat(8192)), 1);
        socket.on("close", () => clearInterval(more));
      });
    const endpoint = await endless("ready");
    expect(await runCheck(http, {}, endpoint.address)).toBeNull();
    expect(await runCheck(http, { contains: "ready" }, endpoint.address)).toBeNull();
    await endpoint.quiet();
    const late = await endless("x".repeat(65_534));
    expect(await runCheck(http, { contains: "ready" }, late.address)).toBe(`the content does not contain "ready"`);
    await late.quiet();
  });
});

describe("what fails", () => {
  test("nobody listens", async () => {
    expect(await runCheck(http, {}, `127.0.0.1:${await freePort()}`)).toBe("connect failed: ECONNREFUSED");
    expect(await runCheck(http, {}, `unix:${folder()}/none`)).toBe("connect failed: ENOENT");
  });

  test("a name without an address", async () => {
    // An empty label: refused without asking anybody.
    expect(await runCheck(http, {}, "no..name:80")).toMatch(/^the name has no address: E/);
  });

  test.each([
    ["says nothing", stalls, "no answer within 200 ms"],
    ["says half a head", says("HTTP/1.1 20"), "no answer within 200 ms"],
    ["drips its head", drips(OK, 40), "no answer within 200 ms"],
    [
      "stops in its content",
      says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"),
      "the answer was not complete within 200 ms",
    ],
    [
      "drips its content",
      (socket: Socket) => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        drips("x".repeat(3000), 1)(socket);
      },
      "the answer was not complete within 200 ms",
    ],
  ])("an endpoint that %s, when the time is up and no later", async (_, behave, reason) => {
    const endpoint = await testEndpoint(behave);
    expect(await runCheck(http, {}, endpoint.address, 200)).toBe(reason);
    await endpoint.quiet();
  });

  test.each([
    ["ends at once", saysAndEnds(""), "no answer: the connection ended with ECONNRESET"],
    ["resets", (socket: Socket) => void socket.resetAndDestroy(), "no answer: the connection ended with ECONNRESET"],
    ["speaks something else", saysAndEnds("SSH-2.0-x\r\n"), "the answer is not HTTP: HPE_INVALID_CONSTANT"],
    ["cuts its content", saysAndEnds("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"), "the answer was cut off"],
    [
      "cuts a chunk",
      saysAndEnds("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi"),
      "the answer was cut off",
    ],
  ])("an endpoint that %s", async (_, behave, reason) => {
    const endpoint = await testEndpoint(behave);
    expect(await runCheck(http, {}, endpoint.address)).toBe(reason);
    await endpoint.quiet();
  });

  test("an endpoint that resets in its content", async () => {
    const endpoint = await testEndpoint((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi");
      setTimeout(() => socket.resetAndDestroy(), 50);
    });
    expect(await runCheck(http, {}, endpoint.address)).toBe("the answer was cut off");
  });

  test("a head without end", async () => {
    const endpoint = await testEndpoint((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const more = setInterval(() => socket.write(`X-A: ${"x".repeat(8192)}\r\n`), 1);
      socket.on("close", () => clearInterval(more));
    });
    expect(await runCheck(http, {}, endpoint.address)).toBe("the answer is not HTTP: HPE_HEADER_OVERFLOW");
    await endpoint.quiet();
  });
});

describe("over TLS", () => {
  const ca = () => {
    const path = join(folder(), "ca.pem");
    writeFileSync(path, AUTHORITY);
    return path;
  };

  test("a certificate for the address or the name passes, from an authority that is trusted", async () => {
    const endpoint = await testEndpoint(says(OK), { tls: GOOD });
    expect(await runCheck(http, { tls: { ca: ca() } }, endpoint.address)).toBeNull();
    expect(await runCheck(http, { tls: { ca: ca() }, host: "app.test" }, endpoint.address)).toBeNull();
    expect(await runCheck(http, { tls: true }, endpoint.address)).toBe("TLS failed: UNABLE_TO_VERIFY_LEAF_SIGNATURE");
    expect(await runCheck(http, { tls: { ca: ca() }, host: "other.test" }, endpoint.address)).toContain("other.test");
    await endpoint.quiet();
  });

  test("`verify: false` takes any certificate", async () => {
    const endpoint = await testEndpoint(says(OK), { tls: ENDED });
    expect(await runCheck(http, { tls: { verify: false } }, endpoint.address)).toBeNull();
    expect(await runCheck(http, { tls: { ca: ca() } }, endpoint.address)).toBe("TLS failed: CERT_HAS_EXPIRED");
  });

  test("an endpoint without TLS fails", async () => {
    const endpoint = await testEndpoint(saysAndEnds("HTTP/1.1 400 Bad Request\r\n\r\n"));
    expect(await runCheck(http, { tls: true }, endpoint.address)).toBe("TLS failed: ERR_SSL_WRONG_VERSION_NUMBER");
    await endpoint.quiet();
  });
});

describe("options", () => {
  test.each([
    [{ path: "healthz" }, "a path begins with"],
    [{ path: "/a b" }, "a path begins with"],
    [{ method: "get" }, "capitals"],
    [{ method: "CONNECT" }, "tunnel"],
    [{ fields: { Host: "x" } }, "field that can be set"],
    [{ fields: { "a b": "x" } }, "field that can be set"],
    [{ fields: { a: "x\r\ny: z" } }, "not a field value"],
    [{ method: "HEAD", contains: "ok" }, "HEAD has no content"],
    [{ status: "ok" }, "is not a status"],
    [{ tls: { serverName: "127.0.0.1" } }, "not an IP address"],
    [{ tls: { ca: "ca.pem" } }, "absolute"],
  ])("%j is refused", (written, message) => {
    const result = http.options.safeParse(written);
    expect(JSON.stringify(result.error?.issues)).toContain(message);
  });

  test("statuses read as they were written", () => {
    const { status } = http.options.parse({ status: ["2xx", 404, "3xx", 304] });
    expect(statusText(status)).toBe("2xx, 3xx or 404");
    expect(statusText([200])).toBe("200");
  });
});
