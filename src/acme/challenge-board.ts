/**
 * What CAs look for at our own ports: answers of http-01 by token, certificates of tls-alpn-01 by name.
 * They go to the workers. Where the store is shared, they go there too, and what others put there
 * hangs here as well: the CA may come to another machine than the one that ordered.
 */
import { createHash } from "node:crypto";
import { keyPem, newKey, writeCertificate } from "../tls/certificate-writer.ts";
import type { ChallengeSolver, ChallengeTask } from "./challenge.ts";
import { pause } from "./pause.ts";
import type { SharedStore } from "./shared-store.ts";

/** What hangs on the board. */
export interface BoardView {
  /** Key authorizations of http-01 by token. */
  readonly tokens: Readonly<Record<string, string>>;
  /** Of tls-alpn-01; PEM. */
  readonly challenges: readonly { readonly name: string; readonly cert: string; readonly key: string }[];
}

type Note =
  | { readonly kind: "token"; readonly token: string; readonly answer: string }
  | { readonly kind: "certificate"; readonly name: string; readonly cert: string; readonly key: string };

export interface ChallengeBoardOptions {
  /** null: nobody shares it. */
  readonly shared: SharedStore | null;
  /** How often others' notes are looked for. */
  readonly lookMs?: number;
  /** Settles when the workers have it. */
  publish(view: BoardView): Promise<void>;
}

/** No CA comes back later than that. */
const LIFETIME_MS = 3_600_000;
/** Of other machines; more would be no challenges of ours. */
const MOST_NOTES = 1000;
const LOOK_MS = 1000;

export class ChallengeBoard {
  readonly #options: ChallengeBoardOptions;
  readonly #lookMs: number;
  readonly #own = new Map<string, Note>();
  #others = new Map<string, Note>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #stopped = false;

  constructor(options: ChallengeBoardOptions) {
    this.#options = options;
    this.#lookMs = options.lookMs ?? LOOK_MS;
  }

  /** Begins to look for notes of other machines. */
  start(): void {
    const { shared } = this.#options;
    if (shared === null || this.#timer !== null || this.#stopped) return;
    this.#timer = setTimeout(async () => {
      await this.#look(shared).catch(() => {});
      this.#timer = null;
      this.start();
    }, this.#lookMs);
    this.#timer.unref();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  get view(): BoardView {
    const tokens: Record<string, string> = {};
    const challenges: { name: string; cert: string; key: string }[] = [];
    // Our own last, so that they count if somebody else orders for the same name.
    for (const note of [...this.#others.values(), ...this.#own.values()]) {
      if (note.kind === "token") tokens[note.token] = note.answer;
      else challenges.push({ name: note.name, cert: note.cert, key: note.key });
    }
    return { tokens, challenges };
  }

  readonly http: ChallengeSolver = {
    type: "http-01",
    present: ({ token, answer }, signal) => this.#hang(tokenKey(token), { kind: "token", token, answer }, signal),
    withdraw: ({ token }) => this.#takeOff(tokenKey(token)),
  };

  readonly tls: ChallengeSolver = {
    type: "tls-alpn-01",
    present: async ({ name, answer }, signal) => {
      const certificate = challengeCertificate(name, answer);
      await this.#hang(nameKey(name), { kind: "certificate", name, ...certificate }, signal);
    },
    withdraw: ({ name }: ChallengeTask) => this.#takeOff(nameKey(name)),
  };

  async #hang(key: string, note: Note, signal: AbortSignal): Promise<void> {
    const { shared, publish } = this.#options;
    this.#own.set(key, note);
    await shared?.write(`challenges/${key}`, JSON.stringify({ ...note, until: Date.now() + LIFETIME_MS }));
    await publish(this.view);
    // The others look that often, and need a moment for their workers.
    if (shared !== null) await pause(2 * this.#lookMs, signal);
  }

  async #takeOff(key: string): Promise<void> {
    if (!this.#own.delete(key)) return;
    await this.#options.shared?.remove(`challenges/${key}`);
    await this.#options.publish(this.view);
  }

  async #look(shared: SharedStore): Promise<void> {
    const others = new Map<string, Note>();
    let isNew = false;
    for (const path of (await shared.list("challenges")).slice(0, MOST_NOTES)) {
      const key = path.slice("challenges/".length);
      if (this.#own.has(key)) continue;
      const known = this.#others.get(key);
      // A name is challenged again and again, and each time with another certificate.
      const note = known?.kind === "token" ? known : await read(shared, path).catch(() => null);
      if (note === null) continue;
      isNew ||= JSON.stringify(note) !== JSON.stringify(known);
      others.set(key, note);
    }
    const isChanged = isNew || others.size !== this.#others.size;
    this.#others = others;
    if (isChanged) await this.#options.publish(this.view);
  }
}

/**
 * @returns null if it is gone, left by a machine that died, or something else
 * @throws {Error} if it cannot be read
 */
async function read(shared: SharedStore, path: string): Promise<Note | null> {
  const text = await shared.read(path);
  if (text === null) return null;
  const note = JSON.parse(text) as Note & { readonly until: number };
  if (!isNote(note)) return null;
  if (note.until >= Date.now()) return note;
  await shared.remove(path);
  return null;
}

/** Anybody may have put files there. */
function isNote(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { kind, ...rest } = value as Record<string, unknown>;
  const keys = kind === "token" ? ["token", "answer"] : kind === "certificate" ? ["name", "cert", "key"] : null;
  return keys?.every((key) => typeof rest[key] === "string") === true;
}

/** RFC 8737 §3: it signs itself, and has the digest of the answer in it. */
function challengeCertificate(name: string, answer: string): { cert: string; key: string } {
  const key = newKey("ecdsa");
  const cert = writeCertificate({
    subject: "acme-tls/1",
    names: [name],
    notBefore: new Date(Date.now() - LIFETIME_MS),
    notAfter: new Date(Date.now() + 24 * LIFETIME_MS),
    use: "server",
    key,
    issuer: null,
    acmeIdentifier: createHash("sha256").update(answer).digest(),
  });
  return { cert, key: keyPem(key) };
}

const tokenKey = (token: string): string => `http-01 ${token}`;
const nameKey = (name: string): string => `tls-alpn-01 ${name}`;
