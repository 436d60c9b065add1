/**
 * What is measured. A load case sends requests as fast as 64 or fewer connections take them; the
 * idle case opens connections and looks at memory. The targets are those of the project: CPU per
 * request as a ratio of nginx's in the same run.
 */

export interface Case {
  readonly name: string;
  readonly title: string;
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
  /** Ratio of nginx's CPU per request not to be exceeded; null: none was set. */
  readonly target: number | null;
}

const BASE = {
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
} as const;

export const cases: readonly Case[] = [
  { ...BASE, name: "small", title: "100-octet response, keep-alive, 64 connections", target: 1.1 },
  { ...BASE, name: "connect", title: "New connection for each request, 64 at a time", reconnect: true, target: 1.15 },
  {
    ...BASE,
    name: "64k",
    title: "64 KiB response, 32 connections",
    path: "/64k",
    connections: 32,
    download: 65_536,
    tuned: true,
    target: 0.65,
  },
  {
    ...BASE,
    name: "1m",
    title: "1 MiB response, 16 connections",
    path: "/1m",
    connections: 16,
    download: 1_048_576,
    tuned: true,
    target: 0.5,
  },
  {
    ...BASE,
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
    ...BASE,
    name: "routes",
    title: "Random paths over 1,000 routes, 12 fields as a browser sends, 64 connections",
    routed: true,
  },
  { ...BASE, name: "small-log", title: "As small, access log on", accessLog: true },
  {
    ...BASE,
    name: "idle10k",
    title: "10,000 idle connections, one request made on each",
    kind: "idle",
    connections: 10_000,
  },
];

export const ROUTES = 1000;

/** The path prefix of a route, without slash at the end. Forty areas of twenty-five services. */
export function routePrefix(index: number): string {
  const digits = (value: number) => String(value).padStart(2, "0");
  return `/area-${digits(index % 40)}/service-${digits(Math.floor(index / 40))}`;
}
