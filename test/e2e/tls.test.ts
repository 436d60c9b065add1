/** TLS toward clients through the whole program, with curl and openssl as clients. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import tls from "node:tls";
import { needs, program } from "../../src/base/testing.ts";
import { curl, curlPath } from "../support/curl.ts";
import { Gateway } from "../support/gateway.ts";
import { Origin } from "../support/origin.ts";
import { RawClient } from "../support/raw.ts";
import { CertificateFolder, openssl, opensslPath, shown } from "../support/tls.ts";
import { until } from "../support/until.ts";

// Programs are started by the dozen, maybe on a machine that is busy.
setDefaultTimeout(60_000);

/** TLS 1.2 alone, and of it as little as a client can notice. */
const NARROW = {
  minVersion: "1.2",
  maxVersion: "1.2",
  ciphers: ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384"],
  groups: ["P-384", "P-256"],
};

/** All that is known of a client's connection. */
const WHO = ["version", "cipher", "resumed", "client.verified", "client.distrust", "client.subject", "client.issuer"]
  .concat(["client.serial", "client.fingerprint", "client.certificate"])
  .map((name) => `${name}: {tls.${name}}`)
  .join("\n");

const files = new CertificateFolder();
const { authority } = files;
const clients = new CertificateFolder();
/** Fields of the request that came last, by name. */
let seen = "";
let origin: Origin;
let gateway: Gateway;

const portOf = (name: string) => Number(new URL(gateway.url(`listener=${name}`)).port);

beforeAll(async () => {
  origin = await Origin.start();
  origin.script = (request) => {
    seen = request.head.text.toLowerCase();
    return request.reply({ content: "from the origin server" });
  };
  clients.put("alice", clients.authority.issue([], { subject: "alice", use: "client", serial: 7 }));
  clients.put("mallory", clients.authority.issue([], { subject: "mallory", use: "client", serial: 8 }));
  clients.put("late", clients.authority.issue([], { subject: "late", use: "client", until: -0.5 }));
  clients.write("list.crl", clients.authority.revoke(8));
  const clientAuth = { ca: clients.file("ca.pem"), crl: clients.file("list.crl") };
  gateway = await Gateway.start({
    workers: 1,
    timeouts: { drain: "5s" },
    listeners: [
      { name: "plain", address: "127.0.0.1:0" },
      { name: "secure", address: "127.0.0.1:0", tls: { handshakeTimeout: "60s" }, maxConnections: 50 },
      { name: "hasty", address: "127.0.0.1:0", tls: { handshakeTimeout: "1s" } },
      { name: "strict", address: "127.0.0.1:0", tls: { unknownNames: "refuse", profile: "modern" } },
      { name: "narrow", address: "127.0.0.1:0", tls: { profile: "custom", custom: NARROW } },
      { name: "behind", address: "127.0.0.1:0", tls: { alpn: ["http/1.1"] }, proxyProtocol: ["127.0.0.0/8"] },
    ],
    tls: {
      redirect: { port: 8443 },
      certificates: [
        files.put("ecdsa", authority.issue(["a.test", "www.a.test"], { subject: "ecdsa" })),
        files.put("rsa", authority.issue(["a.test"], { subject: "rsa", kind: "rsa" })),
        files.put("wild", authority.issue(["*.wild.test"], { subject: "wild" })),
        files.put(
          "more",
          authority.issue(["staff.test", "guests.test", "new.test", "open.test", "who.test"], { subject: "more" }),
        ),
      ],
    },
    upstreams: { app: { endpoints: `127.0.0.1:${origin.port}` } },
    sites: [
      { name: "a", hosts: ["a.test", "www.a.test", "one.wild.test"], to: "app", tls: { hsts: { subdomains: true } } },
      { name: "staff", hosts: "staff.test", to: "app", tls: { clientAuth } },
      { name: "guests", hosts: "guests.test", to: "app", tls: { clientAuth: { ...clientAuth, mode: "optional" } } },
      { name: "new", hosts: "new.test", to: "app", tls: { minVersion: "1.3" } },
      { name: "open", hosts: "open.test", to: "app", tls: { redirect: false } },
      {
        name: "who",
        hosts: "who.test",
        use: [{ respond: { body: WHO } }],
        tls: { clientAuth: { ...clientAuth, mode: "optional" } },
      },
      { name: "rest", to: "app" },
    ],
  });
});

