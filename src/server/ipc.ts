/** What the supervisor and a worker tell each other, as JSON over the runtime's own channel. */

/** A listening socket as a worker inherits it. A listener has one for each address it listens on. */
export interface ListenSocket {
  /** Name of the listener. */
  readonly name: string;
  readonly fd: number;
}

export interface Start {
  readonly kind: "start";
  readonly slot: number;
  /** Slots of the zone: one per worker and one for the supervisor. */
  readonly slots: number;
  /** The config as plain data, read again by the worker through the same schema. */
  readonly tree: unknown;
  readonly origin: string;
  readonly directory: string;
  readonly listeners: readonly ListenSocket[];
  readonly zoneFd: number;
}

export type ToWorker =
  | Start
  /** Stop accepting, finish what is in flight within the config's drain time, exit with 0. */
  | { readonly kind: "drain" }
  /** Open log files again. */
  | { readonly kind: "reopen" };

export type FromWorker =
  /** Traffic is being served. */
  | { readonly kind: "ready" }
  /** It cannot be: the worker exits after this. */
  | { readonly kind: "failed"; readonly reason: string };
