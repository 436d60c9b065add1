/**
 * HTTP/2 connections of the soak's clients, of Node.js's own implementation: over TLS and, by prior
 * knowledge, without. A few are shared by many exchanges at a time and replaced after a while.
 */
import { readFileSync } from "node:fs";
import { type ClientHttp2Session, connect } from "node:http2";

export type Over = "TLS" | "plain";

export interface Http2Ports {
  readonly plain: number;
  readonly secure: number;
  /** File of the authority that signed the certificate. */
  readonly ca: string;
}

const SHARED = 4;
/** Exchanges on one connection. */
const USES = 300;
/** Larger than at first, so that one reader who is slow does not stop the others on its connection. */
const WINDOW_OCTETS = 4 * 1024 * 1024;
/** For uploads that wait. At less Node.js itself ends streams, as if the server had. */
const MEMORY_MB = 500;
export const HOST = "soak.example";

interface Shared {
  readonly session: ClientHttp2Session;
  uses: number;
  usedAt: number;
}

export class Http2Sessions {
  readonly #ports: Http2Ports;
  readonly #ca: string;
  readonly #shared: Record<Over, Shared[]> = { TLS: [], plain: [] };

  constructor(ports: Http2Ports) {
    this.#ports = ports;
    this.#ca = readFileSync(ports.ca, "utf8");
  }

  /** One of its own. */
  open(over: Over): ClientHttp2Session {
    const { plain, secure } = this.#ports;
    const session =
      over === "plain"
        ? connect(`http://127.0.0.1:${plain}`, { maxSessionMemory: MEMORY_MB })
        : connect(`https://127.0.0.1:${secure}`, { maxSessionMemory: MEMORY_MB, ca: this.#ca, servername: HOST });
    // What fails with it are its streams, and they tell.
    session.on("error", () => {});
    session.on("connect", () => {
      if (!session.destroyed) session.setLocalWindowSize(WINDOW_OCTETS);
    });
    return session;
  }

  /** One that others use at the same time. */
  share(over: Over): ClientHttp2Session {
    const all = this.#shared[over].filter(({ session }) => !session.closed && !session.destroyed);
    const [least] = all.toSorted((a, b) => a.uses - b.uses);
    let shared = least;
    if (shared === undefined || all.length < SHARED) {
      shared = { session: this.open(over), uses: 0, usedAt: 0 };
      const { session } = shared;
      session.on("goaway", () => this.#drop(over, session));
      all.push(shared);
    }
    this.#shared[over] = all;
    shared.uses++;
    shared.usedAt = Date.now();
    if (shared.uses >= USES) this.#drop(over, shared.session);
    return shared.session;
  }

  /** Closes those that nobody has used for so long; what runs on them goes on. */
  sweep(maxIdleMs: number): void {
    const now = Date.now();
    for (const over of ["TLS", "plain"] as const) {
      for (const { session, usedAt } of this.#shared[over]) if (now - usedAt >= maxIdleMs) this.#drop(over, session);
    }
  }

  #drop(over: Over, session: ClientHttp2Session): void {
    this.#shared[over] = this.#shared[over].filter((one) => one.session !== session);
    // Not at once: an exchange may be about to begin on it.
    setImmediate(() => {
      if (!session.destroyed) session.close();
    });
  }
}
