/** Signals that wait for a program when it starts, as they do when it takes over from another one. */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram, needs, program } from "../base/testing.ts";

const perl = findProgram("perl");
/** Holds all signals it is sent, sends itself one, becomes the program. */
const WITH_SIGNAL =
  "use POSIX; my $name = shift; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(1, 2, 10, 12, 15)); kill $name, $$; exec @ARGV";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "lintel-main-"));
  const config = { workers: 1, admin: "off", listeners: ["127.0.0.1:0"], sites: [{ use: [{ respond: "here" }] }] };
  writeFileSync(join(directory, "lintel.json"), JSON.stringify(config));
});
afterAll(() => rmSync(directory, { recursive: true }));

function start(signal: string) {
  const main = join(import.meta.dir, "main.ts");
  const command = [process.execPath, main, "run", "--config", join(directory, "lintel.json")];
  return Bun.spawn([perl!, "-e", WITH_SIGNAL, signal, ...command], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: { ...process.env, STATE_DIRECTORY: join(directory, "state") },
  });
}

needs(program("perl", perl)).test.each([
  ["HUP", /SIGHUP: \S+ is in force/],
  ["USR1", /listening on/],
  ["USR2", /SIGUSR2: Lintel \S+ takes over.*listening on/s],
])(
  "SIG%s that came before the program listens waits until it can act on it",
  async (signal, says) => {
    const child = start(signal);
    let said = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) {
      said += decoder.decode(chunk, { stream: true });
      if (says.test(said)) child.kill("SIGTERM");
    }
    expect(said).toMatch(says);
    expect([await child.exited, child.signalCode]).toEqual([0, null]);
  },
  60_000,
);

needs(program("perl", perl)).test.each(["TERM", "INT"])(
  "SIG%s that came before is a stop in order",
  async (signal) => {
    const child = start(signal);
    expect(await child.stderr.text()).not.toContain("listening on");
    expect([await child.exited, child.signalCode]).toEqual([0, null]);
  },
  60_000,
);
