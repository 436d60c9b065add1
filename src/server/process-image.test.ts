import { expect, test } from "bun:test";
import { join } from "node:path";
import { findProgram, needs, program } from "../base/testing.ts";

const perl = findProgram("perl");

/** Has a signal of the collector on its way to itself, then becomes a program without a handler for it. */
const PROGRAM = `
import { dlopen, ptr } from "bun:ffi";
import { prepareProgram } from ${JSON.stringify(join(import.meta.dir, "process-image.ts"))};
const { pthread_self, pthread_kill, pthread_sigmask } = dlopen("libc.so.6", {
  pthread_self: { args: [], returns: "u64" },
  pthread_kill: { args: ["u64", "i32"], returns: "i32" },
  pthread_sigmask: { args: ["i32", "ptr", "ptr"], returns: "i32" },
}).symbols;
const signal = Number(process.argv[1]);
const next = "use POSIX; sigprocmask(SIG_UNBLOCK, POSIX::SigSet->new(" + signal + ")); print 'alive'";
const become = prepareProgram([${JSON.stringify(perl)}, "-e", next], process.env);
const signals = new BigUint64Array(new ArrayBuffer(128));
signals[0] = 1n << BigInt(signal - 1);
pthread_sigmask(0, ptr(signals), null);
pthread_kill(pthread_self(), signal);
become();
`;

const { JSC_SIGNAL_FOR_GC: _ours, ...ENVIRONMENT } = process.env;

needs(program("perl", perl)).test.each([
  ["30", {}],
  ["30", { JSC_SIGNAL_FOR_GC: "30" }],
  ["16", { JSC_SIGNAL_FOR_GC: "16" }],
])("a signal of the collector, %s, does not end the next program", (signal, more) => {
  const env = { ...ENVIRONMENT, ...more };
  const { stdout, signalCode } = Bun.spawnSync([process.execPath, "-e", PROGRAM, signal], { env });
  expect([stdout.toString(), signalCode ?? null]).toEqual(["alive", null]);
});

/** Becomes itself again and again, and says which signals it handles and ignores, of those that the collector may have. */
const AGAIN = `
import { readFileSync } from "node:fs";
import { admitSignals, prepareProgram } from ${JSON.stringify(join(import.meta.dir, "process-image.ts"))};
admitSignals();
const status = readFileSync("/proc/self/status", "utf8");
const those = (name) => {
  const bits = BigInt("0x" + new RegExp(name + ":\\\\s*(\\\\w+)").exec(status)[1]);
  return [16, 30].filter((signal) => bits & (1n << BigInt(signal - 1))).join();
};
console.log("handles " + those("SigCgt") + ", ignores " + those("SigIgn"));
Array.from({ length: 100_000 }, (_, i) => ({ i }));
Bun.gc(false);
const left = Number(process.argv[1]);
if (left > 0) prepareProgram([process.execPath, "-e", process.env.TEXT, String(left - 1)], process.env)();
`;

test("programs that become one another say nothing of their signals, and leave none ignored", () => {
  const env = { ...ENVIRONMENT, TEXT: AGAIN };
  const { stdout, stderr, exitCode } = Bun.spawnSync([process.execPath, "-e", AGAIN, "3"], { env });
  const turns = ["handles 30, ignores ", "handles 16, ignores "];
  expect(stderr.toString()).toBe("");
  expect(stdout.toString().split("\n").slice(0, -1)).toEqual([...turns, ...turns]);
  expect(exitCode).toBe(0);
});

const NEXT = `use POSIX; my $waits = POSIX::SigSet->new; sigpending($waits);
  print alarm(0) > 0 || $waits->ismember(SIGALRM) ? 'noted' : 'lost'`;

/** A signal to stop while it is about to become another program. */
const STOPPED = `
import { noteStops, prepareProgram } from ${JSON.stringify(join(import.meta.dir, "process-image.ts"))};
noteStops();
const become = prepareProgram([${JSON.stringify(perl)}, "-e", ${JSON.stringify(NEXT)}], process.env);
process.kill(process.pid, process.argv[1]);
become();
`;

needs(program("perl", perl)).test.each(["SIGTERM", "SIGINT"])("%s is noted for the next program", (name) => {
  const { stdout, signalCode } = Bun.spawnSync([process.execPath, "-e", STOPPED, name]);
  expect([stdout.toString(), signalCode ?? null]).toEqual(["noted", null]);
});
