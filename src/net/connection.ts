/** What the rooms above see of a transport connection, and what it tells them. */

/** Octets that lie in the kernel: they can be counted and handed to a connection, not looked at. */
export interface UnseenOctets {
  readonly length: number;
}

export interface Connection {
  /** Who is told; replaced as the connection changes hands. */
  handler: ConnectionHandler;
  /**
   * Sends octets. They are only borrowed until the call returns: what the kernel does not take is
   * copied and queued. Small writes of one turn leave together. Never fails: a broken connection
   * says so through `onLost`.
   */
  write(octets: Uint8Array): void;
  /** As `write`, for text whose characters are octets (latin1). */
  writeText(text: string): void;
  /**
   * Sends octets that this process never saw: what an `onUnseen` was given, and from within it. What
   * the kernel does not take is queued as it is.
   */
  writeUnseen(octets: UnseenOctets): void;
  /** False: they would have to be read for it anyway (to be encrypted), so a source had better read them itself. */
  readonly takesUnseen?: boolean;
  /** True while octets are queued that the kernel did not take. Stop the source; `onRoom` follows. */
  readonly full: boolean;
  /** Octets queued that the kernel did not take. */
  readonly unsent: number;
  /** Sends what is queued so far now instead of at the end of the turn. */
  flush(): void;
  /**
   * Asks the kernel: true if nothing has arrived that was not handed on, and the peer has neither
   * ended nor reset. For a connection that was kept, before something is sent that must not be lost.
   */
  isQuiet(): boolean;
  /** No more `onOctets` until `resume`, but for what is read already; the kernel's buffer fills and the peer has to wait. */
  pause(): void;
  resume(): void;
  /** Closes our half once everything is sent (FIN); reading goes on. */
  endWriting(): void;
  /** Sends everything, then closes. If the peer may still be sending, its octets are drained for a short while first, so that no reset overtakes our last octets. */
  close(peerMaySend: boolean): void;
  /** Closes at once and drops what is queued; with a reset (RST) if asked. */
  destroy(reset?: boolean): void;
  readonly open: boolean;
  /** Octets read and written so far. */
  readonly octetsIn: number;
  readonly octetsOut: number;
}

/** The owner of a connection. Replaced as the connection changes hands (pool, tunnel). */
export interface ConnectionHandler {
  /** Octets arrived: `room[0, length)`. Valid until the call returns; the next read overwrites them. */
  onOctets(room: Buffer, length: number): void;
  /**
   * So many of the octets that come next need not be seen: the connection may hand them on by
   * `onUnseen`. Asked before each read; without it, all are seen.
   */
  readonly unseen?: number;
  /** Octets arrived and stayed in the kernel. They are gone when the call returns, unless a connection took them. */
  onUnseen?(octets: UnseenOctets): void;
  /** True: a head comes next, and what follows it may not need to be seen, so a read should bring little of that. */
  readonly expectsHead?: boolean;
  /** True: it may be read, like with `expectsHead`, a little before its turn (net/loop.ts). Nobody may `surrender` it then. */
  readonly readsAhead?: boolean;
  /** Everything queued has been taken by the kernel. */
  onRoom(): void;
  /** The peer closed its half (FIN). */
  onPeerEnd(): void;
  /** The connection is gone; called once, not after our own `close` or `destroy`. @param error name such as "ECONNRESET" */
  onLost(error: string): void;
  /** A callback threw; the connection is destroyed already. */
  onFault(thrown: unknown): void;
}
