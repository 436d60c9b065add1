import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog, SILENT } from "../../base/log.ts";
import { needs, program } from "../../base/testing.ts";
import type { DnsChallengeConfig, DynamicUpdateConfig } from "../../config/gateway-config.ts";
import { dnsSolver } from "./dns-solver.ts";
import { Knot, knotPath } from "./testing.ts";

const directory = mkdtempSync(join(tmpdir(), "lintel-dns-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const never = new AbortController().signal;

function updates(knot: Knot, more: Partial<DynamicUpdateConfig> = {}): DnsChallengeConfig {
  const provider = {
    kind: "rfc2136" as const,
    server: knot.address,
    zone: null,
    key: knot.key,
    ttl: 60_000,
    timeout: 5000,
  };
  return { provider: { ...provider, ...more }, propagation: 20_000, resolvers: null };
}

needs(program("knotd", knotPath)).describe("against knot", () => {
  let knot: Knot;
  beforeAll(async () => {
    knot = await Knot.start();
  });
  afterAll(() => knot.stop());

  test("records are added beside others and removed alone (RFC 2136 §2.5.1, §2.5.4)", async () => {
    const solver = dnsSolver(updates(knot), directory, SILENT);
    const tasks = ["first", "second"].map((answer) => ({ name: "shop.example.test", token: "", answer }));
    for (const task of tasks) await solver.present(task, never);
    const record = "_acme-challenge.shop.example.test";
    expect((await knot.lookUp("TXT", record)).sort()).toEqual(["first", "second"]);
    await solver.withdraw(tasks[0]!);
    expect(await knot.lookUp("TXT", record)).toEqual(["second"]);
    await solver.withdraw(tasks[1]!);
    expect(await knot.lookUp("TXT", record)).toEqual([]);
  }, 120_000);

  test("where the record is an alias, its target is set", async () => {
    const solver = dnsSolver(updates(knot), directory, SILENT);
    const task = { name: "alias.example.test", token: "", answer: "elsewhere" };
    await solver.present(task, never);
    expect(await knot.lookUp("TXT", "there.challenges.test")).toEqual(["elsewhere"]);
    await solver.withdraw(task);
    expect(await knot.lookUp("TXT", "there.challenges.test")).toEqual([]);
  }, 120_000);

  test("a zone can be named; another one is refused with advice", async () => {
    const task = { name: "named.example.test", token: "", answer: "x" };
    const right = dnsSolver(updates(knot, { zone: "example.test" }), directory, SILENT);
    await right.present(task, never);
    await right.withdraw(task);
    const wrong = dnsSolver(updates(knot, { zone: "challenges.test" }), directory, SILENT);
    await expect(wrong.present(task, never)).rejects.toThrow(/NOTZONE|outside of the zone/);
    const none = dnsSolver(updates(knot), directory, SILENT);
    await expect(none.present({ ...task, name: "example.org" }, never)).rejects.toThrow("has no zone for");
  }, 120_000);

  test("without the key, or with another, updates are refused, and the log says what to do", async () => {
    const task = { name: "shop.example.test", token: "", answer: "x" };
    const stranger = { ...knot.key, secret: Buffer.from("another key, of any length").toString("base64") };
    for (const [key, code] of [
      [null, /NOTAUTH|REFUSED/],
      [stranger, /BADSIG/],
    ] as const) {
      const solver = dnsSolver(updates(knot, { key }), directory, SILENT);
      await expect(solver.present(task, never)).rejects.toThrow(code);
    }
    const lines: string[] = [];
    const log = createLog({ level: "info", format: "text", write: (line) => lines.push(line) });
    await dnsSolver(updates(knot, { key: stranger }), directory, log).withdraw(task);
    expect(lines.join("")).toContain("a record of a challenge stays behind");
  }, 120_000);

  test("a record that does not come to be seen is no reason to ask the CA", async () => {
    const other = await Knot.start();
    try {
      const config = { ...updates(knot), resolvers: [other.address], propagation: 1 };
      const solver = dnsSolver(config, directory, SILENT);
      const task = { name: "late.example.test", token: "", answer: "x" };
      await expect(solver.present(task, never)).rejects.toThrow("is not seen at 127.0.0.1");
      await solver.withdraw(task);
    } finally {
      await other.stop();
    }
  }, 120_000);

  test.each(["hmac-sha384", "hmac-sha512", "hmac-sha1"] as const)(
    "signed with %s (RFC 8945)",
    async (algorithm) => {
      const other = await Knot.start(algorithm);
      try {
        const solver = dnsSolver(updates(other), directory, SILENT);
        const task = { name: "example.test", token: "", answer: "signed" };
        await solver.present(task, never);
        await solver.withdraw(task);
      } finally {
        await other.stop();
      }
    },
    120_000,
  );
});

test("a server that does not listen is told", async () => {
  const provider = {
    kind: "rfc2136" as const,
    server: "127.0.0.1:1",
    zone: null,
    key: null,
    ttl: 60_000,
    timeout: 5000,
  };
  const solver = dnsSolver({ provider, propagation: 0, resolvers: null }, directory, SILENT);
  await expect(solver.present({ name: "a.test", token: "", answer: "x" }, never)).rejects.toThrow("ECONNREFUSED");
}, 120_000);

describe("with a hook", () => {
  const hook = (script: string): string[] => {
    const path = join(directory, "hook.sh");
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o700);
    return [path, "--zone", "a"];
  };
  const config = (command: readonly string[], timeout = 10_000): DnsChallengeConfig => ({
    provider: { kind: "exec", command, timeout },
    propagation: 0,
    resolvers: null,
  });
  const task = { name: "a.invalid", token: "", answer: "the value" };
  afterEach(() => rmSync(join(directory, "calls"), { force: true }));

  test("it is called with what to do, the name and the value, in the folder of the config", async () => {
    const solver = dnsSolver(config(hook('printf "%s|" "$@" >> calls; echo >> calls')), directory, SILENT);
    await solver.present(task, never);
    await solver.withdraw(task);
    expect(readFileSync(join(directory, "calls"), "utf8")).toBe(
      "--zone|a|present|_acme-challenge.a.invalid|the value|\n--zone|a|cleanup|_acme-challenge.a.invalid|the value|\n",
    );
  }, 120_000);

  test("one that fails is quoted", async () => {
    const solver = dnsSolver(config(hook("echo no such zone >&2; exit 3")), directory, SILENT);
    await expect(solver.present(task, never)).rejects.toThrow("present ended with 3: no such zone");
  }, 120_000);

  test("one that hangs is ended", async () => {
    const solver = dnsSolver(config(hook("exec sleep 600"), 100), directory, SILENT);
    await expect(solver.present(task, never)).rejects.toThrow("was not done after 0.1 s");
  }, 120_000);

  test("one that says too much does not fill the memory, and one that is not there is told", async () => {
    const solver = dnsSolver(config(hook("head -c 5000000 /dev/zero >&2; exit 1")), directory, SILENT);
    await expect(solver.present(task, never)).rejects.toThrow("present ended with 1");
    const missing = dnsSolver(config(["/nowhere/hook"]), directory, SILENT);
    await expect(missing.present(task, never)).rejects.toThrow("/nowhere/hook present cannot be run");
  }, 120_000);
});
