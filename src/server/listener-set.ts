/**
 * The listening sockets of the config in force, and the difference to another one. A socket is kept
 * over a reload if its listener's address reads the same, whatever else is said of it; clients in its
 * queue notice nothing.
 */
import type { Address } from "../net/address.ts";
import { libc } from "../net/libc.ts";
import type { ListenSocket } from "./ipc.ts";
import type { ListenKind, ListenSpec } from "./listen-spec.ts";
import { type BoundListener, bindListener, type ListenError } from "./supervisor-listen.ts";

/** One address that is listened on. */
export interface HeldListener {
  readonly id: number;
  readonly kind: ListenKind;
  /** Of the listener. */
  readonly name: string;
  /** As the config says it. */
  readonly written: string;
  readonly address: Address;
  /** One descriptor per slot; slots share what there is if there are fewer (a unix socket has one). */
  readonly fds: readonly number[];
}

/** The same listeners under another config. */
export interface ListenerChange {
  readonly next: readonly HeldListener[];
  readonly added: readonly HeldListener[];
  readonly removed: readonly HeldListener[];
  /** Puts the change in force. `closeRemoved` must follow once the workers have let go of them. */
  commit(): void;
  /** Closes what was added. */
  abort(): void;
}

/** Several listeners cannot be bound. */
export class ListenErrors extends Error {
  constructor(readonly all: readonly ListenError[]) {
    super(all.map(({ message }) => message).join("; "));
  }
}

interface Held extends HeldListener {
  readonly bound: BoundListener;
}

/** Binds a listener; replaced by what takes sockets over from another program. */
export type Bind = (spec: ListenSpec, slots: number) => Promise<BoundListener[]>;

export class ListenerSet {
  readonly #slots: number;
  readonly #bind: Bind;
  #held: readonly Held[] = [];
  #lastId = 0;

  /** @param slots sockets for each address */
  constructor(slots: number, bind: Bind = bindListener) {
    this.#slots = slots;
    this.#bind = bind;
  }

  get all(): readonly HeldListener[] {
    return this.#held;
  }

  /**
   * Binds what another config adds; nothing that is in force changes.
   * @throws {ListenErrors} with each listener that cannot be bound; then nothing stays bound
   */
  async prepare(listeners: readonly ListenSpec[]): Promise<ListenerChange> {
    const left = new Set(this.#held);
    const next: Held[] = [];
    const added: Held[] = [];
    const problems: ListenError[] = [];
    // Those that keep their name choose first: two may listen on a port that the system chooses.
    const kept = new Map<ListenSpec, Held[]>();
    for (const byName of [true, false]) {
      for (const config of listeners) {
        if (kept.has(config)) continue;
        const found = [...left].filter(
          ({ kind, written, name }) =>
            written === config.address &&
            (kind === "udp") === (config.kind === "udp") &&
            (!byName || name === config.name),
        );
        const [first] = found;
        if (first === undefined) continue;
        const same = found.filter(({ name }) => name === first.name);
        kept.set(config, same);
        for (const one of same) left.delete(one);
      }
    }
    for (const config of listeners) {
      const same = kept.get(config);
      if (same !== undefined) {
        next.push(...same.map((one) => ({ ...one, kind: config.kind, name: config.name })));
        continue;
      }
      try {
        const bound = await this.#bind(config, this.#slots);
        const made = bound.map((one) => this.#hold(one, config));
        next.push(...made);
        added.push(...made);
      } catch (thrown) {
        problems.push(thrown as ListenError);
      }
    }
    const abort = () => closeAll(added);
    if (problems.length > 0) {
      abort();
      throw new ListenErrors(problems);
    }
    const removed = [...left];
    return {
      next,
      added,
      removed,
      commit: () => {
        for (const config of listeners) for (const { fds } of kept.get(config) ?? []) relisten(fds, config);
        this.#held = next;
      },
      abort,
    };
  }

  /** Closes our copies of what a committed change has removed. */
  closeRemoved({ removed }: ListenerChange): void {
    closeAll(removed as readonly Held[]);
  }

  /** What the worker of a slot listens on, as that of the change if one is given. */
  sockets(slot: number, held: readonly HeldListener[] = this.#held): readonly (ListenSocket & { fd: number })[] {
    return held.map(({ id, kind, name, fds }) => ({ id, kind, name, fd: fds[slot % fds.length]! }));
  }

  close(): void {
    closeAll(this.#held);
    this.#held = [];
  }

  #hold(bound: BoundListener, { kind, name, address: written }: ListenSpec): Held {
    const { address, fds } = bound;
    return { id: ++this.#lastId, kind, name, written, address, fds, bound };
  }
}

/** The queue's length can be changed while it is used. */
function relisten(fds: readonly number[], { kind, backlog }: ListenSpec): void {
  if (kind !== "udp") for (const fd of fds) libc.listen(fd, backlog);
}

function closeAll(held: readonly Held[]): void {
  for (const { bound } of held) bound.close();
}
