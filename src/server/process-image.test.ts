import { expect } from "bun:test";
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
const next = "use POSIX; sigprocmask(SIG_UNBLOCK, POSIX::SigSet->new(30)); print 'alive'";
const become = prepareProgram([${JSON.stringify(perl)}, "-e", next], process.env);
const signals = new BigUint64Array(new ArrayBuffer(128));
signals[0] = 1n << 29n;
pthread_sigmask(0, ptr(signals), null);
pthread_kill(pthread_self(), 30);
become();
`;

needs(program("perl", perl)).test("a signal of the collector does not end the next program", () => {
  const { stdout, signalCode } = Bun.spawnSync([process.execPath, "-e", PROGRAM]);
  expect([stdout.toString(), signalCode ?? null]).toEqual(["alive", null]);
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
