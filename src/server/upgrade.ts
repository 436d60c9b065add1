/**
 * Replacing the program by the one that is on the disk now, in the same process. First that one is
 * tried in a process of its own; only a program that starts and likes the config takes over.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type HandoverFacts, leaveHandover, recallHandover } from "./handover.ts";
import { noteStops, prepareProgram } from "./process-image.ts";

/** How this program was started. */
export interface ProgramCommand {
  /** Path of main.ts, as it was given: a link in it is followed again. */
  readonly main: string;
  /** Arguments after it. */
  readonly args: readonly string[];
  /** Arguments that make it judge the config it would serve. */
  readonly check: readonly string[];
  /** Process id of the launcher that started it (bin/lintel.mjs), and goes when it ends. */
  readonly launcher: number | null;
}

/** A program that is fit to take over. */
export interface FitProgram {
  readonly version: string;
  /** Path of its runtime. */
  readonly runtime: string;
}

const CHECK_MS = 60_000;

const LAUNCHER = "LINTEL_LAUNCHER";

/** The command line of this process; a launcher is told once, because children have none. @param args after the path of main.ts */
export function programCommand(args: readonly string[], check: readonly string[]): ProgramCommand {
  const launcher = Number(process.env[LAUNCHER] ?? 0);
  delete process.env[LAUNCHER];
  return { main: writtenMain() ?? process.argv[1]!, args, check, launcher: launcher > 0 ? launcher : null };
}

/** The runtime shows where links lead to; the kernel knows what was written. */
function writtenMain(): string | null {
  const words = readFileSync("/proc/self/cmdline", "utf8").split("\0");
  return words.slice(1).find((word) => word.endsWith("/main.ts") && word.startsWith("/")) ?? null;
}

/** @throws {Error} with what is wrong with it */
export async function tryProgram({ main, check }: ProgramCommand): Promise<FitProgram> {
  const runtime = await findRuntime(main);
  const [version, verdict] = await Promise.all([run([runtime, main, "version"]), run([runtime, main, ...check])]);
  for (const { code, output } of [version, verdict]) {
    if (code !== 0) throw new Error(output.trim() || `it ended with ${code}`);
  }
  return { version: /\d+\.\d+\.\d+\S*/.exec(version.output)?.[0] ?? version.output.trim(), runtime };
}

/** The program may want another runtime than ours. */
async function findRuntime(main: string): Promise<string> {
  const finder = join(main, "../../../bin/find-bun.mjs");
  if (!existsSync(finder)) return process.execPath;
  const script = `console.log((await import(${JSON.stringify(finder)})).findBun() ?? "")`;
  const { output } = await run([process.execPath, "-e", script]);
  const found = output.trim();
  return existsSync(found) ? found : process.execPath;
}

async function run(command: readonly string[]): Promise<{ code: number; output: string }> {
  const child = Bun.spawn([...command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: CHECK_MS,
    env: { ...process.env, NO_COLOR: "1" },
  });
  // Nobody waits for it any more then.
  const end = () => child.kill("SIGKILL");
  process.on("exit", end);
  try {
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code: child.exitCode ?? 1, output: out + err };
  } finally {
    process.off("exit", end);
  }
}

/** Signals that have come are heard in this time. */
const HEAR_MS = 5;

/**
 * Does not return, unless it is called off. A signal to stop that comes at the last moment is heard by the next program.
 * @param isOff asked then: an earlier one may have been heard
 * @throws {Error} if the system refuses; then everything is as it was
 */
export async function takeOver(
  { main, args, launcher }: ProgramCommand,
  { runtime }: Pick<FitProgram, "runtime">,
  facts: HandoverFacts,
  isOff: () => boolean,
): Promise<void> {
  const env = leaveHandover(facts);
  const stops = noteStops();
  try {
    const become = prepareProgram(
      [runtime, main, ...args],
      launcher === null ? env : { ...env, [LAUNCHER]: String(launcher) },
    );
    // What was caught before and is not heard yet would be lost with this program.
    await Bun.sleep(HEAR_MS);
    // However late that was: what came before it is handled in the same turn of the event loop.
    await new Promise(setImmediate);
    if (!isOff() && !stops.any) become();
  } finally {
    recallHandover(facts, env);
    stops.end();
  }
}
