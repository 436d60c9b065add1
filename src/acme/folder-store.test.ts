import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FolderStore } from "./folder-store.ts";
import { processMark } from "./process-mark.ts";

const root = mkdtempSync(join(tmpdir(), "lintel-store-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const folder = () => join(root, String(++folders));
const never = new AbortController().signal;

test("what is written is read, listed and removed; what is not there is null", async () => {
  const store = new FolderStore(folder());
  expect(await store.read("certificates/example.com")).toBeNull();
  expect(await store.list("certificates")).toEqual([]);
  await store.write("certificates/example.com", "one");
  await store.write("certificates/*.example.com", "two");
  await store.write("certificates/[::1]", "three");
  expect(await store.read("certificates/*.example.com")).toBe("two");
  expect((await store.list("certificates")).sort()).toEqual([
    "certificates/*.example.com",
    "certificates/[::1]",
    "certificates/example.com",
  ]);
  await store.remove("certificates/example.com");
  await store.remove("certificates/example.com");
  expect(await store.read("certificates/example.com")).toBeNull();
});

test("files that no key leads to are not listed", async () => {
  const store = new FolderStore(folder());
  await store.write("certificates/*.example.com", "x");
  for (const name of ["100%", "%2E%2E", "a b", "*.example.org"])
    writeFileSync(join(store.folder, "certificates", name), "x");
  expect(await store.list("certificates")).toEqual(["certificates/*.example.com"]);
});

test("files are for their owner alone, whatever the umask", async () => {
  const store = new FolderStore(folder());
  await store.write("accounts/a", "key");
  expect(statSync(join(store.folder, "accounts/a")).mode & 0o777).toBe(0o600);
  expect(statSync(join(store.folder, "accounts")).mode & 0o777).toBe(0o700);
  expect(statSync(store.folder).mode & 0o777).toBe(0o700);
});

test("a reader sees the text before or after, never a part; nothing stays beside", async () => {
  const store = new FolderStore(folder());
  const texts = ["a", "b"].map((letter) => letter.repeat(200_000));
  await store.write("k/x", texts[0]!);
  const writing = (async () => {
    for (let i = 0; i < 40; i++) await store.write("k/x", texts[i % 2]!);
  })();
  for (let i = 0; i < 40; i++) expect(texts).toContain((await store.read("k/x"))!);
  await writing;
  expect(readdirSync(join(store.folder, "k"))).toEqual(["x"]);
});

test.each(["..", ".hidden", "", "a".repeat(300)])("%j is no part of a key", async (part) => {
  const store = new FolderStore(folder());
  await expect(store.write(`certificates/${part}`, "x")).rejects.toThrow("is no key");
});

test("of many who want a lock, one has it at a time", async () => {
  const path = folder();
  let inside = 0;
  let most = 0;
  const turn = async (store: FolderStore) => {
    const lock = await store.lock("issue/example.com", never);
    most = Math.max(most, ++inside);
    await Bun.sleep(1);
    inside--;
    await lock.release();
  };
  // As if they were machines.
  await Promise.all(Array.from({ length: 8 }, () => turn(new FolderStore(path, { lookMs: 1 }))));
  expect(most).toBe(1);
  expect(readdirSync(join(path, "locks"))).toEqual([]);
});

test("a lock whose holder has died is taken over; one whose holder lives is not", async () => {
  const path = folder();
  mkdirSync(join(path, "locks"), { recursive: true });
  writeFileSync(join(path, "locks/issue%20a"), "somebody 17");
  const options = { beatMs: 20, staleMs: 1000, lookMs: 5 };
  const lock = await new FolderStore(path, options).lock("issue/a", never);
  expect(readFileSync(join(path, "locks/issue%20a"), "utf8")).not.toContain("somebody");

  const giveUp = new AbortController();
  const waiting = new FolderStore(path, options).lock("issue/a", giveUp.signal);
  const first = readFileSync(join(path, "locks/issue%20a"), "utf8");
  while (readFileSync(join(path, "locks/issue%20a"), "utf8") === first) await Bun.sleep(5);
  giveUp.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  await lock.release();
});

test("a lock of a process that is gone is taken over at once; one of a program before this one, too", async () => {
  const path = folder();
  const options = { staleMs: 1e9, lookMs: 1 };
  const script = `
    import { FolderStore } from ${JSON.stringify(join(import.meta.dir, "folder-store.ts"))};
    await new FolderStore(${JSON.stringify(path)}).lock("issue/a", new AbortController().signal);
    process.kill(process.pid, "SIGKILL");`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "inherit", "inherit"] });
  await child.exited;
  expect(readdirSync(join(path, "locks"))).toEqual(["issue%20a"]);
  await (await new FolderStore(path, options).lock("issue/a", never)).release();

  writeFileSync(join(path, "locks/issue%20a"), `${processMark()} abc 3`);
  await (await new FolderStore(path, options).lock("issue/a", never)).release();
});

test("two who break up the same lock do not both get it", async () => {
  for (let round = 0; round < 5; round++) {
    const path = folder();
    mkdirSync(join(path, "locks"), { recursive: true });
    writeFileSync(join(path, "locks/issue%20a"), "somebody 17");
    const options = { beatMs: 1000, staleMs: 100, lookMs: 1 };
    let held = 0;
    const take = async () => {
      const lock = await new FolderStore(path, options).lock("issue/a", never);
      held++;
      expect(held).toBe(1);
      await Bun.sleep(2);
      held--;
      await lock.release();
    };
    await Promise.all([take(), take(), take()]);
  }
});
