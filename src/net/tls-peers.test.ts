/** The server side against other people's clients: openssl and curl. */
import { afterAll, afterEach, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needs, program } from "../base/testing.ts";
import { PROFILES } from "../tls/profiles.ts";
import { Authority } from "../tls/testing.ts";
import { libc } from "./libc.ts";
import { Listener } from "./listener.ts";
import { listening, Recorder, until } from "./testing.ts";
import type { TlsConnection } from "./tls-connection.ts";
import type { HandshakeFacts } from "./tls-handshake-facts.ts";
import { alpnWire, createTlsContext } from "./tls-runtime.ts";
import { TlsServer } from "./tls-server.ts";

const authority = new Authority();
const pair = authority.issue(["app.test", "localhost"]);
const alice = authority.issue([], { subject: "alice", use: "client" });
const folder = mkdtempSync(join(tmpdir(), "lintel-peers-"));
for (const [name, text] of Object.entries({
  "ca.pem": authority.cert,
  "alice.pem": alice.cert,
  "alice.key": alice.key,
}))
  writeFileSync(join(folder, name), text);
afterAll(() => rmSync(folder, { recursive: true }));

const context = createTlsContext({
  certificates: [pair.cert],
  keys: [pair.key],
  ca: authority.cert,
  crl: null,
  maxVersion: "TLSv1.3",
  ...PROFILES.intermediate,
});

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** Answers each request head with its length, and closes if asked. */
class Answers extends Recorder {
  constructor(readonly connection: TlsConnection) {
    super();
  }

