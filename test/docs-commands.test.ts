/** What docs/commands.md and docs/config.md say of the commands, and what they show of their output, is so. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const root = join(import.meta.dir, "..");
const commandsPage = readFileSync(join(root, "docs/commands.md"), "utf8");
const configPage = readFileSync(join(root, "docs/config.md"), "utf8");

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "lintel-docs-commands-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), text);
}

async function lintel(...args: string[]): Promise<{ code: number; out: string }> {
  const child = Bun.spawn([process.execPath, join(root, "src/cli/main.ts"), ...args], {
    cwd: directory,
    env: { PATH: process.env["PATH"], NO_COLOR: "1", STATE_DIRECTORY: join(directory, "state") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, error, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out: out + error };
}

const rows = commandsPage
  .split("\n")
  .filter((line) => line.startsWith("| `lintel "))
  .map((line) => ({ command: /^\| `lintel (\w+)/.exec(line)![1]!, line }));

test.each(rows)("lintel $command has the flags and the words of its row: $line", async ({ command, line }) => {
  const { code, out } = await lintel(command, "--help");
  expect({ code, out }).toEqual({ code: 0, out: expect.stringContaining(`lintel ${command}`) });
  for (const [flag] of line.matchAll(/--?[a-zA-Z][\w-]*/g)) {
    if (!line.includes(`\`${flag}`) && !line.includes(` ${flag}`)) continue;
    expect(out).toContain(flag);
  }
  const words = /^\| `lintel \w+ ([a-z][\w\\|]*)/.exec(line)?.[1]?.split("\\|") ?? [];
  for (const word of words) expect(out).toContain(word);
});

test("every command is in docs/commands.md", async () => {
  const { out } = await lintel("--help");
  const listed = [...out.matchAll(/^ {2}(\w+) {2,}/gm)].map(([, name]) => name!);
  expect(listed.length).toBeGreaterThan(10);
  const missing = listed.filter((name) => !new RegExp(`\`(lintel )?${name}\\b`).test(commandsPage));
  expect(missing).toEqual([]);
});

test("explain says what docs/commands.md says it does", async () => {
  put("lintel.yaml", /^```yaml\n([\s\S]*?)^```$/m.exec(commandsPage)![1]!);
  const line =
    /`lintel (explain GET \S+)` says that `api` does not take it, because of its\s+method, and that `rest` does/;
  const { code, out } = await lintel(...line.exec(commandsPage)![1]!.split(" "));
  expect(code).toBe(0);
  expect(out).toMatch(/^not +api .*method/m);
  expect(out).toMatch(/^route +rest:/m);
});

test.each([
  ["docs/tcp.md", 2, "--sni shop.example.com --from 10.1.2.3", /^route +shop: /m],
  ["docs/udp.md", 2, "--from 192.0.2.9", /^route +office: /m],
])("explain says for the example of %s (%i) what `… %s` asks", async (page, number, asks, says) => {
  const text = readFileSync(join(root, page), "utf8");
  put("lintel.yaml", [...text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)][number - 1]![1]!);
  const [, line] = new RegExp(`\`lintel (explain [^\`]* ${asks})\``).exec(text)!;
  const { code, out } = await lintel(...line!.split(" "));
  expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(says) });
});

test("exit codes are those of docs/commands.md: 0 fine, 1 something is wrong, 2 not understood", async () => {
  put("lintel.yaml", 'sites: [{ to: "localhost:3000" }]\n');
  put("bad.yaml", "sites: [{ to: nowhere }]\n");
  expect((await lintel("check")).code).toBe(0);
  expect((await lintel("check", "bad.yaml")).code).toBe(1);
  expect((await lintel("check", "--no-such-flag")).code).toBe(2);
});

test("a mistake is shown as in docs/config.md, to the letter", async () => {
  const shown = /^```\n(lintel\.yaml:[\s\S]*?)^```$/m.exec(configPage)![1]!;
  put(
    "lintel.yaml",
    'upstreams: { app: "localhost:3000" }\nsites:\n  - hosts: [example.com]\n    to: ap\n  - to: app\n',
  );
  const { code, out } = await lintel("check");
  expect({ code, out: out.slice(0, shown.length) }).toEqual({ code: 1, out: shown });
});

test("included files are joined in their order, and a name that is given twice is an error", async () => {
  const example = [...configPage.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].find(([, text]) =>
    text!.includes("include"),
  )!;
  put("lintel.yaml", example[1]!);
  put(
    "sites/2-shop.yaml",
    "upstreams: { shop: 'localhost:2' }\nsites: [{ name: shop, hosts: [b.example], to: shop }]\n",
  );
  put(
    "sites/1-blog.yaml",
    "upstreams: { blog: 'localhost:1' }\nsites: [{ name: blog, hosts: [a.example], to: blog }]\n",
  );
  const routes = JSON.parse((await lintel("routes", "--json")).out) as { site: string }[];
  expect(routes.map(({ site }) => site)).toEqual(["blog", "shop"]);
  put("sites/3-again.yaml", "upstreams: { blog: 'localhost:3' }\n");
  const twice = await lintel("check");
  expect(twice.code).toBe(1);
  expect(twice.out).toMatch(/sites\/3-again\.yaml:1:\d+: error\[[\w-]+\].*upstreams\.blog/);
});
