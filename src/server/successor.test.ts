/** Attempts to start in the place of another program, in a process of their own: signals are sent to it. */
import { expect, test } from "bun:test";

/** @param begin body of an attempt. @returns what was printed, and how the process ended */
async function run(begin: string): Promise<{ printed: string; exit: number | string }> {
  const script = `
    const { Signals } = await import(${JSON.stringify(`${import.meta.dir}/signals.ts`)});
    const { succeed } = await import(${JSON.stringify(`${import.meta.dir}/successor.ts`)});
    const say = (text) => process.stdout.write(text + "\\n");
    const handover = {
      facts: { version: "1" },
      isComplete: false,
      workers: [1],
      reopen: () => say("reopen"),
      end: async () => (say("end"), ended),
      kill: () => say("kill"),
    };
    const signal = async (name) => { process.kill(process.pid, name); await Bun.sleep(20); };
    const log = { info: () => {}, warn: () => {}, error: () => say("failed") };
    const signals = new Signals();
    let ended = true;
    let attempts = 0;
    const begin = async () => { attempts++; ${begin} };
    process.exit(await succeed(handover, begin, signals, { main: "nothing.ts", args: [], launcher: null }, log));`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
  const [printed] = await Promise.all([child.stdout.text(), child.exited]);
  return { printed: printed.trim().replaceAll("\n", " "), exit: child.signalCode ?? child.exitCode! };
}

test.each(["SIGTERM", "SIGINT"])("%s while an attempt fails ends the old workers", async (name) => {
  expect(await run(`await signal("${name}"); return 1;`)).toEqual({ printed: "failed end", exit: 0 });
});

test("SIGTERM at the moment at which an attempt has failed ends the old workers", async () => {
  expect(await run(`setTimeout(signal, 0, "SIGTERM"); return 1;`)).toEqual({ printed: "failed end", exit: 0 });
});

test("an attempt that was stopped is the last one", async () => {
  expect(await run(`await signal("SIGTERM"); await signals.first; return 0;`)).toEqual({ printed: "", exit: 0 });
});

test("SIGHUP between two attempts begins the next at once, SIGUSR1 reaches the old workers", async () => {
  const printed = "failed reopen failed end";
  const next = `if (attempts === 1) setTimeout(async () => { await signal("SIGUSR1"); await signal("SIGHUP"); }, 20);
    else await signal("SIGTERM");
    return 1;`;
  expect(await run(next)).toEqual({ printed, exit: 0 });
});

test.each(["SIGHUP", "SIGUSR1", "SIGUSR2"])("%s during an attempt does not end the program", async (name) => {
  const begin = `await signal("${name}"); await signal("SIGTERM"); return 0;`;
  expect(await run(begin)).toEqual({ printed: "", exit: 0 });
});

test("a reload asked for while an attempt fails begins the next at once, only one", async () => {
  const next = `if (attempts === 1) await signal("SIGHUP");
    else setTimeout(signal, 20, "SIGTERM");
    return 1;`;
  expect(await run(next)).toEqual({ printed: "failed failed end", exit: 0 });
});

test("an attempt that was stopped before it began ends the old workers", async () => {
  expect(await run(`return "stopped";`)).toEqual({ printed: "end", exit: 0 });
});

test("old workers that had to be ended are exit code 1", async () => {
  expect(await run(`ended = false; return "stopped";`)).toEqual({ printed: "end", exit: 1 });
});

test("a second signal to stop ends the old workers now", async () => {
  const next = `
    handover.end = async () => {
      say("end");
      for (let i = 0; i < 100 && !killed; i++) { await signal("SIGTERM"); }
      return true;
    };
    let killed = false;
    handover.kill = () => (killed = true, say("kill"));
    await signal("SIGTERM");
    return "stopped";`;
  expect(await run(next)).toEqual({ printed: "end kill", exit: 1 });
});

test("SIGTERM while the program on the disk is about to start anew stops this one", async () => {
  const next = `
    if (attempts > 1) return "stopped";
    handover.facts = { version: "1", listeners: [], workers: [], draining: [] };
    setTimeout(async () => { await signal("SIGUSR2"); }, 0);
    const { workers } = handover;
    let looks = 0;
    // What is asked last before the other program would start.
    Object.defineProperty(handover, "workers", { get: () => { if (++looks === 3) process.kill(process.pid, "SIGTERM"); return workers; } });
    return 1;`;
  expect(await run(next)).toEqual({ printed: "failed end", exit: 0 });
});
