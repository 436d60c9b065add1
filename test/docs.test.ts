/** The documentation holds: each YAML example is a whole config, each link leads somewhere, each metric is named. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { renderReference } from "../scripts/reference.ts";
import { prepare } from "../src/cli/prepare.ts";
import { Gateway } from "./support/gateway.ts";

const root = join(import.meta.dir, "..");
const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "ARCHITECTURE.md",
  ...readdirSync(join(root, "docs"), { recursive: true }).map((name) => `docs/${String(name)}`),
]
  .filter((name) => name.endsWith(".md") && existsSync(join(root, name)))
  .map((name) => ({ name, text: readFileSync(join(root, name), "utf8") }));

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "lintel-docs-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

// The middlewares' own pages are tested beside their code.
const examples = pages
  .filter(({ name }) => !name.startsWith("docs/middleware/"))
  .flatMap(({ name, text }) =>
    [...text.matchAll(/^```(yaml|ts)\n([\s\S]*?)^```$/gm)].map(([, language, example], i) => ({
      name,
      number: i + 1,
      language: language!,
      example: example!,
    })),
  );

test.each(examples)("example $number of $name is a whole config", async ({ language, example }) => {
  const file = join(directory, language === "ts" ? "lintel.config.ts" : "lintel.yaml");
  writeFileSync(
    file,
    language === "ts" ? example.replace('"lintel"', JSON.stringify(join(root, "src/index.ts"))) : example,
  );
  if (example.includes("include: [sites/*.yaml]")) {
    mkdirSync(join(directory, "sites"), { recursive: true });
    writeFileSync(join(directory, "sites/shop.yaml"), 'sites: [{ to: "localhost:3000" }]\n');
  }
  const { diagnostics } = await prepare({ file });
  expect(diagnostics.map(({ line, message }) => `${line}: ${message}`)).toEqual([]);
});

describe("links", () => {
  const links = pages
    .flatMap(({ name, text }) =>
      [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => ({ name, target: target! })),
    )
    .filter(({ target }) => !/^[a-z]+:/.test(target));

  test.each(links)("$target in $name leads somewhere", ({ name, target }) => {
    const [path, anchor] = target.split("#");
    const file = path === "" ? join(root, name) : resolve(dirname(join(root, name)), path!);
    expect(existsSync(file)).toBe(true);
    if (anchor === undefined) return;
    const headings = [...readFileSync(file, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(" ", "-"),
    );
    expect(headings).toContain(anchor);
  });
});

test("docs/reference.md is current (bun run reference)", () => {
  expect(readFileSync(join(root, "docs/reference.md"), "utf8")).toBe(renderReference());
});

test("every metric is in docs/metrics.md, and no other", async () => {
  // Parts that are not used have no metrics.
  await using gateway = await Gateway.start({
    listeners: ["127.0.0.1:0", { address: "127.0.0.1:0", tls: true, proxyProtocol: ["127.0.0.1"] }],
    tls: { local: true, acme: { ca: "https://127.0.0.1:1/directory" } },
    upstreams: { app: "127.0.0.1:1" },
    sites: [{ hosts: ["a.example", "localhost"], to: "app" }],
    tcp: [{ listen: "127.0.0.1:0", to: "app" }],
    udp: [{ listen: "127.0.0.1:0", to: "app" }],
  });
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
  const served = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!));
  const page = pages.find(({ name }) => name === "docs/metrics.md")!.text;
  const named = new Set([...page.matchAll(/`(lintel_[a-z_]+)`/g)].map(([, name]) => name!));
  expect([...named].sort()).toEqual([...served].sort());
});

test("every page is in the index", () => {
  const index = pages.find(({ name }) => name === "docs/index.md")!.text;
  const missing = pages.filter(
    ({ name }) => name.startsWith("docs/") && name !== "docs/index.md" && !index.includes(`(${name.slice(5)})`),
  );
  expect(missing.map(({ name }) => name)).toEqual([]);
});
