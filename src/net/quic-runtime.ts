/**
 * The runtime's QUIC with HTTP/3, as far as this room uses it. Only what `node:quic` does stands here,
 * with all casts; quic-runtime.test.ts holds what we rely on. docs/http3.md says what it cannot do.
 *
 * Why the runtime's: QUIC is a transport of its own, with loss detection, congestion control and TLS
 * inside. Why not `Bun.serve`: it rewrites paths and fields, and knows no trailers.
 */
import { createPrivateKey } from "node:crypto";
import type {
  QuicEndpoint as RuntimeEndpoint,
  QuicSession as RuntimeSession,
  QuicStream as RuntimeStream,
} from "node:quic";
import { mendQuicSocket } from "./quic-socket.ts";

/** Names in lower case, as the client sent them; several lines of one name are a list. Nothing is checked. */
export type QuicFields = Readonly<Record<string, string | readonly string[] | undefined>>;

export interface QuicIdentity {
  /** PEM, leaf first. */
  readonly cert: string;
  readonly key: string;
}

export interface QuicOptions {
  /** An IP address. */
  readonly host: string;
  readonly port: number;
  /**
   * By name, in lower case; a wildcard stands for one label, and "*" for every other name. Clients that ask
   * for a name that is not there are refused. There must be one at least. Each costs 0.9 MB and 2 ms.
   */
  readonly identities: ReadonlyMap<string, QuicIdentity>;
  /** Requests at one time per session. */
  readonly maxStreams: number;
  /** What a client may send before we have read it, which the runtime does at once. */
  readonly streamWindowOctets: number;
  readonly sessionWindowOctets: number;
  /** Whole seconds. */
  readonly idleSeconds: number;
  /** A section with more lines, pseudo-fields included, loses those beyond it without a word. */
  readonly fieldCount: number;
  /** Lines that do not fit any more are left out without a word. */
  readonly fieldOctets: number;
  readonly maxSessions: number;
  readonly maxSessionsPerAddress: number;
  /** Takes requests of clients that were here before, before their handshake proves that they are not replayed. */
  readonly earlyData: boolean;
}

/** What the handshake said. */
export interface QuicHandshake {
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Lower case; "" if the client named none. */
  readonly serverName: string;
  readonly cipher: string;
}

/** Whose sessions they are. */
export interface QuicAcceptor {
  onSession(session: Session, facts: QuicHandshake): QuicSessionTaker;
  /** It ended before its handshake did. */
  onHandshakeFailed(reason: string): void;
}

export interface QuicSessionTaker {
  onStream(stream: RequestStream): QuicStreamTaker;
  /** It is over, and all its streams have been told. */
  onSessionClosed(reason: string): void;
}

/** Who takes the request. Octets are borrowed until the call returns. */
export interface QuicStreamTaker {
  onHead(fields: QuicFields): void;
  /** What there is of the content at once has not come, or has begun: `onOctets` or `onEnd` follow. */
  onContentBegins(): void;
  onOctets(octets: Uint8Array): void;
  /** Also right after the head: then the request has no content. */
  onEnd(trailers: QuicFields | null): void;
  /** The client takes more of the response. */
  onRoom(): void;
  /** The stream is gone, whoever ended it. Called once, and nothing after it. */
  onClosed(reason: string): void;
}

/** A request, and the response to it, as an engine works it. */
export interface RequestStream {
  /** Some of it came before the handshake was over, and may be a replay (RFC 8470). */
  readonly isEarly: boolean;
  /**
   * @param end  the response is complete with it
   * @throws {TypeError} where the runtime wants a name once only
   */
  sendHead(fields: Record<string, string | string[]>, end: boolean): void;
  sendInterim(fields: Record<string, string | string[]>): void;
  /** Copies them. @returns false: nothing was taken */
  write(octets: Uint8Array): boolean;
  /** Whether `write` takes anything now. */
  readonly hasRoom: boolean;
  /** Calls `onRoom` when there is room again. Nothing may be written or ended meanwhile. */
  awaitRoom(): void;
  /** The response is complete. */
  end(trailers: Record<string, string | string[]> | null): void;
  /** What is left of the request is not wanted (RFC 9114 §4.1.1). */
  stopReading(code: number): void;
  /** Ends it in the middle: the client sees that it is incomplete. `onClosed` is not called any more. */
  cut(code: number): void;
}

export interface Session {
  /** Tells the client to begin nothing more (RFC 9114 §5.2). What is in work goes on. */
  goAway(): void;
  /** Ends it with all streams. @param code of RFC 9114 §8.1 */
  end(code: number): void;
}

/** RFC 9114 §8.1. */
export const H3Error = {
  none: 0x100,
  internal: 0x102,
  excessiveLoad: 0x107,
  requestRejected: 0x10b,
  requestCancelled: 0x10c,
  requestIncomplete: 0x10d,
  message: 0x10e,
  connect: 0x10f,
} as const;

const DRAINABLE: unique symbol = Symbol.for("Stream.drainableProtocol") as never;