afterAll(async () => {
  await gateway?.stop();
  origin?.stop();
  files.remove();
  clients.remove();
});

/** Of a metric, all series whose labels hold the text. */
async function sum(name: string, labels = ""): Promise<number> {
  const metrics = await gateway.metrics();
  let total = 0;
  for (const [series, value] of metrics) if (series.startsWith(`${name}{`) && series.includes(labels)) total += value;
  return total;
}

needs(program("curl", curlPath)).describe("curl", () => {
  test.each([
    ["--http1.1", "HTTP/1.1 200"],
    ["--http2", "HTTP/2 200"],
  ])("%s is answered in what was agreed on (RFC 7301)", async (flag, start) => {
    const answer = await files.curl("a.test", portOf("secure"), "/x", flag);
    expect(answer.heads).toStartWith(start);
    expect(answer.text).toBe("from the origin server");
    expect(seen).toContain("x-forwarded-proto: https\r\n");
    expect(seen).toContain(`x-forwarded-port: ${portOf("secure")}\r\n`);
    expect(seen).toMatch(/forwarded: for=127\.0\.0\.1;host="a\.test:\d+";proto=https/);
  });

  test("gets HSTS over HTTPS, and never over plain HTTP (RFC 6797 §7.2)", async () => {
    const secure = await files.curl("a.test", portOf("secure"), "/");
    expect(secure.field("strict-transport-security")).toBe("max-age=31536000; includeSubDomains");
    const plain = await curl("-H", "host: a.test", `${gateway.url("listener=plain")}/`);
    expect(plain.field("strict-transport-security")).toBeUndefined();
  });

  test.each([
    ["a.test", "/x?y=1", 308, "https://a.test:8443/x?y=1"],
    ["one.wild.test:80", "/", 308, "https://one.wild.test:8443/"],
    // No certificate: a browser would only be warned.
    ["unknown.test", "/", 200, undefined],
    // Its site wants none.
    ["open.test", "/", 200, undefined],
  ])("asks for %s%s over plain HTTP: %i", async (host, target, status, location) => {
    const answer = await curl("-H", `host: ${host}`, `${gateway.url("listener=plain")}${target}`);
    expect([answer.status, answer.field("location")]).toEqual([status, location]);
  });

  test("behind a proxy that sends PROXY headers has its own address", async () => {
    const answer = await files.curl("a.test", portOf("behind"), "/", "--haproxy-protocol");
    expect(answer.status).toBe(200);
    const socket = net.connect(portOf("behind"), "127.0.0.1");
    socket.write("PROXY TCP4 192.0.2.9 198.51.100.1 4711 443\r\n");
    const secure = tls.connect({ socket, servername: "a.test", ca: authority.cert });
    secure.write("GET / HTTP/1.1\r\nhost: a.test\r\nx-forwarded-for: 10.9.9.9\r\nconnection: close\r\n\r\n");
    let text = "";
    for await (const octets of secure) text += octets;
    expect(text).toStartWith("HTTP/1.1 200");
    expect(seen).toContain("x-real-ip: 192.0.2.9\r\n");
    expect(seen).toContain("x-forwarded-for: 192.0.2.9\r\n");
  });
});

