/** Upstreams and their endpoints as people read them. */
import type { z } from "zod";
import type { endpoint, upstream } from "../admin/schemas.ts";
import type { Paint } from "../config/diagnostic.ts";
import { columns } from "./terminal.ts";

export type UpstreamAnswer = z.output<typeof upstream>;
export type EndpointAnswer = z.output<typeof endpoint>;

const HEAD = ["ENDPOINT", "CONDITION", "WEIGHT", "IN FLIGHT", "REQUESTS", "P50", "P99", "CHECK"];

export function upstreamTable({ name, balance, sticky, endpoints }: UpstreamAnswer, paint: Paint): string {
  const title = `${paint.strong(`upstream ${name}`)}: ${balance}${sticky ? ", sticky" : ""}\n`;
  if (endpoints.length === 0) return `${title}  no endpoints\n`;
  const rows = endpoints.map((one) => [
    one.address,
    condition(one),
    String(one.weight),
    one.maxInFlight === null ? String(one.inFlight) : `${one.inFlight} of ${one.maxInFlight}`,
    String(Object.values(one.responses).reduce((sum, count) => sum + count, 0)),
    one.latencyMs === null ? "-" : shortTime(one.latencyMs.p50),
    one.latencyMs === null ? "-" : shortTime(one.latencyMs.p99),
    checkText(one.check),
  ]);
  const [head, ...body] = columns([HEAD, ...rows], "  ").split(/(?<=\n)/);
  const painted = body.map((line, i) => paintOf(endpoints[i]!, paint)(line.trimEnd()));
  return `${title}${paint.faint(head!.trimEnd())}\n${painted.map((line) => `${line}\n`).join("")}`;
}

function paintOf({ condition: is }: EndpointAnswer, paint: Paint): (text: string) => string {
  if (is === "down" || is === "ejected") return paint.error;
  return is === "up" ? (text) => text : paint.warning;
}

/** "up", "draining 25s", "ejected 9s, from dns, backup" */
function condition({ condition: is, source, backup, priority, ejectedForMs, drainUntil }: EndpointAnswer): string {
  const left =
    is === "ejected"
      ? ejectedForMs
      : is === "draining" && drainUntil !== null
        ? Date.parse(drainUntil) - Date.now()
        : null;
  return [
    left === null ? is : `${is} ${Math.max(0, Math.ceil(left / 1000))}s`,
    ...(source === "config" ? [] : [`from ${source}`]),
    ...(backup ? ["backup"] : []),
    ...(priority > 0 ? [`priority ${priority}`] : []),
  ].join(", ");
}

function checkText(check: EndpointAnswer["check"]): string {
  if (check === null) return "-";
  return check.passed ? "passed" : (check.reason ?? "failed");
}

/** "0.5ms", "16ms", "1.02s" */
export function shortTime(ms: number): string {
  if (ms >= 10_000) return `${Math.round(ms / 1000)}s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)}s`;
  return `${ms >= 10 || Number.isInteger(ms) ? Math.round(ms) : ms.toFixed(1)}ms`;
}
