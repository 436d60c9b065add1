/**
 * What the supervisor and a worker tell each other, as structured clones over the runtime's own
 * channel (so Infinity survives). Descriptors that a running worker needs come over a channel of
 * their own (net/descriptor-channel.ts).
 */
import type { ClientCount } from "../telemetry/client-sketch.ts";
import type { TlsMaterial } from "../tls/tls-material.ts";
import type { EndpointSet } from "../upstream/endpoint-spec.ts";
import type { ListenKind } from "./listen-spec.ts";
import type { MaterialParcel } from "./material-parcel.ts";
import type { PackedConfig } from "./packed-config.ts";

/** A listening socket of a worker. A listener has one for each address it listens on. */
export interface ListenSocket {
  /** Of the socket, for the life of the supervisor: what is kept over a reload keeps its id. */
  readonly id: number;
  readonly kind: ListenKind;
  /** Name of the listener. */
  readonly name: string;
}

/** Where HTTP/3 is spoken: the UDP port of a listener's number. The process that serves it binds it. */
export interface QuicAddress {
  /** Of the listener's TCP socket. */
  readonly id: number;
  /** Of the listener. */
  readonly name: string;
  /** IP address. */
  readonly host: string;
  readonly port: number;
}

/** What a worker serves: everything that a reload can change. */
export interface ServeFacts {
  /** Counts the configs that this supervisor has decided to serve, from 1. */
  readonly generation: number;
  readonly config: PackedConfig;
  /** Relative paths in it start here. */
  readonly directory: string;
  /** Cells of the metrics, in the order of their registration. */
  readonly places: Int32Array;
  readonly sets: readonly EndpointSet[];
  /** Of all listeners with HTTP/3. */
  readonly quic: readonly QuicAddress[];
}

/** The first message. */
export interface Start extends ServeFacts {
  readonly kind: "start";
  readonly material: TlsMaterial;
  /** Of the material. */
  readonly version: number;
  readonly slot: number;
  /** Slots of the zone: one per worker, one for the process that serves HTTP/3, and one for the supervisor. */
  readonly slots: number;
  /** This is the process that serves HTTP/3; it has no listeners. */
  readonly servesQuic: boolean;
  /** Inherited with these descriptors. */
  readonly listeners: readonly (ListenSocket & { readonly fd: number })[];
  readonly zoneFd: number;
  /** The worker's end of the descriptor channel. */
  readonly channelFd: number;
}

/**
 * Build another generation beside the one that serves, and answer `prepared` or `refused`. Nothing
 * that is served changes yet.
 */
export interface Prepare extends ServeFacts {
  readonly kind: "prepare";
  /** Packed for what is in force. */
  readonly material: MaterialParcel;
  /** The generation that is served: `config` says what is different from it. */
  readonly base: number;
  /**
   * All sockets of the new config. Those whose id the worker has are kept (maybe under another
   * name). The others lie in the descriptor channel already, labelled with their ids, and are
   * accepted from once this is committed. What the worker has and is not listed goes at the commit.
   */
  readonly listeners: readonly ListenSocket[];
}

export type ToWorker =
  | Start
  | Prepare
  /** Serve the prepared generation from now on, answer `committed`; removed sockets are closed by then. */
  | { readonly kind: "commit"; readonly generation: number }
  /** Forget the prepared generation and close the sockets that came with it. May come while it is still being built. */
  | { readonly kind: "abort"; readonly generation: number }
  /** The endpoints of one upstream have changed. */
  | { readonly kind: "endpoints"; readonly set: EndpointSet }
  /**
   * What TLS is served with has changed, for the config in force; answer `material-in-use`. Packed for what was sent
   * before, or, right after a commit, for what was in force before that.
   */
  | { readonly kind: "material"; readonly version: number; readonly material: MaterialParcel }
  /** The certificate that was wanted is in the material that was sent last, or there will be none. */
  | { readonly kind: "certificate-answered"; readonly name: string }
  /**
   * Stop accepting, finish what is in flight within the config's drain time, exit with 0. `gentle`:
   * others accept on the same sockets, so kept connections are given the time to notice
   * (`Connection: close` on their next response) instead of being closed while idle.
   */
  | { readonly kind: "drain"; readonly gentle: boolean }
  /** Open log files again. */
  | { readonly kind: "reopen" }
  /** Count clients for so long, and report every second (`clients`). */
  | { readonly kind: "watch-clients"; readonly forMs: number }
  /**
   * The supervisor is about to become another program with the same process id. After the answer
   * (`handed-over`) the loss of this channel is no reason to stop: the worker serves on. Once the channel is gone,
   * SIGTERM means to drain gently, another SIGTERM to drain as usual; if the parent process id
   * is another, the successor has died and the worker drains as usual.
   */
  | { readonly kind: "handover" /** Its process id. */; readonly supervisor: number };

export type FromWorker =
  /** Traffic is being served. */
  | { readonly kind: "ready" }
  /** It cannot be: the worker exits after this. */
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "prepared"; readonly generation: number }
  /** It cannot be built here; the one that serves is untouched. */
  | { readonly kind: "refused"; readonly generation: number; readonly reason: string }
  | { readonly kind: "committed"; readonly generation: number }
  | { readonly kind: "handed-over" }
  | { readonly kind: "material-in-use"; readonly version: number }
  /** A client waits for a certificate of this name, which is one of the material's `onDemand`. */
  | { readonly kind: "certificate-wanted"; readonly name: string }
  | { readonly kind: "clients"; readonly overMs: number; readonly counts: readonly ClientCount[] };