needs(program("openssl", opensslPath)).describe("the certificate", () => {
  test.each<[string, string | null, string[], string | null]>([
    ["by its exact name", "www.a.test", [], "ecdsa"],
    ["of ECDSA where the client has both", "a.test", [], "ecdsa"],
    ["of RSA where the client has no other", "a.test", ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "rsa"],
    ["by a wildcard", "x.wild.test", [], "wild"],
    ["for a name of nobody: the default", "nobody.test", [], "ecdsa"],
    ["for no name: the default", null, [], "ecdsa"],
  ])("is found %s", async (_, name, args, expected) => {
    expect(await shown(portOf("secure"), name, ...args)).toBe(expected);
  });

  test("is refused for a name of nobody if the listener wants that", async () => {
    const said = await openssl(portOf("strict"), ["-servername", "nobody.test"]);
    expect(said).toContain("unrecognized name");
    expect(await shown(portOf("strict"), "a.test")).toBe("ecdsa");
  });

  test("is not shown over a version that the listener, or the site, does not speak", async () => {
    const before = await sum("lintel_tls_handshake_failures_total", 'reason="no-common-version"');
    for (const [listener, name] of [
      ["strict", "a.test"],
      ["secure", "new.test"],
    ] as const) {
      expect(await shown(portOf(listener), name, "-tls1_2")).toBeNull();
      expect(await shown(portOf(listener), name, "-tls1_3")).toBe(name === "a.test" ? "ecdsa" : "more");
    }
    expect(await shown(portOf("secure"), "a.test", "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")).toBeNull();
    await gateway.says(/a TLS handshake failed .*code=no-common-version reason="no TLS version in common"/, 20_000);
    await until(
      async () => (await sum("lintel_tls_handshake_failures_total", 'reason="no-common-version"')) === before + 3,
      "three failures in the metrics",
    );
  });

  test.each(["-tls1_2", "-tls1_3"])("need not be sent again: a session is resumed (%s)", async (version) => {
    const session = files.file(`session${version}`);
    const request = "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";
    const args = ["-servername", "a.test", version, "-ign_eof"];
    expect(await openssl(portOf("secure"), [...args, "-sess_out", session], request)).toContain("New, TLSv1");
    expect(await openssl(portOf("secure"), [...args, "-sess_in", session], request)).toContain("Reused, TLSv1");
    expect(await sum("lintel_tls_resumed_total", 'listener="secure"')).toBeGreaterThan(0);
  });
});

