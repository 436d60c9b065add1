/** The examples of docs/tls.md are served, and do what the page says. What its commands say is in docs-lines.test.ts. */
import { afterAll, beforeEach, expect, setDefaultTimeout } from "bun:test";
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";
import { parse } from "yaml";
import { needs, program } from "../src/base/testing.ts";
import { curlPath } from "./support/curl.ts";
import { Gateway, type TestConfig } from "./support/gateway.ts";
import { Origin } from "./support/origin.ts";
import { textOf } from "./support/page-reader.ts";
import { get } from "./support/raw.ts";
import { CertificateFolder, openssl, opensslPath, shown } from "./support/tls.ts";

setDefaultTimeout(60_000);

const examples = [...textOf("tls.md").matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text]) => text!);
if (examples.length !== 6) throw new Error("an example of docs/tls.md is driven by nobody");
const files = new CertificateFolder();
const one = await Origin.start();
const two = await Origin.start();
beforeEach(() => {
  one.clear();
  two.clear();
  one.script = (request) => request.reply({ content: `one ${request.target}` });
  two.script = (request) => request.reply({ content: `two ${request.target}` });
});
afterAll(() => {
  one.stop();
  two.stop();
  files.remove();
});

/** Serves an example on free ports of `host`, or on the one that stands there, with these certificates beside it. */
function serve(example: string, certificates: readonly string[] = [], host = "127.0.0.1:0"): Promise<Gateway> {
  const { listeners, ...config } = parse(
    example.replaceAll("localhost:3000", one.address).replaceAll("localhost:3001", two.address),
  ) as TestConfig & { listeners: object[] };
  return Gateway.start(
    {
      ...config,
      listeners: listeners.map((listener) => ({
        ...listener,
        address: "tls" in listener ? host : "127.0.0.1:0",
      })),
    },
    { files: Object.fromEntries(certificates.map((name) => [name, readFileSync(files.file(name))])) },
  );
}

const { test } = needs(program("curl", curlPath), program("openssl", opensslPath));

test("docs/tls.md: one certificate, HTTP/2 and HTTP/1.1, and plain requests go to HTTPS", async () => {
  const { cert, key } = files.put("first", files.authority.issue(["example.com", "www.example.com"]));
  const example = examples[0]!.replace("/etc/lintel/example.com.pem", cert).replace("/etc/lintel/example.com.key", key);
  // A redirect names the port that the config does: one that nobody else has, at an address of our own.
  const host = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
  await using gateway = await serve(example, [], `${host}:8443`);
  for (const [args, version] of [
    [[], "HTTP/2"],
    [["--http1.1"], "HTTP/1.1"],
  ] as const) {
    const there = ["--connect-to", `www.example.com:443:${host}:8443`];
    const answer = await files.curl("www.example.com", 443, "/x", ...there, ...args);
    expect([answer.text, answer.heads.split(" ")[0]]).toEqual(["one /x", version]);
  }
  const plain = (name: string) =>
    fetch(`${gateway.url("listener=web")}/x?y`, { headers: { host: name }, redirect: "manual" });
  for (const name of ["example.com", "www.example.com"]) {
    const { status, headers } = await plain(name);
    expect([status, headers.get("location")]).toEqual([308, `https://${name}:8443/x?y`]);
  }
});

test("docs/tls.md: which certificate a client gets", async () => {
  const { authority } = files;
  files.put("ecdsa", authority.issue(["example.com"], { subject: "ecdsa" }));
  files.put("rsa", authority.issue(["example.com"], { subject: "rsa", kind: "rsa" }));
  files.put("wildcard", authority.issue(["*.example.com", "other.test"], { subject: "wildcard" }));
  const names = ["ecdsa", "rsa", "wildcard"].flatMap((name) => [`${name}.pem`, `${name}.key`]);
  await using gateway = await serve(examples[1]!, names);
  const { port } = gateway;
  expect(await shown(port, "example.com")).toBe("ecdsa");
  expect(await shown(port, "example.com", "-sigalgs", "RSA-PSS+SHA256")).toBe("rsa");
  expect(await shown(port, "www.example.com")).toBe("wildcard");
  // No name: the default. One that nobody has, though it stands in the certificate: `names` says which count.
  expect(await shown(port, null)).toBe("ecdsa");
  expect(await openssl(port, ["-servername", "other.test"])).toMatch(/unrecognized name/i);
});

