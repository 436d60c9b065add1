/** What docs/discovery.md says of its file, and docs/reload.md of its example, with files that change under a running Lintel. */
import { afterEach, expect, test } from "bun:test";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { Fleet } from "./support/fleet.ts";
import { Gateway, type TestConfig } from "./support/gateway.ts";
import { PageReader, textOf } from "./support/page-reader.ts";
import { closeClients } from "./support/raw.ts";
import { until } from "./support/until.ts";

afterEach(closeClients);

/** Best a new one beside it, as the page says. */
function replace(folder: string, name: string, text: string): void {
  writeFileSync(join(folder, `${name}.new`), text);
  renameSync(join(folder, `${name}.new`), join(folder, name));
}

test("docs/discovery.md: the endpoints of a file, which changes, breaks and is well again", async () => {
  await using reader = await PageReader.open("discovery.md");
  while (reader.left > 1) reader.skip();
  const [, listed] = /^```json\n(.*?)^```$/ms.exec(textOf("discovery.md"))!;
  using fleet = await Fleet.of(`${listed}"10.0.0.3:8080"`, reader.folder);
  const answers = async (): Promise<string> => {
    const seen = new Set<string>();
    for (let i = 0; i < 6; i++) seen.add((await reader.ask("GET /")).text);
    return [...seen].sort().join(" ");
  };
  const come = (wanted: string) =>
    until(
      async () => (await answers()) === wanted,
      () => `answers of ${wanted}\n${reader.output}`,
    );
  const file = "app-endpoints.json";
  replace(reader.folder, file, fleet.moved(listed!));
  await reader.next({}, (text) => text.replace("/etc/lintel/app-endpoints.yaml", file));
  // The other one is a backup.
  await come("10.0.0.1:8080");
  replace(reader.folder, file, fleet.moved(listed!.replace(', "backup": true', "")));
  await come("10.0.0.1:8080 10.0.0.2:8080");
  // Half a list changes nothing, and the log says where it ends.
  replace(reader.folder, file, fleet.moved('["10.0.0.3:8080",\n "10.0'));
  await reader.says(/app-endpoints\.json:2:\d+/);
  expect(await answers()).toBe("10.0.0.1:8080 10.0.0.2:8080");
  replace(reader.folder, file, fleet.moved('["10.0.0.3:8080"]'));
  await come("10.0.0.3:8080");
  // An empty file is a mistake, an empty list is none.
  replace(reader.folder, file, "[]");
  await until(async () => (await reader.ask("GET /")).status === 503, "there is nobody left");
}, 60_000);

test("docs/reload.md: a config that is watched comes into force, and one with a mistake does not", async () => {
  const [, example] = /^```yaml\n(.*?)^```$/ms.exec(textOf("reload.md"))!;
  const config = (said: string): TestConfig => ({
    ...(parse(example!) as TestConfig),
    listeners: ["127.0.0.1:0"],
    admin: "off",
    sites: [{ use: [{ respond: said }] }],
  });
  await using gateway = await Gateway.start(config("first"));
  const answer = async () => (await fetch(gateway.url())).text();
  expect(await answer()).toBe("first");
  replace(gateway.directory, "lintel.json", JSON.stringify(config("second")));
  await until(async () => (await answer()) === "second", "the second is in force");
  replace(gateway.directory, "lintel.json", JSON.stringify({ ...config("third"), sitse: [] }));
  await gateway.says('did you mean "sites"');
  expect(await answer()).toBe("second");
  replace(gateway.directory, "lintel.json", JSON.stringify(config("fourth")));
  await until(async () => (await answer()) === "fourth", "the fourth is in force");
}, 60_000);