needs(program("openssl", opensslPath)).describe("a profile of one's own", () => {
  const narrow = (...args: string[]) => openssl(portOf("narrow"), ["-servername", "a.test", ...args]);

  test("has the ciphers and groups that it says, and prefers the first of them", async () => {
    // The client would rather have it the other way round.
    const offer = ["-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305", "-groups", "P-256:P-384"];
    const said = await narrow(...offer);
    expect(said).toContain("New, TLSv1.2, Cipher is ECDHE-ECDSA-CHACHA20-POLY1305");
    expect(said).toContain("Server Temp Key: ECDH, secp384r1");
    expect(await narrow("-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384")).toContain("Cipher is ECDHE-ECDSA-AES256-GCM");
    expect(await narrow("-groups", "P-256")).toContain("Server Temp Key: ECDH, prime256v1");
  });

  test.each([
    ["another version", ["-tls1_3"], /code=no-common-version/],
    ["another cipher", ["-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], /code=no-common-cipher/],
    ["another group", ["-groups", "X25519"], /code=no-common-cipher/],
  ])("has no %s", async (_, args, log) => {
    const failures = () => sum("lintel_tls_handshake_failures_total", 'listener="narrow"');
    const before = await failures();
    expect(await narrow(...args)).toContain("Cipher is (NONE)");
    await until(async () => (await failures()) === before + 1, "a failure in the metrics");
    await gateway.says(log, 20_000);
  });
});

needs(program("openssl", opensslPath)).test("HTTP/2 that was not agreed on is not spoken (RFC 9113 §3.3)", async () => {
  const before = await sum("lintel_malformed_requests_total", 'reason="http-version-unsupported"');
  for (const alpn of [[], ["-alpn", "http/1.1"]]) {
    const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const said = await openssl(portOf("secure"), ["-servername", "a.test", "-ign_eof", "-quiet", ...alpn], preface);
    expect(said).not.toContain("\0\0");
  }
  expect(await sum("lintel_malformed_requests_total", 'reason="http-version-unsupported"')).toBe(before + 2);
  const refused = await openssl(portOf("behind"), ["-servername", "a.test", "-alpn", "h2"]);
  // Without its PROXY header nobody gets that far.
  expect(refused).not.toContain("ALPN protocol: h2");
});

needs(program("openssl", opensslPath)).test(
  "a client that speaks none of our protocols is told so (RFC 7301 §3.2)",
  async () => {
    const before = await sum("lintel_tls_handshake_failures_total", 'reason="no-common-protocol"');
    expect(await openssl(portOf("secure"), ["-servername", "a.test", "-alpn", "spdy/3"])).toContain(
      "no application protocol",
    );
    await until(
      async () => (await sum("lintel_tls_handshake_failures_total", 'reason="no-common-protocol"')) === before + 1,
      "it to be counted",
    );
  },
);

needs(program("curl", curlPath)).describe("a site with client certificates", () => {
  const show = (name: string) => ["--cert", clients.file(`${name}.pem`), "--key", clients.file(`${name}.key`)];
  const staff = (...args: string[]) => files.curl("staff.test", portOf("secure"), "/", ...args);

  test.each(["--http1.1", "--http2"])("lets in who has one, and says who it is (%s)", async (version) => {
    const lies = ["-H", "x-client-subject: CN=root", "-H", "X_Client_Subject: CN=root", "-H", "client-cert: :AAAA:"];
    const answer = await staff(version, ...show("alice"), ...lies);
    expect(answer.status).toBe(200);
    expect(seen).toContain("x-client-verified: yes\r\n");
    expect(seen).toContain("x-client-subject: cn=alice\r\n");
    expect(seen).toMatch(/x-client-fingerprint: [0-9a-f]{64}\r\n/);
    expect(seen).not.toContain("cn=root");
    expect(seen).not.toContain("client-cert:");
  });

  test.each([
    ["none", [], /client certificate was refused|no client certificate was sent/],
    ["one of another CA", ["--cert", files.file("ecdsa.pem"), "--key", files.file("ecdsa.key")], /was refused/],
    ["one that is revoked", show("mallory"), /the certificate is revoked/],
    ["one that has expired", show("late"), /the certificate has expired/],
  ])("does not let in who has %s, and the log says why", async (_, args, reason) => {
    const answer = await staff(...args);
    expect(answer.status).toBe(0);
    expect(answer.exitCode).not.toBe(0);
    await gateway.says(reason, 20_000);
  });

  needs(program("openssl", opensslPath)).test.each(["-tls1_2", "-tls1_3"])(
    "knows the client again whose session is resumed, and no other's session will do (%s)",
    async (version) => {
      const request = (host: string) => `GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`;
      const ask = (host: string, ...args: string[]) =>
        openssl(portOf("secure"), ["-servername", host, version, "-ign_eof", ...args], request(host));
      const alice = ["-cert", clients.file("alice.pem"), "-key", clients.file("alice.key")];
      const [own, other] = [files.file(`staff${version}`), files.file(`open${version}`)];
      expect(await ask("staff.test", ...alice, "-sess_out", own)).toContain("HTTP/1.1 200");
      seen = "";
      const again = await ask("staff.test", "-sess_in", own);
      expect(again).toContain("Reused, TLSv1");
      expect(again).toContain("HTTP/1.1 200");
      expect(seen).toContain("x-client-subject: cn=alice\r\n");
      expect(await ask("open.test", "-sess_out", other)).toContain("HTTP/1.1 200");
      expect(await ask("staff.test", "-sess_in", other)).not.toContain("HTTP/1.1 200");
    },
  );

  test("is not reached over a connection that was made for another name: 421", async () => {
    for (const version of ["--http1.1", "--http2"]) {
      const answer = await files.curl("open.test", portOf("secure"), "/", "-H", "host: staff.test", version);
      expect(answer.status).toBe(421);
    }
    // Nor in the clear.
    const plain = await curl("-H", "host: guests.test", `${gateway.url("listener=plain")}/`);
    expect(plain.status).toBe(308);
  });

  test("may let in those without, and those it does not trust, and tell them apart", async () => {
    const guests = (...args: string[]) => files.curl("guests.test", portOf("secure"), "/", ...args);
    expect((await guests("-H", "x-client-verified: yes")).status).toBe(200);
    expect(seen).not.toContain("x-client-");
    expect((await guests(...show("mallory"))).status).toBe(200);
    expect(seen).toContain("x-client-verified: no\r\n");
    expect(seen).not.toContain("x-client-subject");
    expect((await guests(...show("alice"))).status).toBe(200);
    expect(seen).toContain("x-client-subject: cn=alice\r\n");
  });

  test("has variables that say who it is, or why it is not trusted", async () => {
    const who = async (...args: string[]) => {
      const { text } = await files.curl("who.test", portOf("secure"), "/", "--tls-max", "1.2", ...args);
      return Object.fromEntries(text.split("\n").map((line) => line.split(": ", 2)));
    };
    const pem = new X509Certificate(readFileSync(clients.file("alice.pem")));
    const alice = await who(...show("alice"));
    expect(alice).toEqual({
      version: "TLSv1.2",
      cipher: expect.stringMatching(/^ECDHE-ECDSA-/),
      resumed: "no",
      "client.verified": "yes",
      "client.distrust": "",
      "client.subject": "CN=alice",
      "client.issuer": pem.issuer,
      "client.serial": "07",
      "client.fingerprint": pem.fingerprint256.replaceAll(":", "").toLowerCase(),
      "client.certificate": pem.raw.toString("base64"),
    });
    expect(await who(...show("mallory"))).toMatchObject({
      "client.verified": "no",
      "client.distrust": "the certificate is revoked",
      "client.subject": "CN=mallory",
    });
    expect(await who()).toMatchObject({ "client.verified": "", "client.subject": "", "client.certificate": "" });
  });

  test("elsewhere nobody can claim to be somebody", async () => {
    const lies = ["-H", "x-client-subject: CN=root", "-H", "x-client-verified: yes"];
    expect((await files.curl("open.test", portOf("secure"), "/", ...lies)).status).toBe(200);
    expect(seen).not.toContain("x-client-");
  });
});

describe("what is no good handshake", () => {
  /** Connections, with those on their way. */
  const open = async () =>
    (await sum("lintel_connections_active", 'listener="secure"')) +
    (await sum("lintel_connections_active", 'listener="hasty"'));

  /** Sends something, and reads until the connection ends. @param then what to do instead of waiting */
  function attack(octets: Uint8Array | string, then: "wait" | "reset" | "close" = "wait"): Promise<void> {
    const port = portOf(then === "wait" ? "hasty" : "secure");
    return new Promise((resolve) => {
      const socket = net.connect(port, "127.0.0.1", () => {
        socket.write(octets);
        if (then === "reset") socket.resetAndDestroy();
        else if (then === "close") socket.end();
      });
      socket.resume();
      socket.on("error", () => {});
      socket.on("close", () => resolve());
    });
  }

  /** The first octets that a client sends. */
  function clientHello(): Promise<Buffer> {
    return new Promise((resolve) => {
      const trap = net.createServer((socket) => {
        socket.once("data", (octets: Buffer) => {
          resolve(octets);
          socket.destroy();
          trap.close();
        });
        socket.on("error", () => {});
      });
      trap.listen(0, "127.0.0.1", () => {
        const { port } = trap.address() as net.AddressInfo;
        tls.connect({ port, host: "127.0.0.1", servername: "a.test" }).on("error", () => {});
      });
    });
  }

  test("is closed, counted by its reason, and leaves nothing behind", async () => {
    const hello = await clientHello();
    await attack("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
    await attack(Buffer.alloc(1000, 0xff));
    await attack(Buffer.from([21, 3, 1, 0, 2, 2, 40]));
    await attack(Buffer.concat([Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0]), hello]));
    await attack(hello.subarray(0, 40), "close");
    await attack(hello.subarray(0, 40));
    await attack("");
    await attack(hello, "reset");
    await until(async () => (await open()) === 0, "no connection to be left");
    for (const reason of ["not-tls", "malformed", "client-left", "timeout"])
      expect([reason, await sum("lintel_tls_handshake_failures_total", `reason="${reason}"`)]).not.toEqual([reason, 0]);
    expect(gateway.output).toContain('reason="the client speaks plain HTTP"');
  });

  needs(program("curl", curlPath)).test("a thousand of them take no place from others", async () => {
    const hello = await clientHello();
    // More at a time than the listener takes connections.
    const lanes = Array.from({ length: 20 }, async (_, lane) => {
      for (let i = 0; i < 50; i++) {
        const cut = (lane * 50 + i) % (hello.length + 1);
        await attack(hello.subarray(0, cut), i % 2 === 0 ? "reset" : "close");
      }
    });
    await Promise.all(lanes);
    await until(async () => (await open()) === 0, "no connection to be left");
    for (let i = 0; i < 10; i++) {
      const answers = Array.from({ length: 3 }, () => files.curl("a.test", portOf("secure"), "/"));
      expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200]);
    }
  });

  test("without its PROXY header a connection ends, and is counted", async () => {
    const client = await RawClient.connect(portOf("behind"));
    await client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
    await client.closed();
    expect(await sum("lintel_proxy_header_failures_total")).toBeGreaterThan(0);
  });
});

