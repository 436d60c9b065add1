/** Operations that show how Lintel is. */
import { z } from "zod";
import type { Control } from "../../server/control.ts";
import { operation } from "../operation.ts";
import { clientRate, stats, status } from "../schemas.ts";

export const getStatus = operation({
  id: "getStatus",
  method: "GET",
  path: "/v1/status",
  summary: "What is running.",
  access: "read",
  result: status,
  run: ({ control }) => ({
    version: control.version,
    pid: process.pid,
    startedAt: isoTime(control.startedAt),
    uptimeSeconds: Math.max(0, (Date.now() - control.startedAt) / 1000),
    workers: control.workers(),
    listeners: control.listeners(),
    config: configOf(control),
  }),
});

export const getStats = operation({
  id: "getStats",
  method: "GET",
  path: "/v1/stats",
  summary: "Counters by listener, route, upstream and endpoint.",
  access: "read",
  result: stats,
  run: ({ control }) => {
    const read = control.stats();
    return { ...read, at: isoTime(read.at) };
  },
});

export const getClients = operation({
  id: "getClients",
  method: "GET",
  path: "/v1/clients",
  summary:
    "The clients that asked most within the last second. Counted while somebody asks: the first answer is empty.",
  access: "private",
  result: z.strictObject({ clients: z.array(clientRate) }),
  run: ({ control }) => ({ clients: control.clients() }),
});

export const isoTime = (ms: number): string => new Date(ms).toISOString();

function configOf(control: Control) {
  const { since, lastFailure, ...config } = control.config();
  return {
    ...config,
    since: isoTime(since),
    lastFailure: lastFailure === null ? null : { ...lastFailure, at: isoTime(lastFailure.at) },
  };
}