/** What the types leave out. */
interface StreamExtras {
  stopSending(code: bigint): void;
}
interface WriterExtras {
  readonly desiredSize: number | null;
  [DRAINABLE](): Promise<unknown> | null;
}

type QuicModule = typeof import("node:quic");

/** Without the runtime's words about what may change in it: the version is pinned. */
async function load(): Promise<QuicModule> {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return await import("node:quic");
  } finally {
    process.emitWarning = emitWarning;
  }
}

let module: QuicModule | null = null;

/** @throws {Error} if it cannot be bound; the message has the number of the system's error */
export async function listenQuic(options: QuicOptions, acceptor: QuicAcceptor): Promise<QuicListener> {
  // Only the process that serves it pays for it.
  module ??= await load();
  const { host, port } = options;
  const endpoint = await module.listen((session) => greet(session, acceptor), {
    endpoint: {
      address: host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`,
      maxConnectionsTotal: Math.min(options.maxSessions, 65_535),
      maxConnectionsPerHost: Math.min(options.maxSessionsPerAddress, 65_535),
    },
    alpn: ["h3"],
    sni: native(options.identities),
    enableEarlyData: options.earlyData,
    application: {
      maxHeaderPairs: options.fieldCount,
      maxHeaderLength: options.fieldOctets,
      enableConnectProtocol: true,
      enableDatagrams: false,
    },
    transportParams: {
      maxIdleTimeout: options.idleSeconds,
      initialMaxStreamsBidi: options.maxStreams,
      initialMaxData: options.sessionWindowOctets,
      initialMaxStreamDataBidiRemote: options.streamWindowOctets,
    },
  });
  // A failed bind destroys it without an exception.
  if (endpoint.destroyed || endpoint.address === undefined) {
    const reason = await endpoint.closed.then(
      () => "it closed at once",
      (thrown: Error) => thrown.message,
    );
    throw new Error(reason);
  }
  mendQuicSocket(endpoint.address.port);
  return new QuicListener(endpoint, options.identities);
}

function native(identities: ReadonlyMap<string, QuicIdentity>) {
  const entries = [...identities].map(([name, { cert, key }]) => [
    name,
    { keys: [createPrivateKey(key)], certs: [Buffer.from(cert)] },
  ]);
  return Object.fromEntries(entries) as Record<
    string,
    { keys: ReturnType<typeof createPrivateKey>[]; certs: Buffer[] }
  >;
}

export class QuicListener {
  readonly #endpoint: RuntimeEndpoint;
  #identities: ReadonlyMap<string, QuicIdentity>;

  constructor(endpoint: RuntimeEndpoint, identities: ReadonlyMap<string, QuicIdentity>) {
    this.#endpoint = endpoint;
    this.#identities = identities;
    endpoint.closed.catch(() => {});
  }

  get port(): number {
    return this.#endpoint.address?.port ?? 0;
  }

  get packetsReceived(): number {
    return Number(this.#endpoint.stats.packetsReceived);
  }

  set maxSessions(sessions: number) {
    this.#endpoint.maxConnectionsTotal = Math.min(sessions, 65_535);
  }

  set maxSessionsPerAddress(sessions: number) {
    this.#endpoint.maxConnectionsPerHost = Math.min(sessions, 65_535);
  }

  /** For handshakes from now on. Only what has changed is made anew. @throws {Error} if a certificate cannot be used; then all is as before */
  use(identities: ReadonlyMap<string, QuicIdentity>): void {
    const before = this.#identities;
    const changed = new Map<string, QuicIdentity>();
    for (const [name, one] of identities) {
      const old = before.get(name);
      if (old?.cert !== one.cert || old.key !== one.key) changed.set(name, one);
    }
    const removed = [...before.keys()].some((name) => !identities.has(name));
    if (changed.size === 0 && !removed) return;
    this.#endpoint.setSNIContexts(native(removed ? identities : changed), { replace: removed });
    this.#identities = identities;
  }

  /** New sessions are refused; those that are there go on. */
  refuse(): void {
    this.#endpoint.busy = true;
  }

  /** Takes no new sessions any more, and gives the port back when the last one is gone. */
  close(): void {
    void this.#endpoint.close().catch(() => {});
  }

  /** Ends everything, and gives the port back. */
  destroy(): void {
    this.#endpoint.destroy();
  }

  /** Settles when the port is free. */
  get closed(): Promise<void> {
    return this.#endpoint.closed.catch(() => {});
  }
}

/** A client has sent its first packet. */
function greet(native: RuntimeSession, acceptor: QuicAcceptor): void {
  let session: QuicSession | null = null;
  let reason = "the client was not heard of any more";
  // Also keeps the promises of the session and its streams from being unhandled.
  native.onerror = (thrown: Error) => {
    reason = thrown.message;
  };
  native.onhandshake = ({ remote, servername, cipher }) => {
    if (session !== null) return;
    session = new QuicSession(native);
    session.taker = acceptor.onSession(session, {
      remoteAddress: remote.address,
      remotePort: remote.port,
      serverName: servername.toLowerCase(),
      cipher,
    });
  };
  native.onstream = (stream) => {
    if (stream.direction !== "bidi" || session === null)
      return stream.destroy(undefined, { code: H3Error.requestRejected });
    new QuicStream(stream, session.taker!);
  };
  const gone = () => {
    if (session === null) acceptor.onHandshakeFailed(reason);
    else session.taker!.onSessionClosed(reason);
  };
  native.closed.then(gone, gone);
}

class QuicSession implements Session {
  readonly #native: RuntimeSession;
  taker: QuicSessionTaker | null = null;

  constructor(native: RuntimeSession) {
    this.#native = native;
  }

  goAway(): void {
    if (!this.#native.destroyed) void this.#native.close().catch(() => {});
  }

  end(code: number): void {
    if (!this.#native.destroyed) this.#native.destroy(undefined, { code, type: "application" });
  }
}

/** Microtasks after a head until what came with it is known: content, or the end of the request. */
const SETTLING_MICROTASKS = 8;

class QuicStream implements RequestStream {
  readonly #native: RuntimeStream;
  readonly #taker: QuicStreamTaker;
  #writer: (RuntimeStream["writer"] & WriterExtras) | null = null;
  #trailers: QuicFields | null = null;
  #outgoingTrailers: Record<string, string | string[]> | null = null;
  #hasBegun = false;
  #isClosed = false;
  #isReadThrough = false;

  constructor(native: RuntimeStream, session: QuicSessionTaker) {
    this.#native = native;
    native.onerror = () => {};
    native.onreset = () => {};
    this.#taker = session.onStream(this);
    native.onheaders = (fields) => this.#begin(fields);
    native.ontrailers = (fields) => {
      this.#trailers = fields;
    };
    const closed = () => {
      if (this.#isClosed) return;
      this.#isClosed = true;
      this.#taker.onClosed("the client ended the stream");
    };
    native.closed.then(closed, closed);
  }

  get isEarly(): boolean {
    return this.#native.early;
  }

  #begin(fields: QuicFields): void {
    this.#taker.onHead(fields);
    void this.#read();
    this.#settle(SETTLING_MICROTASKS);
  }

  #settle(left: number): void {
    if (this.#hasBegun || this.#isClosed) return;
    if (left > 0) return queueMicrotask(() => this.#settle(left - 1));
    this.#hasBegun = true;
    this.#taker.onContentBegins();
  }

  async #read(): Promise<void> {
    try {
      for await (const batch of this.#native) {
        for (const octets of batch) {
          if (this.#isClosed) return;
          if (!this.#hasBegun) {
            this.#hasBegun = true;
            this.#taker.onContentBegins();
          }
          this.#taker.onOctets(octets);
        }
      }
    } catch (thrown) {
      return this.#close((thrown as Error).message);
    }
    this.#isReadThrough = true;
    // After content the trailers are told of later in the same pass of the loop than its end.
    if (this.#hasBegun && this.#trailers === null) setImmediate(() => this.#ended());
    else this.#ended();
  }

  #ended(): void {
    if (this.#isClosed) return;
    this.#hasBegun = true;
    this.#taker.onEnd(this.#trailers);
  }

  #close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#taker.onClosed(reason);
  }

  // What is said to a stream that has just been destroyed is not heard: `onClosed` is on its way.

  sendHead(fields: Record<string, string | string[]>, end: boolean): void {
    if (this.#native.destroyed) return;
    // Without a taker at this moment the runtime drops trailers; a taker that sends none would stop the stream.
    if (!end) this.#native.onwanttrailers = () => this.#native.sendTrailers(this.#outgoingTrailers ?? {});
    this.#native.sendHeaders(fields, { terminal: end });
    if (!end) this.#writer = this.#native.writer as RuntimeStream["writer"] & WriterExtras;
  }

  sendInterim(fields: Record<string, string | string[]>): void {
    this.#native.sendInformationalHeaders(fields);
  }

  write(octets: Uint8Array): boolean {
    return this.#writer?.writeSync(octets) ?? false;
  }

  get hasRoom(): boolean {
    return (this.#writer?.desiredSize ?? 0) > 0;
  }

  awaitRoom(): void {
    if (this.#writer === null || this.#native.destroyed) return;
    const waited = this.#writer[DRAINABLE]();
    const onRoom = () => {
      if (!this.#isClosed) this.#taker.onRoom();
    };
    if (waited === null) queueMicrotask(onRoom);
    // A rejection comes with the end of the stream, which is told on its own.
    else waited.then(onRoom, () => {});
  }

  end(trailers: Record<string, string | string[]> | null): void {
    if (this.#native.destroyed) return;
    this.#outgoingTrailers = trailers;
    if (trailers === null) this.#native.onwanttrailers = undefined;
    this.#writer?.endSync();
  }

  stopReading(code: number): void {
    if (!this.#isReadThrough) (this.#native as RuntimeStream & StreamExtras).stopSending(BigInt(code));
  }

  cut(code: number): void {
    this.#isClosed = true;
    if (this.#native.destroyed) return;
    const why = new module!.QuicError("cut", { errorCode: BigInt(code) });
    // With a writer the reset has to come from it; without one, from the stream.
    this.#writer?.fail(why);
    this.#native.destroy(undefined, { code });
  }
}