describe("lintel cert", () => {
  async function cert(...args: string[]) {
    const program = join(import.meta.dir, "../../bin/lintel.mjs");
    const child = Bun.spawn(["node", program, "cert", ...args, "--admin", new URL(gateway.adminUrl).host], {
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return { code: await child.exited, text: out + err };
  }

  test("shows what is served for a name, from where, until when", async () => {
    const { code, text } = await cert("www.a.test");
    expect(code).toBe(0);
    expect(text).toMatch(/listeners +secure, hasty, behind\n.*\n +versions +TLS 1\.2 and 1\.3\n/);
    expect(text).toMatch(/listener +narrow\n.*\n +versions +TLS 1\.2\n/);
    expect(text).toContain(`${files.file("ecdsa.pem")} + ${files.file("ecdsa.key")}`);
    expect(text).toMatch(/valid +until \d{4}-\d\d-\d\d \d\d:\d\d \(9 days\)/);
    expect(text).not.toContain("PRIVATE");
    const answer = JSON.parse((await cert("staff.test", "--json")).text);
    expect(answer.listeners[0]).toMatchObject({ answer: "certificate", site: "staff", clientCertificate: "required" });
    expect(JSON.stringify(answer)).not.toContain("PRIVATE");
  });

  test.each([
    ["a name that nobody has", ["nobody.test"], 1, "no certificate for this name: the default one"],
    ["a certificate that ends within the time", ["a.test", "--valid-for", "30d"], 1, "valid"],
    ["a certificate that does not", ["a.test", "--valid-for", "5d"], 0, "valid"],
    ["all of them", [], 0, "*.wild.test"],
    ["a time that is none", ["--valid-for", "soon"], 2, '"soon" is not a time'],
  ])("asked for %s", async (_, args, code, says) => {
    const answer = await cert(...args);
    expect(answer.text).toContain(says);
    expect(answer.code).toBe(code);
  });

  test("and the metrics say when each ends", async () => {
    const ends = await sum("lintel_certificate_not_after_seconds", 'name="*.wild.test"');
    expect(ends).toBeGreaterThan(Date.now() / 1000);
  });
});
