/** Pages whose `sh` lines ask a running Lintel something: each line works, and answers what stands behind it. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { Gateway, type TestConfig } from "./support/gateway.ts";
import { CertificateFolder } from "./support/tls.ts";

const root = join(import.meta.dir, "..");
const textOf = (page: string): string => readFileSync(join(root, page), "utf8");

/** The first block of `sh`, line by line, without what is said behind a line. */
function linesOf(page: string): string[] {
  const [, block] = /^```sh\n([\s\S]*?)^```$/m.exec(textOf(page))!;
  return block!
    .split("\n")
    .filter(Boolean)
    .map((line) => line.replace(/ +# .*/, ""));
}

/** What a line says to somebody in the folder of the gateway's config. @param line of `lintel …` */
async function say(gateway: Gateway, line: string): Promise<{ code: number; out: string }> {
  const [program, ...args] = line.replace(/^sudo /, "").split(" ");
  expect(program).toBe("lintel");
  const child = Bun.spawn([process.execPath, join(root, "src/cli/main.ts"), ...args], {
    cwd: gateway.directory,
    env: { PATH: process.env["PATH"], NO_COLOR: "1", STATE_DIRECTORY: join(gateway.directory, "state") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, error, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out: out + error };
}

test("docs/tls.md: what is served for a name, from where, until when", async () => {
  const files = new CertificateFolder();
  try {
    const { cert, key } = files.put(
      "example",
      files.authority.issue(["example.com", "www.example.com"], { until: 20 }),
    );
    const [, text] = /^```yaml\n([\s\S]*?)^```$/m.exec(textOf("docs/tls.md"))!;
    const example = parse(
      text!.replace("/etc/lintel/example.com.pem", cert).replace("/etc/lintel/example.com.key", key),
    ) as { listeners: object[] };
    const listeners = example.listeners.map((one) => ({ ...one, address: "127.0.0.1:0" }));
    await using gateway = await Gateway.start({ ...example, listeners });
    const [all, one, valid, ...others] = linesOf("docs/tls.md");
    expect(others).toEqual([]);
    expect(await say(gateway, all!)).toEqual({ code: 0, out: expect.stringMatching(/example\.com www\.example\.com/) });
    const said = await say(gateway, one!);
    expect(said).toEqual({ code: 0, out: expect.stringContaining(cert) });
    expect(said.out).toMatch(/valid +until \d{4}-\d\d-\d\d/);
    expect((await say(gateway, valid!)).code).toBe(0);
    expect((await say(gateway, valid!.replace("14d", "21d"))).code).toBe(1);
    expect((await say(gateway, one!.replace("example.com", "other.example"))).code).toBe(1);
  } finally {
    files.remove();
  }
}, 60_000);

test("docs/automatic-https.md: the root of the local CA for other machines", async () => {
  await using gateway = await Gateway.start({
    tls: { local: true },
    sites: [{ hosts: "a.test", use: [{ respond: "ok" }] }],
  });
  const print = [...textOf("docs/automatic-https.md").matchAll(/^(lintel trust --print) > lintel-ca\.pem/gm)];
  expect(await say(gateway, print[0]![1]!)).toEqual({
    code: 0,
    out: expect.stringMatching(/^-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n$/),
  });
}, 60_000);

test("docs/reload.md: history, one version, what two differ in, and one that comes back", async () => {
  const config = (said: string): TestConfig => ({
    listeners: ["127.0.0.1:0"],
    admin: "off",
    sites: [{ use: [{ respond: said }] }],
  });
  await using gateway = await Gateway.start(config("version 1"));
  const answer = async () => (await fetch(gateway.url())).text();
  for (let version = 2; version <= 5; version++) {
    writeFileSync(join(gateway.directory, "lintel.json"), JSON.stringify(config(`version ${version}`)));
    expect(await say(gateway, "lintel reload")).toEqual({ code: 0, out: expect.stringContaining(`${version}`) });
  }
  const [history, show, diff, rollback, ...others] = linesOf("docs/reload.md");
  expect(others).toEqual([]);
  const listed = (await say(gateway, history!)).out;
  for (const one of ["1", "2", "3", "4", "5"]) expect(listed).toMatch(new RegExp(`^\\W*${one}\\b`, "m"));
  const shown = await say(gateway, show!);
  expect((parse(shown.out) as { sites: object }).sites).toEqual([{ use: [{ respond: "version 3" }] }]);
  const differing = await say(gateway, diff!);
  expect(differing.out).toMatch(/^-.*version 3$/m);
  expect(differing.out).toMatch(/^\+.*version 5$/m);
  expect(await answer()).toBe("version 5");
  expect((await say(gateway, rollback!)).code).toBe(0);
  expect(await answer()).toBe("version 3");
  expect((await say(gateway, history!)).out).toMatch(/^\W*6\b.*rollback to 3/m);
}, 60_000);