  override onOctets(room: Buffer, length: number): void {
    super.onOctets(room, length);
    if (!this.text.endsWith("\r\n\r\n")) return;
    const content = Buffer.alloc(300_000, "content ");
    this.connection.writeText(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${content.length}\r\n\r\n`);
    this.connection.write(content);
    this.connection.close(true);
  }
}

function start() {
  const { fd, address } = listening();
  const facts: HandshakeFacts[] = [];
  const failures: string[] = [];
  const heard: Recorder[] = [];
  const server = new TlsServer({
    handshakeTimeoutMs: 5000,
    maxHandshakes: 100,
    choose: ({ serverName }) =>
      serverName === "refused.test"
        ? null
        : { context, clientCertificate: "optional", alpn: alpnWire(["http/1.1"]), rules: "" },
  });
  const listener = new Listener(fd, 1000, {
    onConnection(connection) {
      server.accept(connection, {
        onSecured(connection, said) {
          facts.push(said);
          const answers = new Answers(connection);
          heard.push(answers);
          connection.handler = answers;
        },
        onHandshakeFailed: (_code, reason) => failures.push(reason),
        fault(thrown) {
          throw thrown;
        },
      });
    },
    onAcceptPaused() {},
    fault(thrown) {
      throw thrown;
    },
  });
  listener.start();
  closers.push(() => {
    listener.stop();
    libc.close(fd);
  });
  return { port: address.kind === "tcp" ? address.port : 0, facts, failures, heard };
}

/** Runs a program in the folder of the certificates. @param input text, and how long it waits before its end */
function run(program: string, args: readonly string[], input: readonly (string | number)[] = []): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: folder });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece) => (output += piece));
    child.stdin.on("error", () => {});
    void (async () => {
      for (const part of input)
        if (typeof part === "string") child.stdin.write(part);
        else await Bun.sleep(part);
      child.stdin.end();
    })();
    child.on("close", () => resolve(output));
  });
}

const request = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n";

needs(program("openssl")).describe("openssl", () => {
  const client = (port: number, args: readonly string[], input: readonly (string | number)[] = [request, 200]) =>
    run(
      "openssl",
      ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", "app.test", "-CAfile", "ca.pem", ...args],
      input,
    );

  test.each(["-tls1_2", "-tls1_3"])("%s: everything arrives, and the certificate is good", async (version) => {
    const { port, facts } = start();
    const output = await client(port, [version, "-verify_return_error", "-ign_eof", "-crlf"], ["GET / HTTP/1.1\n\n"]);
    expect(output).toContain("Verify return code: 0 (ok)");
    expect(output.match(/content /g)?.length).toBe(37_500);
    expect(facts[0]?.version).toBe(version === "-tls1_2" ? "TLSv1.2" : "TLSv1.3");
  });

  test.each(["-tls1", "-tls1_1"])("%s is refused with an alert", async (version) => {
    const { port, failures } = start();
    const output = await client(port, [version, "-cipher", "ALL:@SECLEVEL=0"], [100]);
    expect(output).toMatch(/alert protocol version/);
    await until(() => failures.length === 1);
    expect(failures).toEqual(["no TLS version in common"]);
  });

  test.each(["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AES128-GCM-SHA256"])(
    "%s is not among the intermediate profile's ciphers",
    async (cipher) => {
      const { port, failures } = start();
      await client(port, ["-tls1_2", "-cipher", `${cipher}:@SECLEVEL=0`], [100]);
      await until(() => failures.length === 1);
      expect(failures).toEqual([expect.stringMatching(/^no (cipher|key exchange group) in common$/)]);
    },
  );

  test.each(["-tls1_2", "-tls1_3"])("%s: a session is resumed", async (version) => {
    const { port, facts } = start();
    await client(port, [version, "-sess_out", "session.pem"]);
    await client(port, [version, "-sess_in", "session.pem"]);
    expect(facts.map(({ resumed }) => resumed)).toEqual([false, true]);
  });

  test("a client certificate is seen", async () => {
    const { port, facts } = start();
    await client(port, ["-cert", "alice.pem", "-key", "alice.key"]);
    expect(facts[0]?.clientCertificate).toMatchObject({ subject: "CN=alice", distrust: "" });
  });

  test("a name without a certificate is refused with unrecognized_name", async () => {
    const { port, failures } = start();
    const output = await client(port, ["-servername", "refused.test"], [100]);
    expect(output).toMatch(/unrecognized name/);
    expect(failures).toEqual(["no certificate for the server name"]);
  });

  test("keys are updated in the middle (RFC 8446 §4.6.3)", async () => {
    const { port, heard } = start();
    await client(port, ["-tls1_3"], [200, "k\n", 100, "one\n", 100, "K\n", 100, "two\n", 100]);
    expect(heard[0]?.text).toBe("one\ntwo\n");
  });

  test("renegotiation is refused (TLS 1.2)", async () => {
    const { port, heard } = start();
    const output = await client(port, ["-tls1_2"], [200, "R\n", 200]);
    expect(output).toMatch(/no renegotiation|RENEGOTIATING/i);
    await until(() => heard[0]!.events.length > 0);
    expect(heard[0]!.events[0]).toMatch(/renegotiation is not allowed|^end|ECONNRESET/);
  });
});

needs(program("curl")).describe("curl", () => {
  const curl = (port: number, ...args: string[]) =>
    run("curl", [
      "-sS",
      "--cacert",
      "ca.pem",
      "--resolve",
      `app.test:${port}:127.0.0.1`,
      ...args,
      `https://app.test:${port}/`,
    ]);

  test.each(["--tlsv1.3", "--tls-max=1.2"])("%s", async (version) => {
    const { port, facts } = start();
    const output = await curl(port, ...version.split("="));
    expect(output.length).toBe(300_000);
    expect(facts[0]).toMatchObject({ serverName: "app.test", alpn: "http/1.1" });
  });

  test("with a client certificate", async () => {
    const { port, facts } = start();
    await curl(port, "--cert", "alice.pem", "--key", "alice.key");
    expect(facts[0]?.clientCertificate?.subject).toBe("CN=alice");
  });

  test("that does not trust us says so, and the reason is told", async () => {
    const { port, failures, facts } = start();
    const output = await run("curl", ["-sS", "--resolve", `app.test:${port}:127.0.0.1`, `https://app.test:${port}/`]);
    expect(output).toMatch(/certificate/);
    await until(() => failures.length + facts.length === 1);
    expect(failures).toEqual(["the peer broke off; most likely it does not trust our certificate"]);
  });
});
