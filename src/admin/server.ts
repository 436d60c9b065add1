/**
 * The admin listener: what the supervisor knows, for people and Prometheus. It only reads.
 *
 * On a loopback address it answers requests for local names alone: a web page whose host name is
 * made to point at 127.0.0.1 (DNS rebinding) would otherwise read it through a visitor's browser.
 */

import type { AdminConfig } from "../config/gateway-config.ts";
import { type Address, formatAddress, isIp, parseAddress } from "../net/address.ts";
import type { Control } from "../server/control.ts";
import type { Admin } from "../server/supervisor.ts";
import { claimAddress } from "../server/supervisor-listen.ts";
import { EXPOSITION_TYPE } from "../telemetry/exposition.ts";

interface Page {
  readonly about: string;
  answer(view: Control): Response;
}

const PAGES: Readonly<Record<string, Page>> = {
  "/metrics": {
    about: "metrics of all workers, for Prometheus",
    answer: (view) => new Response(view.metrics(), { headers: { "content-type": EXPOSITION_TYPE } }),
  },
  "/health": {
    about: "200 while every worker is up, 503 otherwise; the workers as JSON",
    answer: (view) => {
      const workers = view.workers();
      const up = workers.filter(({ state }) => state === "ready").length;
      const status = up === workers.length ? "up" : up > 0 ? "degraded" : "down";
      return Response.json({ status, version: view.version, workers }, { status: status === "up" ? 200 : 503 });
    },
  },
};

/**
 * @param address "host:port" or "unix:/path"
 * @throws {Error} if it cannot be listened on
 */
export function startAdmin({ address }: AdminConfig, view: Control): Admin {
  const parsed = parseAddress(address.replace(/^localhost:/, "127.0.0.1:"));
  if (parsed === null) throw new Error(`admin: ${address} is not an address`);
  const place = parsed.kind === "unix" ? { unix: parsed.path } : { hostname: parsed.host || "::", port: parsed.port };
  const localOnly = parsed.kind === "tcp" && isLocalHost(parsed.host);
  // The runtime's own server shares a port that is taken already without a word.
  if (parsed.kind === "unix" || parsed.host === "" || isIp(parsed.host)) claimAddress("admin", parsed);
  try {
    const server = Bun.serve({ ...place, development: false, fetch: (request) => answer(request, view, localOnly) });
    return { url: urlOf(parsed, server.port), stop: () => void server.stop(true) };
  } catch (error) {
    throw new Error(`admin cannot listen on ${address}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function answer(request: Request, view: Control, localOnly: boolean): Response {
  const host = request.headers.get("host") ?? "";
  if (localOnly && !isLocalHost(host.replace(/:\d+$/, ""))) {
    return text(421, `The admin listener answers for local names only, not for ${JSON.stringify(host)}.\n`);
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    return text(405, "Only GET and HEAD.\n", { allow: "GET, HEAD" });
  }
  const path = new URL(request.url).pathname;
  if (path === "/") return text(200, index(view));
  return PAGES[path]?.answer(view) ?? text(404, `There is no ${path} here.\n\n${index(view)}`);
}

function index(view: Control): string {
  const pages = Object.entries(PAGES).map(([path, { about }]) => `${path.padEnd(10)} ${about}\n`);
  const listeners = view.listeners().map(({ name, url }) => `${name.padEnd(10)} ${url}\n`);
  return `Lintel ${view.version}\n\n${pages.join("")}\nListeners:\n${listeners.join("")}`;
}

function text(status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, { status, headers: { "content-type": "text/plain; charset=utf-8", ...headers } });
}

/** `host` with IPv6 in brackets or not. */
function isLocalHost(host: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
}

function urlOf(address: Address, port: number | undefined): string {
  return address.kind === "unix" ? formatAddress(address) : `http://${formatAddress({ ...address, port: port ?? 0 })}/`;
}
