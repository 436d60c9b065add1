import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog } from "../base/log.ts";
import { Authority } from "../tls/testing.ts";
import { CertificateShelf, keptCertificate } from "./certificate-shelf.ts";
import { FolderStore } from "./folder-store.ts";

const root = mkdtempSync(join(tmpdir(), "lintel-shelf-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const DAY = 86_400_000;
const authority = new Authority();
const ca = { name: "ca", directory: "https://ca/" };

function newShelf() {
  const lines: string[] = [];
  const log = createLog({ level: "info", format: "text", write: (line) => lines.push(line) });
  const store = new FolderStore(join(root, String(++folders)));
  return { shelf: new CertificateShelf(store, log), store, lines };
}

test("what is kept is there again, and its failures are forgotten", async () => {
  const { shelf } = newShelf();
  await shelf.note("a.example", { count: 2, until: 5, reason: "x", settings: "s" });
  expect(await shelf.failures("a.example", "s")).toMatchObject({ count: 2 });
  expect(await shelf.failures("a.example", "other")).toBeNull();
  const certificate = keptCertificate("a.example", authority.issue(["a.example"]), ca);
  await shelf.keep(certificate);
  expect(await shelf.certificate("a.example")).toEqual(certificate);
  expect(await shelf.failures("a.example", "s")).toBeNull();
  expect(await shelf.names()).toEqual(["a.example"]);
});

test("a CA that sends a certificate for other names, or another key's, is not believed", () => {
  const { cert, key } = authority.issue(["b.example"]);
  expect(() => keptCertificate("a.example", { cert, key }, ca)).toThrow("for other names than a.example");
  const other = authority.issue(["a.example"]);
  expect(() => keptCertificate("a.example", { cert: other.cert, key }, ca)).toThrow("the key is not the certificate's");
  expect(keptCertificate("*.c.example", authority.issue(["*.c.example"]), ca).name).toBe("*.c.example");
});

test.each(["", "{", "{}", '{"cert":"x","key":"y"}', "null"])(
  "%j in the store is no certificate, and told",
  async (text) => {
    const { shelf, store, lines } = newShelf();
    await store.write("certificates/a.example", text);
    expect(await shelf.certificate("a.example")).toBeNull();
    expect(lines.join("")).toContain("a kept certificate cannot be used: another one is ordered");
  },
);

test("what nobody needs is swept away, also if something else lies there", async () => {
  const { shelf, store } = newShelf();
  const now = Date.now();
  const { cert, key } = authority.issue(["new.example"]);
  await shelf.keep(keptCertificate("new.example", { cert, key }, ca));
  const old = authority.issue(["old.example"], { from: -50, until: -40 });
  await shelf.keep(keptCertificate("old.example", old, ca));
  await shelf.note("fails.example", { count: 1, until: now, reason: "", settings: "" });
  await shelf.note("failed.example", { count: 1, until: now - 31 * DAY, reason: "", settings: "" });
  await store.write("failures/odd", "{");
  await shelf.sweep(now);
  expect(await store.list("certificates")).toEqual(["certificates/new.example"]);
  expect((await store.list("failures")).sort()).toEqual(["failures/fails.example", "failures/odd"]);
});
