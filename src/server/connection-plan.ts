/** How the endpoints of an upstream are connected to: plain data first, so that a reload sees what has changed. */
import { timerList } from "../base/timer.ts";
import type { GatewayConfig, OriginTlsConfig, PoolConfig, UpstreamConfig } from "../config/gateway-config.ts";
import { alpnWire } from "../net/tls-runtime.ts";
import type { HeadLimits } from "../protocol/http1/head-decoder.ts";
import { type FrameFloodLimits, originLimits } from "../protocol/http2/floods.ts";
import { originSettings } from "../tls/origin-settings.ts";
import type { TlsMaterial } from "../tls/tls-material.ts";
import type { EndpointSettings, EndpointTls, Http2Settings } from "../upstream/endpoint-settings.ts";

export interface ConnectionPlan {
  readonly protocol: UpstreamConfig["protocol"];
  readonly proxyProtocol: UpstreamConfig["proxyProtocol"];
  readonly pool: PoolConfig;
  readonly slowStartMs: number;
  readonly tls: OriginTlsConfig | null;
  /** Texts of the files that `tls` names, by path. */
  readonly files: Readonly<Record<string, string>>;
  readonly head: HeadLimits;
  readonly trailerOctets: number;
  readonly chunkExtensionOctets: number;
  readonly streamWindowOctets: number;
  readonly connectionWindowOctets: number;
  readonly floods: FrameFloodLimits;
}

export function connectionPlan(
  { limits }: GatewayConfig,
  { protocol, proxyProtocol, pool, slowStart, tls }: UpstreamConfig,
  { files }: Pick<TlsMaterial, "files">,
): ConnectionPlan {
  const used = [tls?.ca, tls?.identity?.cert, tls?.identity?.key].filter((path) => path != null);
  return {
    protocol,
    proxyProtocol,
    pool,
    slowStartMs: slowStart,
    tls,
    files: Object.fromEntries(used.flatMap((path) => (path in files ? [[path, files[path]!]] : []))),
    head: {
      requestLineOctets: limits.requestLine,
      fieldLineOctets: Math.max(limits.fieldLine, 16 * 1024),
      fieldSectionOctets: Math.max(limits.fieldSection, 64 * 1024),
      fieldCount: Math.max(limits.fields, 200),
    },
    trailerOctets: limits.trailers,
    chunkExtensionOctets: limits.chunkExtensions,
    streamWindowOctets: limits.http2.streamWindow,
    connectionWindowOctets: limits.http2.connectionWindow,
    floods: originLimits(limits.http2),
  };
}

/** @throws {Error} if a file could not be read, or the TLS library does not take it */
export function endpointSettings(plan: ConnectionPlan): EndpointSettings {
  const { pool, slowStartMs, head, trailerOctets, chunkExtensionOctets, proxyProtocol } = plan;
  return {
    maxIdle: pool.maxIdle,
    idleTimeMs: pool.idleTimeout,
    slowStartMs,
    http1: { head, content: { trailerOctets, chunkExtensionOctets } },
    http2: http2Settings(plan),
    tls: endpointTls(plan),
    proxyProtocol,
  };
}

/** Silence on a connection with open streams after which PING asks, and how long the answer may take. */
const PING_MS = 30_000;
const PING_ANSWER_MS = 10_000;

function http2Settings({ protocol, tls, pool, head, ...plan }: ConnectionPlan): Http2Settings | null {
  // Without TLS nobody says which it is.
  if (protocol === "http1" || (protocol === "auto" && tls === null)) return null;
  return {
    client: {
      scheme: tls === null ? "http" : "https",
      head,
      maxStreams: pool.streams,
      streamWindowOctets: plan.streamWindowOctets,
      connectionWindowOctets: plan.connectionWindowOctets,
      floods: plan.floods,
      pingTime: timerList(PING_MS),
      pingAnswerTime: timerList(PING_ANSWER_MS),
    },
    isRequired: protocol === "http2",
    maxConnections: pool.connections,
  };
}

function endpointTls({ tls, protocol, files }: ConnectionPlan): EndpointTls | null {
  if (tls === null) return null;
  const client = originSettings(tls, protocol, { files });
  return {
    client,
    http1Client: { ...client, alpn: alpnWire(["http/1.1"]) },
    rawClient: { ...client, alpn: undefined },
    serverName: tls.serverName,
  };
}

/** How connections to upstreams are made, for who asks again and again. */
export class ConnectionSettings {
  #config: GatewayConfig | null = null;
  #material: unknown = null;
  readonly #settings = new Map<string, EndpointSettings | null>();

  /** null: plain HTTP/1.1, or there is no such upstream. @throws {Error} see `endpointSettings` */
  of(upstream: string, config: GatewayConfig, material: Pick<TlsMaterial, "files">): EndpointSettings | null {
    if (this.#config !== config || this.#material !== material) {
      this.#config = config;
      this.#material = material;
      this.#settings.clear();
    }
    const known = this.#settings.get(upstream);
    if (known !== undefined) return known;
    const found = config.upstreams.find(({ name }) => name === upstream);
    const isPlain = found === undefined || (found.tls === null && found.protocol !== "http2" && !found.proxyProtocol);
    const made = isPlain ? null : endpointSettings(connectionPlan(config, found, material));
    this.#settings.set(upstream, made);
    return made;
  }
}
