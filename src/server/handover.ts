/**
 * What one program leaves to the one that takes its place in the same process: the listening sockets,
 * the workers that still serve, what operators said. The old workers go on until the new ones serve on
 * the same sockets, however long that takes; so a program that cannot start loses nothing but time.
 */
import { closeSync, existsSync, openSync, readFileSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import type { Log } from "../base/log.ts";
import { readJson, writeJson } from "../base/plain-json.ts";
import type { Address } from "../net/address.ts";
import { libc } from "../net/libc.ts";
import type { ReadFiles } from "../tls/tls-material.ts";
import type { ListenKind, ListenSpec } from "./listen-spec.ts";
import { duplicate, isEnded, setInherited } from "./process-image.ts";
import { type BoundListener, bindListener, bindMore, socketFileOf } from "./supervisor-listen.ts";
import type { SavedOverrides } from "./upstream-directory.ts";
import { EXIT_WITHIN_MS } from "./workers.ts";

export interface InheritedListener {
  readonly kind: ListenKind;
  /** Of the listener. */
  readonly name: string;
  /** As the config said it. */
  readonly written: string;
  readonly address: Address;
  /** One per slot, or one that all share. */
  readonly fds: readonly number[];
}

export interface HandoverFacts {
  /** Of the program before. */
  readonly version: string;
  readonly listeners: readonly InheritedListener[];
  /** Process ids of its workers. */
  readonly workers: readonly number[];
  /** Those of the programs before that one, which drain already. */
  readonly draining: readonly number[];
  readonly overrides: SavedOverrides;
  /** What its TLS is served with; absent from older programs. */
  readonly material?: ReadFiles;
}

const VARIABLE = "LINTEL_HANDOVER";
const LOOK_MS = 100;
/** Two signals of one kind that follow at once would count as one. */
const BETWEEN_SIGNALS_MS = 50;
/** They may have counted as one all the same, for a worker that was busy: it is told again. */
const HURRY_EVERY_MS = 1000;

/**
 * Writes down what the next program takes over, and keeps its descriptors open.
 * @returns the variables of its environment
 */
export function leaveHandover(facts: HandoverFacts): Readonly<Record<string, string | undefined>> {
  // There are keys in it, which should not come to lie on a disk.
  const folder = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  const path = `${folder}/lintel-handover-${crypto.randomUUID()}`;
  const fd = openSync(path, "wx+", 0o600);
  unlinkSync(path);
  const octets = Buffer.from(writeJson(facts));
  try {
    for (let at = 0; at < octets.length; ) at += writeSync(fd, octets, at);
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
  for (const one of [fd, ...descriptorsOf(facts)]) setInherited(one, true);
  return { ...process.env, [VARIABLE]: `${process.pid} ${fd}` };
}

/** The next program could not be started after all. */
export function recallHandover(facts: HandoverFacts, env: Readonly<Record<string, string | undefined>>): void {
  for (const one of descriptorsOf(facts)) setInherited(one, false);
  closeSync(Number(env[VARIABLE]!.split(" ")[1]));
}

const descriptorsOf = ({ listeners }: HandoverFacts): number[] => listeners.flatMap(({ fds }) => fds);

/** What this program has taken over. */
export class Handover {
  readonly facts: HandoverFacts;
  /** Process ids with the number of times they were told to end. */
  readonly #workers: Map<number, number>;
  #taken = new Set<InheritedListener>();
  #complete = false;
  #closed = false;

  constructor(facts: HandoverFacts) {
    this.facts = facts;
    this.#workers = new Map([
      ...facts.workers.map((pid) => [pid, 0] as const),
      ...facts.draining.map((pid) => [pid, 1] as const),
    ]);
    for (const fd of descriptorsOf(facts)) setInherited(fd, false);
  }

  /** null: this program was started as any other. */
  static take(): Handover | null {
    const given = process.env[VARIABLE];
    delete process.env[VARIABLE];
    const [pid, fd] = (given ?? "").split(" ").map(Number);
    // Somebody else's, come here through the environment.
    if (fd === undefined || pid !== process.pid) return null;
    const facts = readJson(readFileSync(`/proc/self/fd/${fd}`, "utf8")) as HandoverFacts;
    closeSync(fd);
    reapStrays(childrenOf(pid).filter((child) => ![...facts.workers, ...facts.draining].includes(child)));
    return new Handover(facts);
  }

  /** The new workers serve. */
  get isComplete(): boolean {
    return this.#complete;
  }

  /** Workers of programs before this one that have not ended yet. */
  get workers(): number[] {
    for (const pid of this.#workers.keys()) if (isEnded(pid)) this.#workers.delete(pid);
    return [...this.#workers.keys()];
  }

  /** Another attempt to start: everything can be taken over again. */
  begin(): void {
    this.#taken = new Set();
  }

  /** Takes the sockets of that address over, or binds new ones. */
  readonly bind = async (config: ListenSpec, slots: number): Promise<BoundListener[]> => {
    const free = this.facts.listeners.filter(
      (one) =>
        one.written === config.address && (one.kind === "udp") === (config.kind === "udp") && !this.#taken.has(one),
    );
    const first = free.find(({ name }) => name === config.name) ?? free[0];
    if (first === undefined) return bindListener(config, slots);
    const same = free.filter(({ name }) => name === first.name);
    for (const one of same) this.#taken.add(one);
    return same.map(({ address, fds }) => {
      const copies = fds.slice(0, slots).map(duplicate);
      if (config.kind !== "udp") for (const fd of copies) libc.listen(fd, config.backlog);
      if (fds.length > 1) copies.push(...bindMore(config, address, slots - copies.length));
      const removeFile = socketFileOf(address);
      const close = () => {
        for (const fd of copies.splice(0)) libc.close(fd);
        // Until then it may have to be taken over once more.
        if (this.#complete) removeFile();
      };
      return { name: config.name, address, fds: copies, close };
    });
  };

  /** New workers serve on the sockets: the old ones stop accepting, and end when their connections do. */
  complete(graceMs: number, log: Log): void {
    this.#complete = true;
    this.#close();
    for (const { address } of this.facts.listeners.filter((one) => !this.#taken.has(one))) socketFileOf(address)();
    const old = this.#tell(0);
    log.info("new workers serve; the old ones finish what they have", {
      version: this.facts.version,
      workers: old.length,
    });
    void this.#ended(graceMs).then((inTime) => {
      if (!inTime) log.warn("old workers that had not finished were ended");
      else if (this.#workers.size === 0) log.info("the old workers have finished");
    });
  }

  /** Lets all that is left of older programs finish soon. @returns false if one had to be killed after the grace time */
  async end(graceMs: number): Promise<boolean> {
    // Clients are refused then, rather than kept waiting for nobody.
    this.#close();
    if (!this.#complete) for (const { address } of this.facts.listeners) socketFileOf(address)();
    if (this.#tell(0).length > 0) await Bun.sleep(BETWEEN_SIGNALS_MS);
    this.#tell(1);
    const hurry = setInterval(() => this.#signal("SIGTERM"), HURRY_EVERY_MS);
    try {
      return await this.#ended(graceMs);
    } finally {
      clearInterval(hurry);
    }
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const fd of descriptorsOf(this.facts)) libc.close(fd);
  }

  /** They open their log files again. */
  reopen(): void {
    this.#signal("SIGUSR1");
  }

  kill(): void {
    this.#signal("SIGKILL");
  }

  #signal(signal: NodeJS.Signals): void {
    for (const pid of this.workers) process.kill(pid, signal);
  }

  /** SIGTERM to those that were told so many times. The first asks to drain gently, the second to drain. */
  #tell(times: number): number[] {
    const told = this.workers.filter((pid) => this.#workers.get(pid) === times);
    for (const pid of told) {
      this.#workers.set(pid, times + 1);
      process.kill(pid, "SIGTERM");
    }
    return told;
  }

  async #ended(graceMs: number): Promise<boolean> {
    const deadline = performance.now() + graceMs + EXIT_WITHIN_MS;
    let inTime = true;
    while (this.workers.length > 0) {
      if (inTime && performance.now() > deadline) {
        inTime = false;
        this.kill();
      }
      await Bun.sleep(LOOK_MS);
    }
    return inTime;
  }
}

/** None where the system does not tell: then some stay in its table until we end. */
function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/self/task/${pid}/children`, "latin1").split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** Children of the program before that were none of its workers: nobody else takes note of their end. */
function reapStrays(pids: readonly number[]): void {
  const left = pids.filter((pid) => !isEnded(pid));
  if (left.length > 0) setTimeout(() => reapStrays(left), LOOK_MS).unref();
}
