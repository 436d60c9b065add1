import { expect, test } from "bun:test";
import { catalog } from "../cli/catalog.ts";
import { loadConfig } from "../config/load.ts";
import { refuseNotServed } from "./not-served.ts";

const read = async (tree: unknown) => (await loadConfig({ tree, origin: "test" }, catalog, {})).config!;

test("a config with TLS is refused, and all of it named", async () => {
  const config = await read({ upstreams: { app: { endpoints: "127.0.0.1:9", tls: true } }, sites: [{ to: "app" }] });
  expect(() => refuseNotServed(config)).toThrow("not served by this version yet: tls of upstream app");
});

test("one without is not", async () => {
  const config = await read({ sites: [{ to: "127.0.0.1:9" }] });
  expect(() => refuseNotServed(config)).not.toThrow();
});
