import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { createLog, SILENT } from "../base/log.ts";
import { AccessLog } from "./access-log.ts";
import { Batch } from "./sinks/batch.ts";
import type { Output, Written } from "./sinks/output.ts";
import { sampleExchange } from "./testing.ts";

const folders: string[] = [];
function folder(): string {
  const path = mkdtempSync(`${tmpdir()}/lintel-log-`);
  folders.push(path);
  return path;
}
afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true });
});

const config = { format: "{request.target}", output: "access.log", buffer: 65_536, flush: 5, maxPending: 4 << 20 };

/** An access log that keeps what it warned of and how many lines it lost. */
function open(directory: string, options: Partial<typeof config> = {}) {
  const state = { dropped: 0, said: [] as string[] };
  const log = createLog({ level: "debug", format: "json", write: (line) => state.said.push(JSON.parse(line).message) });
  const onDropped = (lines: number) => {
    state.dropped += lines;
  };
  return Object.assign(new AccessLog({ config: { ...config, ...options }, directory, log, onDropped }), { state });
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("waited 20 s in vain");
    await Bun.sleep(2);
  }
}

const read = (path: string): string[] => readFileSync(path, "utf8").split("\n").slice(0, -1);

describe("access log to a file", () => {
  test("lines arrive in order, after the flush time and at close", async () => {
    const directory = folder();
    const log = open(directory);
    log.record(sampleExchange("/1"));
    log.record(sampleExchange("/2"));
    await until(() => read(`${directory}/access.log`).length === 2);
    log.record(sampleExchange("/é"));
    await log.close();
    expect(read(`${directory}/access.log`)).toEqual(["/1", "/2", "/é"]);
  });

  test("a full buffer does not wait for the flush time", async () => {
    const directory = folder();
    const log = open(directory, { flush: 60_000, buffer: 10 });
    log.record(sampleExchange("/123456789"));
    await until(() => read(`${directory}/access.log`).length === 1);
    await log.close();
  });

  test("after the file was moved away, reopening begins a new one", async () => {
    const directory = folder();
    const path = `${directory}/access.log`;
    const log = open(directory);
    log.record(sampleExchange("/old"));
    await until(() => read(path).length === 1);
    renameSync(path, `${path}.1`);
    log.reopen();
    await until(() => log.state.said.some((line) => line.endsWith("reopened")));
    log.record(sampleExchange("/new"));
    await log.close();
    expect([read(`${path}.1`), read(path)]).toEqual([["/old"], ["/new"]]);
  });

  test("if it cannot be reopened, the old file goes on and the log says so", async () => {
    const directory = folder();
    const inner = `${directory}/logs`;
    mkdirSync(inner);
    const log = open(inner);
    renameSync(inner, `${directory}/moved`);
    log.reopen();
    await until(() => log.state.said.some((line) => line.includes("could not be reopened")));
    log.record(sampleExchange("/kept"));
    await log.close();
    expect(read(`${directory}/moved/access.log`)).toEqual(["/kept"]);
  });

  test("a folder that does not exist is an error at the start", () => {
    expect(() => open("/nonexistent")).toThrow("ENOENT");
  });

  test("lines of several processes never mix", async () => {
    const directory = folder();
    const code = `
      const { AccessLog } = await import(${JSON.stringify(`${import.meta.dir}/access-log.ts`)});
      const { sampleExchange } = await import(${JSON.stringify(`${import.meta.dir}/testing.ts`)});
      const { SILENT } = await import(${JSON.stringify(`${import.meta.dir}/../base/log.ts`)});
      const [mark, directory] = process.argv.slice(-2);
      const log = new AccessLog({ config: ${JSON.stringify({ ...config, buffer: 5000 })}, directory, log: SILENT, onDropped() { process.exit(1); } });
      for (let i = 0; i < 3000; i++) {
        log.record(sampleExchange("/" + mark.repeat(i % 300)));
        if (i % 100 === 0) await Bun.sleep(0);
      }
      await log.close();`;
    const file = `${directory}/writer.ts`;
    writeFileSync(file, code);
    const writers = ["a", "b", "c"].map((mark) => Bun.spawn([process.execPath, file, mark, directory]).exited);
    expect(await Promise.all(writers)).toEqual([0, 0, 0]);
    const lines = read(`${directory}/access.log`);
    expect(lines.length).toBe(9000);
    expect(lines.filter((line) => !/^\/(a*|b*|c*)$/.test(line))).toEqual([]);
  });
});

