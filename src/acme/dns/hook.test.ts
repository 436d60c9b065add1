import { afterAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../../test/support/until.ts";
import { DnsHook } from "./hook.ts";

const directory = mkdtempSync(join(tmpdir(), "lintel-hook-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const never = new AbortController().signal;
let scripts = 0;

function hook(script: string, timeout = 600_000): DnsHook {
  const path = join(directory, `hook-${++scripts}`);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o700);
  return new DnsHook({ kind: "exec", command: [path], timeout }, directory);
}

const file = (name: string) => join(directory, name);
const present = (one: DnsHook, signal = never) => one.present("_acme-challenge.a.test", "value", signal);

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A zombie is nobody's any more.
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** Pids that a script wrote, once it has written that many. */
async function pidsIn(name: string, count: number): Promise<number[]> {
  const read = () =>
    existsSync(file(name)) ? readFileSync(file(name), "utf8").trim().split("\n").filter(Boolean) : [];
  await until(() => read().length === count, `${count} in ${name}`);
  return read().map(Number);
}

test("one that ends with 0 has done its work, whatever it said", async () => {
  await present(hook("echo fine; echo a warning >&2"));
  await present(hook("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"));
}, 120_000);

test("what it says is quoted in one line, and not all of it, whatever letters it is in", async () => {
  const said = await present(
    hook("printf 'no such\\n\\033[31mzone \\303' >&2; sleep 0.1; printf '\\274' >&2; exit 3"),
  ).catch(String);
  expect(said).toEndWith("present ended with 3: no such [31mzone ü");
  const much = String(await present(hook("head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 1")).catch(String));
  expect(much).toContain("present ended with 1: xxx");
  expect(much.length).toBeLessThan(1200);
}, 120_000);

test("one that is ended by a signal is told by it, and is not called late", async () => {
  await expect(present(hook("kill -KILL $$"))).rejects.toThrow("present ended with SIGKILL");
  await expect(present(hook("kill -TERM $$"))).rejects.toThrow("present ended with SIGTERM");
}, 120_000);

test("one that hangs is ended with all that it began, and its last words are told", async () => {
  const script = "echo waiting for the zone >&2; sleep 600 & echo $! >> late; echo $$ >> late; wait";
  // Long enough to begin; what is late is not what is looked at.
  await expect(present(hook(script, 3000))).rejects.toThrow("present was not done after 3 s: waiting for the zone");
  for (const pid of await pidsIn("late", 2)) await until(() => !isAlive(pid), `${pid} is gone`);
}, 120_000);

test("one that is called off is ended with all that it began, and the reason is ours", async () => {
  const calling = new AbortController();
  const reason = new Error("the gateway stops");
  const running = present(hook("trap '' TERM INT; sleep 600 & echo $! >> off; echo $$ >> off; wait"), calling.signal);
  running.catch(() => {});
  const pids = await pidsIn("off", 2);
  calling.abort(reason);
  await expect(running).rejects.toBe(reason);
  for (const pid of pids) await until(() => !isAlive(pid), `${pid} is gone`);
  await expect(present(hook("touch never"), AbortSignal.abort(reason))).rejects.toBe(reason);
  expect(existsSync(file("never"))).toBe(false);
}, 120_000);

test("what one leaves running holds nobody up, nor is it ended", async () => {
  await present(hook("sleep 600 & echo $! >> left"));
  await expect(present(hook("sleep 600 & echo $! >> left; echo broken >&2; exit 4"))).rejects.toThrow(
    "present ended with 4: broken",
  );
  for (const pid of await pidsIn("left", 2)) {
    expect(isAlive(pid)).toBe(true);
    process.kill(pid, "SIGKILL");
  }
}, 120_000);

test.each([
  ["is not there", "nowhere/hook"],
  ["is not to be run", "plain"],
])("one that %s", async (_what, name) => {
  writeFileSync(file("plain"), "#!/bin/sh\n", { mode: 0o600 });
  const missing = new DnsHook({ kind: "exec", command: [file(name)], timeout: 1000 }, directory);
  await expect(present(missing)).rejects.toThrow(`${file(name)} present cannot be run`);
});
