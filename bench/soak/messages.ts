/** What the programs of the soak say to each other. */

/** To the client program. */
export type ToClient =
  /** Exchanges begun per second from now on. */
  | { readonly rate: number }
  /** Begin no more, finish what runs, close every connection; `quiet` is answered then. */
  | { readonly quiet: true };

/** How often each kind of exchange ended in each way. */
export interface Counts {
  /** As it should be, complete. */
  good: number;
  /** Failed as it had to: a cut response looked cut, a dead origin server gave 502. */
  expected: number;
  wrong: number;
}

export type FromClient =
  | { readonly counts: Readonly<Record<string, Counts>>; readonly running: number; readonly skipped: number }
  | { readonly wrong: string }
  | { readonly quiet: true };

export interface FromOrigin {
  readonly wrong: string;
}
