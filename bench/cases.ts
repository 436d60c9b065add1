/**
 * What is measured. A load case sends requests as fast as 64 or fewer connections take them; the
 * idle case opens connections and looks at memory. The targets are those of the project: CPU per
 * request as a ratio of the reference's in the same run.
 */

/** What clients speak to the proxy. Origin servers are plain HTTP/1.1, or octets for `tcp`. */
export type Protocol = "http" | "https" | "h2" | "h3" | "websocket" | "tcp";

export interface Case {
  readonly name: string;
  readonly title: string;
  /** `--only` takes it for all of its cases. */
  readonly group: "http" | "tls" | "h2" | "h3" | "tunnels";
  readonly protocol: Protocol;
  readonly generator: "wrk" | "h2load" | "handshakes" | "http3" | "messages" | "bulk";
  /** Requests at one time on a connection, where the generator can. */
  readonly streams: number;
  /** What is counted, and what the cost is of. */
  readonly unit: "request" | "handshake" | "message" | "MiB";
  readonly kind: "load" | "idle";
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly connections: number;
  /** A new connection for each request. */
  readonly reconnect: boolean;
  /** Octets of request content. */
  readonly upload: number;
  /** Octets of response content. */
  readonly download: number;
  /** Random paths over a thousand routes, with the fields a browser sends. */
  readonly routed: boolean;
  readonly accessLog: boolean;
  /** Proxies with settings chosen for large contents take part as well. */
  readonly tuned: boolean;
  /** What ratios are against: nginx, or what costs less of nginx and HAProxy. */
  readonly reference: "nginx" | "better";
  /** Ratio of the reference's CPU per request not to be exceeded; null: none was set. */
  readonly target: number | null;
  /** The same for p99, which is always against nginx's. */
  readonly p99Target: number | null;
}

const BASE = {
  group: "http",
  protocol: "http",
  generator: "wrk",
  streams: 1,
  unit: "request",
  reference: "nginx",
  kind: "load",
  method: "GET",
  path: "/small",
  connections: 64,
  reconnect: false,
  upload: 0,
  download: 100,
  routed: false,
  accessLog: false,
  tuned: false,
  target: null,
  p99Target: null,
} as const;

const HTTP = { ...BASE, p99Target: 1 } as const;

const TLS = { ...BASE, group: "tls", protocol: "https", reference: "better" } as const;
const HTTP2 = {
  ...BASE,
  group: "h2",
  protocol: "h2",
  generator: "h2load",
  reference: "better",
  connections: 8,
} as const;
const TUNNEL = { ...BASE, group: "tunnels", reference: "better", path: "/echo", target: null } as const;
const MESSAGES = { ...TUNNEL, generator: "messages", unit: "message" } as const;
const BULK = { ...TUNNEL, generator: "bulk", unit: "MiB", path: "/pour", connections: 4 } as const;

export const cases: readonly Case[] = [
  { ...HTTP, name: "small", title: "100-octet response, keep-alive, 64 connections", target: 1.1 },
  { ...HTTP, name: "connect", title: "New connection for each request, 64 at a time", reconnect: true, target: 1.15 },
  {
    ...HTTP,
    name: "64k",
    title: "64 KiB response, 32 connections",
    path: "/64k",
    connections: 32,
    download: 65_536,
    tuned: true,
    target: 0.65,
  },
  {
    ...HTTP,
    name: "1m",
    title: "1 MiB response, 16 connections",
    path: "/1m",
    connections: 16,
    download: 1_048_576,
    tuned: true,
    target: 0.5,
  },
  {
    ...HTTP,
    name: "upload64k",
    title: "64 KiB upload, 32 connections",
    method: "POST",
    path: "/upload",
    connections: 32,
    upload: 65_536,
    download: 2,
    tuned: true,
    target: 0.8,
  },
  {
    ...HTTP,
    name: "routes",
    title: "Random paths over 1,000 routes, 12 fields as a browser sends, 64 connections",
    routed: true,
  },
  { ...HTTP, name: "small-log", title: "As small, access log on", accessLog: true },
  {
    ...BASE,
    name: "idle10k",
    title: "10,000 idle connections, one request made on each",
    kind: "idle",
    connections: 10_000,
  },
  { ...TLS, name: "tls-small", title: "As small, over TLS 1.3", target: 1.05 },
  {
    ...TLS,
    name: "tls-1m",
    title: "As 1m, over TLS 1.3",
    path: "/1m",
    connections: 16,
    download: 1_048_576,
    tuned: true,
    target: 0.9,
  },
  {
    ...TLS,
    name: "tls-connect",
    title: "Full TLS 1.3 handshake (P-256, no resumption) and one request, 16 at a time",
    generator: "handshakes",
    unit: "handshake",
    connections: 16,
    reconnect: true,
    target: 1.2,
  },
  {
    ...HTTP2,
    name: "h2-small",
    title: "HTTP/2, 100-octet response, 8 connections x 32 streams",
    streams: 32,
    target: 1.0,
  },
  {
    ...HTTP2,
    name: "h2-64k",
    title: "HTTP/2, 64 KiB response, 8 connections x 8 streams",
    path: "/64k",
    streams: 8,
    download: 65_536,
    tuned: true,
    target: 1.0,
  },
  {
    ...BASE,
    name: "h3-small",
    title: "HTTP/3, 100-octet response, 8 connections x 16 streams",
    group: "h3",
    protocol: "h3",
    generator: "http3",
    reference: "better",
    connections: 8,
    streams: 16,
  },
  {
    ...MESSAGES,
    name: "ws-messages",
    title: "WebSocket, 64-octet messages echoed, 64 connections",
    protocol: "websocket",
  },
  { ...BULK, name: "ws-bulk", title: "WebSocket, octets from the origin server, 4 connections", protocol: "websocket" },
  { ...MESSAGES, name: "tcp-messages", title: "TCP, 64-octet messages echoed, 64 connections", protocol: "tcp" },
  {
    ...TUNNEL,
    name: "tcp-connect",
    title: "TCP, a new connection for each HTTP request of 100 octets, 64 at a time",
    protocol: "tcp",
    path: "/small",
    reconnect: true,
  },
  { ...BULK, name: "tcp-bulk", title: "TCP, octets from the origin server, 4 connections", protocol: "tcp" },
];

/** Cases by name, or all of a group. */
export function chosenCases(names: string | undefined): Case[] {
  if (names === undefined) return [...cases];
  const wanted = names.split(",");
  for (const name of wanted) {
    if (!cases.some((each) => each.name === name || each.group === name)) {
      const known = [...cases.map((each) => each.name), ...new Set(cases.map(({ group }) => group))];
      throw new Error(`there is no case and no group "${name}" (${known.join(", ")})`);
    }
  }
  return cases.filter(({ name, group }) => wanted.includes(name) || wanted.includes(group));
}

export const ROUTES = 1000;

/** The path prefix of a route, without slash at the end. Forty areas of twenty-five services. */
export function routePrefix(index: number): string {
  const digits = (value: number) => String(value).padStart(2, "0");
  return `/area-${digits(index % 40)}/service-${digits(Math.floor(index / 40))}`;
}
