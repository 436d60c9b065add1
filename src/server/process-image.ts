/**
 * Becoming another program with the same process id, execve(2), and what that needs: descriptors that
 * stay open, signals that wait, children that the runtime of the next program does not know.
 */
import { ptr } from "bun:ffi";
import { constants } from "node:os";
import { errno, errnoName, libc } from "../net/libc.ts";

const F_SETFD = 2;
const FD_CLOEXEC = 1;
const F_DUPFD_CLOEXEC = 1030;
const SIG_BLOCK = 0;
const SIG_UNBLOCK = 1;
const WNOHANG = 1;

/** Those that a supervisor answers to. SIGALRM stands for a signal to stop that came between two programs, see `noteStops`. */
export const SIGNALS = ["SIGHUP", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGALRM"] as const;

/**
 * Prepares to become another program.
 * @param command path of the program and its arguments
 * @returns does it, and does not return. Descriptors that are closed on exec are closed, other threads
 *   end, children stay. Signals wait from there on until the next program calls `admitSignals`, or until it
 *   waits for the first time: the runtime lets them all through then, so their handlers must stand before.
 *   Throws an Error if the system refuses; then everything is as it was
 */
export function prepareProgram(
  command: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): () => never {
  const signals = { [COLLECTOR_VARIABLE]: String(nextCollectorSignal()) };
  const variables = Object.entries({ ...env, ...signals }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  const path = text(command[0]!);
  const [args, vars] = [pointers(command), pointers(variables)];
  return () => {
    holdSignals();
    const heed = ignoreCollector();
    libc.execve(ptr(path), ptr(args.list), ptr(vars.list));
    const error = errnoName(errno());
    heed();
    admitSignals();
    // Kept alive until here: the system reads them by address.
    const count = args.texts.length + vars.texts.length;
    throw new Error(`${command[0]} cannot be started: ${error} (${count} texts)`);
  };
}

function holdSignals(): void {
  libc.pthread_sigmask(SIG_BLOCK, ptr(signalSet()), null);
}

/** Lets the signals through that came while one program became the other. */
export function admitSignals(): void {
  // What the program before ignored its children are not to inherit.
  setDefault(nextCollectorSignal());
  libc.pthread_sigmask(SIG_UNBLOCK, ptr(signalSet()), null);
}

/** sizeof(struct sigaction), zero for the system's default. */
const SIGACTION_OCTETS = 152;

/** Signals to stop, while one program becomes another. */
export interface NotedStops {
  /** Whether one has come. */
  readonly any: boolean;
  /** Puts the handlers back; what came is told to them. */
  end(): void;
}

/**
 * From here on a signal to stop is noted by the kernel, for this program or the next in this process (`wasStopNoted`).
 * While one becomes the other no handler of ours could keep it: the runtime's other threads take signals that
 * this one holds, and forget them with themselves. So its handler is alarm(2), which any thread may call at any
 * time: called with the number of the signal, as handlers are, it sets a timer, and timers outlive execve(2).
 */
export function noteStops(): NotedStops {
  const note = new BigUint64Array(new ArrayBuffer(SIGACTION_OCTETS));
  note[0] = BigInt(libc.dlsym(null, ptr(text("alarm")))!);
  const restore = (["SIGINT", "SIGTERM"] as const).map((name) => {
    const before = new Uint8Array(new ArrayBuffer(SIGACTION_OCTETS));
    const number = constants.signals[name];
    libc.sigaction(number, ptr(note), ptr(before));
    return () => libc.sigaction(number, ptr(before), null);
  });
  let any = false;
  return {
    get any() {
      if (wasStopNoted()) any = true;
      return any;
    },
    end() {
      for (const one of restore) one();
      if (this.any) process.kill(process.pid, "SIGTERM");
    },
  };
}

/** Whether there was a signal to stop since `noteStops` was called, in the program before maybe. Forgets it. */
export function wasStopNoted(): boolean {
  return libc.alarm(0) > 0;
}

/** struct sigaction whose handler, its first member, is SIG_IGN. */
const IGNORE = new BigUint64Array(new ArrayBuffer(SIGACTION_OCTETS));
IGNORE[0] = 1n;

/** By which signal the runtime's garbage collector stops threads: it reads this, and takes SIGPWR without it. */
const COLLECTOR_VARIABLE = "JSC_SIGNAL_FOR_GC";
/** Linux has no use for it. */
const OTHER_COLLECTOR_SIGNAL = constants.signals.SIGSTKFLT;

const collectorSignal = (): number => {
  const written = Number.parseInt(process.env[COLLECTOR_VARIABLE] ?? "", 10);
  return written > 0 ? written : constants.signals.SIGPWR;
};

const nextCollectorSignal = (): number =>
  collectorSignal() === constants.signals.SIGPWR ? OTHER_COLLECTOR_SIGNAL : constants.signals.SIGPWR;

/**
 * A signal of the collector that is on its way when a program becomes another would end that one without a
 * word: it has no handler yet. What is ignored is dropped. But a runtime that finds its signal ignored prints a line about
 * it; so programs take turns with two signals, and each ignores its own and leaves the other to the next.
 * @returns puts the handler back
 */
function ignoreCollector(): () => void {
  const before = new Uint8Array(new ArrayBuffer(SIGACTION_OCTETS));
  const signal = collectorSignal();
  libc.sigaction(signal, ptr(IGNORE), ptr(before));
  setDefault(nextCollectorSignal());
  return () => libc.sigaction(signal, ptr(before), null);
}

function setDefault(signal: number): void {
  const fallback = new Uint8Array(new ArrayBuffer(SIGACTION_OCTETS));
  libc.sigaction(signal, ptr(fallback), null);
}

/** sigset_t: a bit for each signal, from 1. */
function signalSet(): BigUint64Array {
  const set = new BigUint64Array(new ArrayBuffer(128));
  set[0] = SIGNALS.reduce((bits, name) => bits | (1n << BigInt(constants.signals[name] - 1)), 0n);
  return set;
}

/** Whether a descriptor stays open in another program. */
export function setInherited(fd: number, inherited: boolean): void {
  libc.fcntl(fd, F_SETFD, inherited ? 0 : FD_CLOEXEC);
}

/** Another descriptor of the same thing, closed on exec. */
export function duplicate(fd: number): number {
  const copy = libc.fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) throw new Error(`descriptor ${fd} cannot be duplicated: ${errnoName(errno())}`);
  return copy;
}

/** Takes note of the end of a child that the runtime knows nothing of. @returns false while it runs */
export function isEnded(pid: number): boolean {
  return libc.waitpid(pid, null, WNOHANG) !== 0;
}

const text = (value: string): Buffer => {
  const octets = Buffer.from(`${value}\0`);
  const room = Buffer.allocUnsafeSlow(octets.length);
  octets.copy(room);
  return room;
};

/** A list of texts as C has it: addresses, then 0. */
function pointers(values: readonly string[]): { list: BigUint64Array; texts: Buffer[] } {
  const texts = values.map(text);
  const list = new BigUint64Array(new ArrayBuffer((texts.length + 1) * 8));
  for (const [i, one] of texts.entries()) list[i] = BigInt(ptr(one));
  return { list, texts };
}
