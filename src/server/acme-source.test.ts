import { afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog } from "../base/log.ts";
import { catalog } from "../cli/catalog.ts";
import { loadConfig } from "../config/load.ts";
import { Registry } from "../telemetry/registry.ts";
import { AcmeSource } from "./acme-source.ts";

const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanUp.splice(0).reverse()) clean();
});

test("a name on demand that no CA could certify does not reach the store", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lintel-acme-source-"));
  cleanUp.push(() => rmSync(folder, { recursive: true }));
  const tree = {
    listeners: [{ name: "secure", address: ":443", tls: true }],
    tls: { acme: { email: "a@b.test", onDemand: { allow: ".a.test" } } },
    sites: [{ hosts: "*.a.test", to: "localhost:1" }],
  };
  const { config } = await loadConfig({ tree, origin: "test" }, catalog, {});
  const source = new AcmeSource({
    folder,
    log: createLog({ level: "error", format: "text", write: () => {} }),
    coverage: () => () => false,
    isServed: () => true,
    registry: () => new Registry(),
  });
  cleanUp.push(() => source.stop());
  await source.use(config!, folder, async () => {});
  // Whoever reads it fails.
  mkdirSync(join(folder, "certificates", "good.a.test"), { recursive: true });
  await expect(source.obtain("good.a.test")).rejects.toThrow("EISDIR");
  for (const name of [".a.test", "..a.test", `${"a".repeat(300)}.a.test`, "a/b.a.test", "\0.a.test", "*.a.test"])
    await source.obtain(name);
});