describe("a full disk", () => {
  test("never throws: lines are dropped, counted, and warned of once", async () => {
    const log = open("/", { output: "/dev/full" });
    for (let i = 0; i < 5; i++) {
      log.record(sampleExchange("/lost"));
      const expected = i + 1;
      await until(() => log.state.dropped === expected);
    }
    await log.close();
    expect(log.state.said).toEqual(["access log /dev/full: lines dropped"]);
  });

  test("is recovered from, and the torn line does not run into the next", async () => {
    const directory = folder();
    const { success, stderr } = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory]);
    if (!success) {
      console.warn(`SKIPPED: a full file system needs the right to mount a tmpfs: ${stderr.toString().trim()}`);
      return;
    }
    try {
      writeFileSync(`${directory}/ballast`, Buffer.alloc(40_000));
      const log = open(directory, { flush: 1 });
      let sent = 0;
      while (log.state.dropped === 0) {
        log.record(sampleExchange(`/${"x".repeat(1000)}`));
        sent++;
        await Bun.sleep(2);
      }
      rmSync(`${directory}/ballast`);
      log.record(sampleExchange("/after"));
      await log.close();
      const lines = read(`${directory}/access.log`);
      expect(lines.at(-1)).toBe("/after");
      const whole = lines.filter((line) => line.length === 1001 || line === "/after");
      expect(whole.length + log.state.dropped).toBe(sent + 1);
      expect(lines.length - whole.length).toBeLessThanOrEqual(1);
    } finally {
      Bun.spawnSync(["umount", "-l", directory]);
    }
  });
});

describe("a batch", () => {
  /** An output whose writes end when the test says so. */
  function stalled() {
    const writes: { text: string; done: Written }[] = [];
    const output: Output = {
      write: (lines, done) => writes.push({ text: lines.toString(), done }),
      reopen: (done) => done(null),
      close: () => {},
    };
    const state = { dropped: 0 };
    const onDropped = (lines: number) => {
      state.dropped += lines;
    };
    const options = { buffer: 10, flushMs: 60_000, maxPending: 40, name: "test", log: SILENT, onDropped };
    return { batch: new Batch(output, options), writes, state };
  }

  test("has one write under way at most, and takes no more than maxPending meanwhile", () => {
    const { batch, writes, state } = stalled();
    for (let i = 0; i < 10; i++) batch.add(`line ${i} ..`); // 11 octets with the line feed
    expect(writes.map(({ text }) => text)).toEqual(["line 0 ..\n"]);
    expect(state.dropped).toBe(5);
    writes[0]!.done(null, 10);
    expect(writes[1]!.text).toBe("line 1 ..\nline 2 ..\nline 3 ..\nline 4 ..\n");
  });

  test("any lines leave whole and in order, however writes and lines alternate", () => {
    const line = fc.oneof(fc.string({ unit: "binary", maxLength: 60 }), fc.string({ minLength: 500, maxLength: 900 }));
    const step = fc.oneof(line, fc.constant(null));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const written: string[] = [];
        const ends: (() => void)[] = [];
        const output: Output = {
          write(lines, done) {
            ends.push(() => {
              written.push(lines.toString());
              done(null, lines.length);
            });
          },
          reopen: (done) => done(null),
          close: () => {},
        };
        const onDropped = () => expect.unreachable();
        const options = { buffer: 100, flushMs: Infinity, maxPending: 1e6, name: "test", log: SILENT, onDropped };
        const batch = new Batch(output, options);
        for (const each of steps) {
          if (each === null) ends.shift()?.();
          else batch.add(each);
        }
        void batch.close();
        while (ends.length > 0) ends.shift()!();
        const lines = steps.filter((each) => each !== null);
        expect(written.join("")).toBe(Buffer.from(lines.map((each) => `${each}\n`).join("")).toString());
      }),
    );
  });

  test("a write that stopped within a line counts that line as lost and begins anew", () => {
    const { batch, writes, state } = stalled();
    batch.add("aaaaaaaaaaaa");
    batch.add("bbbbbbbbbbbb");
    writes[0]!.done(new Error("ENOSPC"), 5);
    expect(state.dropped).toBe(1);
    expect(writes[1]!.text).toBe("\nbbbbbbbbbbbb\n");
    writes[1]!.done(null, 14);
    batch.add("cccccccccccc");
    expect(writes[2]!.text).toBe("cccccccccccc\n");
  });
});

test("standard output into a slow pipe: whole lines only, in pieces that cannot mix", async () => {
  const code = `
    const { openStdout } = await import(${JSON.stringify(`${import.meta.dir}/sinks/output.ts`)});
    const lines = Array.from({ length: 2000 }, (_, i) => String(i).padStart(i % 150, "-") + "\\n").join("");
    openStdout().write(Buffer.from(lines), (error, octets) => process.exit(error === null && octets === lines.length ? 0 : 1));`;
  const child = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe" });
  await Bun.sleep(200);
  const lines = (await child.stdout.text()).split("\n").slice(0, -1);
  expect(await child.exited).toBe(0);
  expect(lines).toEqual(Array.from({ length: 2000 }, (_, i) => String(i).padStart(i % 150, "-")));
});
