/** What the admin listener shows besides the API, to everybody who can reach it. */
import type { Control } from "../server/control.ts";
import { EXPOSITION_TYPE } from "../telemetry/exposition.ts";

interface Page {
  readonly about: string;
  answer(control: Control): Response;
}

const PAGES: Readonly<Record<string, Page>> = {
  "/metrics": {
    about: "metrics of all workers, for Prometheus",
    answer: (control) => new Response(control.metrics(), { headers: { "content-type": EXPOSITION_TYPE } }),
  },
  "/health": {
    about: "200 while every worker is up, 503 otherwise; the workers as JSON",
    answer: (control) => {
      const workers = control.workers();
      const up = workers.filter(({ state }) => state === "ready").length;
      const status = up === workers.length ? "up" : up > 0 ? "degraded" : "down";
      return Response.json({ status, version: control.version, workers }, { status: status === "up" ? 200 : 503 });
    },
  },
};

/** @param path outside of /v1 */
export function answerPage(method: string, path: string, control: Control): Response {
  if (method !== "GET" && method !== "HEAD") return text(405, "Only GET and HEAD.\n", { allow: "GET, HEAD" });
  if (path === "/") return text(200, index(control));
  return PAGES[path]?.answer(control) ?? text(404, `There is no ${path} here.\n\n${index(control)}`);
}

function index(control: Control): string {
  const pages = Object.entries(PAGES).map(([path, { about }]) => `${path.padEnd(10)} ${about}\n`);
  const listeners = control.listeners().map(({ name, url }) => `${name.padEnd(10)} ${url}\n`);
  const api = `${"/v1".padEnd(10)} the admin API; /v1/openapi.json describes it\n`;
  return `Lintel ${control.version}\n\n${pages.join("")}${api}\nListeners:\n${listeners.join("")}`;
}

function text(status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, { status, headers: { "content-type": "text/plain; charset=utf-8", ...headers } });
}
