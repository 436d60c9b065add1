/**
 * Every config that was served, as numbered versions in the state folder: a file each, whose first
 * line says what it is and whose second is the resolved plain tree as JSON. Variables are resolved in
 * it, secrets too, so nobody else may read them.
 *
 * Keeping them is a convenience: a disk that is full or read-only costs a warning, never a reload.
 */
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Log } from "../base/log.ts";
import { ControlError, type VersionText, type VersionView } from "./control.ts";
import { unifiedDiff } from "./text-diff.ts";
import { renderTree } from "./tree-text.ts";

/** What is recorded of a config. */
export interface ServedConfig {
  readonly tree: unknown;
  /** Where it came from, as in messages. */
  readonly origin: string;
  /** Why it is served: "start", "SIGHUP", "rollback to 3" … */
  readonly trigger: string;
}

type Facts = Omit<VersionView, "current">;

const FILE_NAME = /^(\d{6,})\.json$/;
/** The first line is short. */
const FACTS_OCTETS = 4096;

export class Versions {
  readonly #folder: string;
  readonly #log: Log;
  #keep: number;
  /** Oldest first. */
  #facts: Facts[] | null = null;
  #current: number | null = null;
  /** The config in force, as text that is compared. */
  #currentHash = "";
  #complained = false;

  /** @param folder `versions` in the state folder; made when it is first needed @param keep 0: none */
  constructor(folder: string, keep: number, log: Log) {
    this.#folder = folder;
    this.#keep = keep;
    this.#log = log;
  }

  /** Number of the version in force; null: it is not kept. */
  get current(): number | null {
    return this.#current;
  }

  set keep(versions: number) {
    this.#keep = versions;
  }

  /** A config is in force now. One that says the same as that before is the same version. */
  record({ tree, origin, trigger }: ServedConfig): number | null {
    const text = JSON.stringify(tree);
    const hash = hashOf(text);
    if (this.#current !== null && hash === this.#currentHash) return this.#current;
    this.#currentHash = hash;
    this.#current = null;
    if (this.#keep === 0) return null;
    const last = this.#known().at(-1);
    // A restart with the config that was served last goes on with its version.
    if (last?.hash === hash) {
      this.#current = last.number;
      return last.number;
    }
    const facts: Facts = { number: (last?.number ?? 0) + 1, at: Date.now(), trigger, origin, hash };
    try {
      this.#write(facts, text);
      this.#known().push(facts);
      this.#current = facts.number;
      this.#prune();
    } catch (thrown) {
      this.#complain("this config is not kept as a version", thrown);
    }
    return this.#current;
  }

  /** Newest first. */
  list(): VersionView[] {
    return this.#known()
      .map((facts) => this.#view(facts))
      .reverse();
  }

  /** @throws {ControlError} `unknown-version` */
  view(number: number): VersionView {
    return this.#view(this.#find(number));
  }

  /** @throws {ControlError} `unknown-version` */
  tree(number: number): unknown {
    const facts = this.#find(number);
    try {
      const text = readFileSync(this.#path(facts.number), "utf8");
      return JSON.parse(text.slice(text.indexOf("\n") + 1)) as unknown;
    } catch (thrown) {
      throw new ControlError("unknown-version", `version ${number} cannot be read: ${messageOf(thrown)}`);
    }
  }

  /** @throws {ControlError} `unknown-version` */
  text(number: number): VersionText {
    return { ...this.#view(this.#find(number)), text: renderTree(this.tree(number)) };
  }

  /** @returns a unified diff; "" if they say the same. @throws {ControlError} `unknown-version` */
  diff(from: number, to: number): string {
    const name = (number: number) => `version ${number}`;
    return unifiedDiff(this.text(from).text, this.text(to).text, name(from), name(to));
  }

  #view(facts: Facts): VersionView {
    return { ...facts, current: facts.number === this.#current };
  }

  #find(number: number): Facts {
    const found = this.#known().find((one) => one.number === number);
    if (found !== undefined) return found;
    const [first, last] = [this.#known()[0], this.#known().at(-1)];
    const there = first === undefined ? "none is kept" : `kept are ${first.number} to ${last!.number}`;
    throw new ControlError("unknown-version", `there is no version ${number}: ${there}`);
  }

  #known(): Facts[] {
    this.#facts ??= this.#readAll();
    return this.#facts;
  }

  #readAll(): Facts[] {
    let names: string[];
    try {
      names = readdirSync(this.#folder);
    } catch (thrown) {
      if ((thrown as { code?: string }).code !== "ENOENT") this.#complain("kept versions cannot be read", thrown);
      return [];
    }
    const facts: Facts[] = [];
    for (const name of names.filter((one) => FILE_NAME.test(one)).sort()) {
      try {
        facts.push(readFacts(join(this.#folder, name), Number(FILE_NAME.exec(name)![1])));
      } catch (thrown) {
        this.#log.warn("a kept version is damaged", { file: join(this.#folder, name), reason: messageOf(thrown) });
      }
    }
    return facts.sort((a, b) => a.number - b.number);
  }

  /** Whole or not at all, also when the machine stops meanwhile. */
  #write(facts: Facts, text: string): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    chmodSync(this.#folder, 0o700);
    const path = this.#path(facts.number);
    const temporary = `${path}.${process.pid}.new`;
    const fd = openSync(temporary, "w", 0o600);
    try {
      const octets = Buffer.from(`${JSON.stringify(facts)}\n${text}\n`);
      for (let at = 0; at < octets.length; ) at += writeSync(fd, octets, at);
      fsyncSync(fd);
      closeSync(fd);
    } catch (thrown) {
      closeSync(fd);
      unlinkSync(temporary);
      throw thrown;
    }
    renameSync(temporary, path);
  }

  #prune(): void {
    const known = this.#known();
    for (const { number } of known.splice(0, Math.max(0, known.length - this.#keep))) {
      try {
        unlinkSync(this.#path(number));
      } catch (thrown) {
        this.#complain("an old version cannot be removed", thrown);
      }
    }
  }

  #path(number: number): string {
    return join(this.#folder, `${String(number).padStart(6, "0")}.json`);
  }

  /** Once: it would be the same at each reload. */
  #complain(what: string, thrown: unknown): void {
    if (this.#complained) return;
    this.#complained = true;
    const hint = "choose a folder with `state`, or set `reload.versions: 0`";
    this.#log.warn(`${what}: ${hint}`, { folder: this.#folder, reason: messageOf(thrown) });
  }
}

/** Of a resolved config, as in `lintel_config_info`. */
export function hashOf(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 16);
}

/** @throws if the first line does not say what the file is */
function readFacts(path: string, number: number): Facts {
  const fd = openSync(path, "r");
  try {
    const room = Buffer.alloc(FACTS_OCTETS);
    const text = room.toString("utf8", 0, readSync(fd, room, 0, room.length, 0));
    const { at, trigger, origin, hash } = JSON.parse(text.slice(0, text.indexOf("\n"))) as Facts;
    if (typeof at !== "number" || typeof hash !== "string") throw new Error("the first line is none of ours");
    return { number, at, trigger: String(trigger), origin: String(origin), hash };
  } finally {
    closeSync(fd);
  }
}

const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));
