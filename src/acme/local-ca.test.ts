import { afterAll, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FolderStore } from "./folder-store.ts";
import { LocalCa, readRoot } from "./local-ca.ts";

const root = mkdtempSync(join(tmpdir(), "lintel-local-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const never = new AbortController().signal;

test("the root is made once, also by several at a time, and signs what is asked for", async () => {
  const folder = join(root, "one");
  expect(await readRoot(new FolderStore(folder))).toBeNull();
  const all = await Promise.all([0, 1, 2].map(() => LocalCa.open(new FolderStore(folder, { lookMs: 5 }), never)));
  expect(new Set(all.map((ca) => ca.root.cert)).size).toBe(1);
  expect(all.filter(({ isNew }) => isNew)).toHaveLength(1);
  expect((await LocalCa.open(new FolderStore(folder), never)).isNew).toBe(false);

  const authority = new X509Certificate(all[0]!.root.cert);
  expect(authority.ca).toBe(true);
  const now = Date.now();
  const { cert, renewAt } = all[0]!.issue(["app.test", "*.app.test", "127.0.0.1", "::1"], 3_600_000, now);
  const leaf = new X509Certificate(cert);
  expect(leaf.verify(authority.publicKey)).toBe(true);
  expect(leaf.checkIssued(authority)).toBe(true);
  expect(leaf.ca).toBe(false);
  expect(leaf.subjectAltName).toBe("DNS:app.test, DNS:*.app.test, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1");
  expect(renewAt - now).toBe(2_400_000);
});

test("a root that is broken is told with the way out, not replaced in silence", async () => {
  const store = new FolderStore(join(root, "two"));
  const { root: made } = await LocalCa.open(store, never);
  const other = await LocalCa.open(new FolderStore(join(root, "three")), never);
  await store.write("local/root", JSON.stringify({ ...made, key: other.root.key }));
  await expect(LocalCa.open(store, never)).rejects.toThrow("remove local/root from the storage folder");
});
