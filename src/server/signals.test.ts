/** In a process of their own: signals are sent to it. */
import { expect, test } from "bun:test";

/** @returns what was printed, and how the process ended */
async function run(body: string): Promise<{ printed: string; exit: number | string }> {
  const script = `
    const { Signals } = await import(${JSON.stringify(`${import.meta.dir}/signals.ts`)});
    const { noteStops, wasStopNoted } = await import(${JSON.stringify(`${import.meta.dir}/process-image.ts`)});
    const say = (text) => process.stdout.write(text + "\\n");
    const early = (...heard) => ({ heard, terminals: [], end: () => say("taken over") });
    ${body}
    process.exit(0);`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
  const [printed] = await Promise.all([child.stdout.text(), child.exited]);
  return { printed: printed.trim().replaceAll("\n", " "), exit: child.signalCode ?? child.exitCode! };
}

test("what nobody could act on waits for the first who can, once", async () => {
  const body = `
    const signals = new Signals();
    for (const name of ["SIGHUP", "SIGHUP", "SIGUSR1", "SIGUSR2"]) process.kill(process.pid, name);
    await Bun.sleep(50);
    signals.onUpgrade = () => say("upgrade");
    signals.onReopen = () => say("reopen");
    signals.onReload = () => say("reload");
    signals.leave();
    process.kill(process.pid, "SIGHUP");
    await Bun.sleep(50);
    signals.onReload = () => say("reload again");
    signals.onUpgrade = signals.onReopen = () => say("never");`;
  expect(await run(body)).toEqual({ printed: "upgrade reopen reload reload again", exit: 0 });
});

test("what was heard early counts", async () => {
  const body = `
    const signals = new Signals(early("SIGHUP", "SIGINT"));
    signals.onReload = () => say("reload");
    say(String(signals.isStopping));
    say(await signals.first);`;
  expect(await run(body)).toEqual({ printed: "taken over reload true SIGINT", exit: 0 });
});

test("a stop that the program before noted counts", async () => {
  const body = `
    noteStops();
    process.kill(process.pid, "SIGTERM");
    say(await new Signals().first);`;
  expect(await run(body)).toEqual({ printed: "SIGTERM", exit: 0 });
});

test("a stop that was noted so long ago that its timer has run out counts", async () => {
  const body = `
    const signals = new Signals();
    process.kill(process.pid, "SIGALRM");
    say(await signals.first);`;
  expect(await run(body)).toEqual({ printed: "SIGTERM", exit: 0 });
});

test.each(["SIGTERM", "SIGINT"])(
  "%s that was noted for a program that did not come is heard by this one",
  async (name) => {
    const body = `
    const signals = new Signals();
    const stops = noteStops();
    process.kill(process.pid, "${name}");
    await Bun.sleep(20);
    say(signals.isStopping + " " + stops.any);
    stops.end();
    say(await signals.first);
    say(String(wasStopNoted()));`;
    expect(await run(body)).toEqual({ printed: "false true SIGTERM false", exit: 0 });
  },
);