test("docs/tls.md: a profile of one's own", async () => {
  files.put("example", files.authority.issue(["example.com"]));
  await using gateway = await serve(examples[2]!, ["example.pem", "example.key"]);
  const cipher = async (...args: string[]) =>
    /Cipher is (\S+)/.exec(await openssl(gateway.port, ["-servername", "example.com", ...args]))?.[1] ?? null;
  const [chacha, aes] = ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384"];
  // In its order, not the client's.
  expect(await cipher("-tls1_2", "-cipher", `${aes}:${chacha}`)).toBe(chacha);
  expect(await cipher("-tls1_2", "-cipher", aes)).toBe(aes);
  expect(await cipher("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")).toBe("(NONE)");
  expect(await cipher("-tls1_3")).toStartWith("TLS_");
  expect(await cipher("-tls1_3", "-groups", "P-384")).toStartWith("TLS_");
  expect(await cipher("-tls1_3", "-groups", "P-256")).toBe("(NONE)");
  expect(await cipher("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")).toBeOneOf([null, "(NONE)"]);
});

test("docs/tls.md: from HTTP to HTTPS, and HSTS", async () => {
  files.put("example", files.authority.issue(["shop.example", "legacy.example"]));
  await using gateway = await serve(examples[3]!, ["example.pem", "example.key"]);
  const [web, secure] = [gateway.portOf("web"), gateway.portOf("secure")];
  const plain = (host: string) =>
    fetch(`http://127.0.0.1:${web}/x?y`, { headers: { host: `${host}:8080` }, redirect: "manual" });
  const moved = await plain("shop.example");
  expect([moved.status, moved.headers.get("location")]).toEqual([301, "https://shop.example/x?y"]);
  expect(await (await plain("legacy.example")).text()).toBe("two /x?y");
  const shop = await files.curl("shop.example", secure, "/x");
  expect([shop.text, shop.field("strict-transport-security")]).toEqual([
    "one /x",
    "max-age=63072000; includeSubDomains; preload",
  ]);
  const legacy = await files.curl("legacy.example", secure, "/x");
  expect([legacy.text, legacy.field("strict-transport-security")]).toEqual(["two /x", undefined]);
});

test("docs/tls.md: client certificates", async () => {
  const { authority } = files;
  files.put("example", authority.issue(["staff.example.com", "www.example.com"]));
  files.write("staff-ca.pem", authority.cert);
  files.write("staff-ca.crl", authority.revoke(66));
  await using gateway = await serve(examples[4]!, ["example.pem", "example.key", "staff-ca.pem", "staff-ca.crl"]);
  const { port } = gateway;
  const as = (name: string, wish: object = {}) => {
    const { cert, key } = files.put(name, authority.issue([], { subject: name, use: "client", ...wish }));
    return ["--cert", cert, "--key", key];
  };
  const staff = (...args: string[]) => files.curl("staff.example.com", port, "/x", ...args);
  const alice = await staff(...as("alice"), "-H", "X-Client-Subject: CN=root", "-H", "X-Client-Issuer: mine");
  expect(alice.text).toBe("one /x");
  const told = ["verified", "subject", "fingerprint", "issuer"].map((name) => one.last.field(`x-client-${name}`));
  expect(told).toEqual(["yes", "CN=alice", expect.stringMatching(/^[0-9a-f]{64}$/), undefined]);

  // None, one that is revoked, one that has ended, one for servers: no connection.
  const refused = [
    [],
    as("mallory", { serial: 66 }),
    as("late", { from: -9, until: -2 }),
    as("server", { use: "server" }),
  ];
  for (const args of refused) expect((await staff(...args)).status).toBe(0);

  // The other site asks for none, drops what clients claim, and its connections do not lead to the staff's.
  const www = await files.curl("www.example.com", port, "/x", "-H", "X-Client-Verified: yes");
  expect([www.text, one.last.field("x-client-verified")]).toEqual(["one /x", undefined]);
  const misdirected = await files.curl("www.example.com", port, "/x", "-H", "Host: staff.example.com");
  expect(misdirected.status).toBe(421);
});

test("docs/tls.md: a PROXY header before TLS, of those who are named", async () => {
  files.put("example", files.authority.issue(["example.com"]));
  const example = examples[5]!.replace("[10.0.0.0/8]", "[127.0.0.0/8]");
  await using gateway = await serve(example, ["example.pem", "example.key"]);
  const ask = (before: string) =>
    new Promise<string>((resolve) => {
      const socket = net.connect(gateway.port, "127.0.0.1", () => {
        if (before !== "") socket.write(before);
        let text = "";
        const secured = tls.connect({ socket, servername: "example.com", ca: files.authority.cert }, () => {
          secured.write(get("/x", "Connection: close"));
        });
        secured.on("data", (octets: Buffer) => {
          text += octets.toString("latin1");
        });
        secured.on("error", () => resolve(text));
        secured.on("close", () => resolve(text));
      });
    });
  expect(await ask("PROXY TCP4 192.0.2.7 192.0.2.1 5555 443\r\n")).toEndWith("one /x");
  expect(one.last.field("x-forwarded-for")).toBe("192.0.2.7");
  expect(await ask("")).toBe("");
  expect(one.requests).toHaveLength(1);

  // From others it is not read.
  await using other = await serve(examples[5]!, ["example.pem", "example.key"]);
  expect((await files.curl("example.com", other.port, "/x")).text).toBe("one /x");
});
