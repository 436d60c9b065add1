/** The examples of docs/access-log.md write what the page says. The rotation is in docs-service.test.ts. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { Gateway } from "./support/gateway.ts";
import { Origin } from "./support/origin.ts";
import { exchange, get } from "./support/raw.ts";
import { until } from "./support/until.ts";

const page = readFileSync(join(import.meta.dir, "../docs/access-log.md"), "utf8");
const [plain, templated] = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text]) => text!);
const origin = await Origin.start();
afterAll(() => origin.stop());

interface Example {
  readonly telemetry: object;
  readonly sites: object;
}

const exampleOf = (text: string): Example => parse(text.replaceAll("localhost:3000", origin.address)) as Example;

test("json has the outcomes that the page shows", async () => {
  const { telemetry, sites } = exampleOf(plain!);
  await using gateway = await Gateway.start({ telemetry, sites, timeouts: { firstOctet: "300ms" } });
  const logged = async (count: number) => {
    await until(
      () => gateway.stdout.split("\n").length > count,
      () => `line ${count} in ${gateway.stdout}`,
    );
    return JSON.parse(gateway.stdout.split("\n")[count - 1]!) as { outcome: object };
  };
  origin.script = (request) => request.reply();
  await exchange(gateway.port, get("/"));
  expect((await logged(1)).outcome).toEqual({ by: null, phase: "done", code: null });

  origin.script = (request) => request.connection.detach();
  await exchange(gateway.port, get("/"));
  const [, shown] = /^ {4}"outcome":(\{.*\})$/m.exec(page)!;
  expect((await logged(2)).outcome).toEqual({ ...(JSON.parse(shown!) as object), message: expect.any(String) });
});

test("a template writes its variables to the file", async () => {
  const { telemetry, sites } = exampleOf(templated!.replace("/var/log/lintel/", "./"));
  await using gateway = await Gateway.start({ telemetry, sites });
  origin.script = (request) => request.reply({ status: 404 });
  await exchange(gateway.port, get("/a?b"));
  const file = join(gateway.directory, "access.log");
  const text = () => (existsSync(file) ? readFileSync(file, "utf8") : "");
  await until(() => text().includes("\n"), "the line is written");
  expect(text()).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z 127\.0\.0\.1 GET \/a\?b 404 [\d.]+ complete\n$/);
});
