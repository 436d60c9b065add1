import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram, needs, program } from "../base/testing.ts";
import { Authority } from "../tls/testing.ts";
import { TrustStore } from "./trust-store.ts";

const root = mkdtempSync(join(tmpdir(), "lintel-trust-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const updater = findProgram("update-ca-certificates");

needs(program("update-ca-certificates", updater)).describe("with Debian's update-ca-certificates", () => {
  // The machine's own stays as it is.
  const folders = { localcertsdir: join(root, "local"), etccertsdir: join(root, "etc"), hooksdir: join(root, "hooks") };
  for (const folder of Object.values(folders)) mkdirSync(folder);
  const conf = join(root, "conf");
  writeFileSync(conf, "");
  const args = [...Object.entries(folders).flatMap(([name, folder]) => [`--${name}`, folder]), "--certsconf", conf];
  const store = new TrustStore({ folder: folders.localcertsdir, program: updater!, args });
  const bundle = () => readFileSync(join(folders.etccertsdir, "ca-certificates.crt"), "utf8");

  test("a CA is in the system's bundle once it is installed, beside others, and gone once it is not", () => {
    const [one, other] = [new Authority("one").cert, new Authority("other").cert];
    store.install(one);
    store.install(other);
    store.install(one);
    expect(store.has(one)).toBe(true);
    expect(bundle()).toContain(one.trim());
    expect(bundle()).toContain(other.trim());
    store.uninstall(one);
    expect(store.has(one)).toBe(false);
    expect(bundle()).not.toContain(one.trim());
    expect(bundle()).toContain(other.trim());
    store.uninstall(one);
  });

  test("no key gets there, even if one stands behind the certificate", () => {
    const { cert } = new Authority("with key");
    store.install(`${cert}-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n`);
    expect(readFileSync(store.fileOf(cert), "utf8").trim()).toBe(cert.trim());
  });
});

test("where the program is missing, there is another way", () => {
  const store = new TrustStore({ folder: join(root, "other"), program: join(root, "missing") });
  expect(() => store.install(new Authority().cert)).toThrow("is not installed: this system keeps its CAs elsewhere");
});
