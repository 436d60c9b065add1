/** What an upstream does when an attempt fails or takes long: `retry`, `hedge`, `circuit`, `queue`. */
import { z } from "zod";
import { byteSize, duration, parseStatuses, percent } from "../../base/option.ts";
import type { CircuitConfig, HedgeConfig, QueueConfig, RetryCondition, RetryConfig } from "../gateway-config.ts";
import { span, wholeNumber } from "./text.ts";

const CONDITIONS = ["connect", "reset", "malformed", "timeout"] as const;

const condition = z
  .union([z.enum(CONDITIONS), z.int().meta({ minimum: 100, maximum: 599 }), z.string()])
  .transform((value, ctx): RetryCondition[] => {
    if (CONDITIONS.includes(value as "connect")) return [value as "connect"];
    const statuses = parseStatuses(String(value));
    if (statuses !== null) return statuses;
    ctx.addIssue({
      code: "custom",
      message: `${JSON.stringify(value)} is nothing that makes an attempt fail: write ${CONDITIONS.join(", ")}, a status, or a class such as "5xx"`,
      params: { code: "bad-condition" },
    });
    return z.NEVER;
  });

const fullRetry = z
  .strictObject({
    attempts: wholeNumber(0, 100, "Further attempts at most, each at an endpoint that was not tried.").prefault(2),
    on: z
      .array(condition)
      .transform((conditions) => [...new Set(conditions.flat())])
      .prefault(["connect", "reset", "malformed"])
      .meta({
        description:
          "What makes another attempt: `connect` (no connection), `reset` (it ended before a response), `malformed` (no valid response), `timeout` (no response in time), and statuses.",
      }),
    anyMethod: z.boolean().default(false).meta({
      description: "Repeat requests that are not idempotent too, although the origin server may have acted.",
    }),
    budget: percent("Retries may make up this share of the exchanges, beyond `budgetFloor`.", "20%"),
    budgetFloor: wholeNumber(0, 1_000_000, "Retries per second that are always possible.").prefault(10),
    content: byteSize("Request content kept for another attempt, per exchange; `off` for none.", "off").transform(
      (octets) => (octets === Number.POSITIVE_INFINITY ? 0 : octets),
    ),
    perAttempt: duration("Limit of one attempt until its response begins; `off` for the timeouts alone.", "off"),
  })
  .meta({ title: "Retry" });

export const retry = z
  .union([z.literal("off"), wholeNumber(0, 100, "Further attempts at most."), fullRetry])
  .prefault({})
  .transform((value): RetryConfig => {
    if (typeof value === "object") return value;
    return fullRetry.parse({ attempts: value === "off" ? 0 : value });
  })
  .meta({ description: "Further attempts when one fails: how many, or everything about them." });

const fullHedge = z
  .strictObject({
    after: span("Without a response for this long, a second attempt is made beside the first.", null, 1),
  })
  .meta({ title: "Hedge" });

export const hedge = z
  .union([z.literal("off"), fullHedge])
  .default("off")
  .transform((value): HedgeConfig | null => (value === "off" ? null : value))
  .meta({ description: "A second attempt beside a slow first one, for idempotent requests without content." });

const fullCircuit = z
  .strictObject({
    failures: percent("Share of failed exchanges within the window that opens it.", "50%"),
    requests: wholeNumber(1, 1_000_000, "Exchanges there must be in the window.").prefault(20),
    window: span("What is looked at.", "10s", 1),
    openFor: span("How long it stays open before probes are let through.", "10s", 1),
    probes: wholeNumber(1, 1000, "Probes that must succeed in a row to close it.").prefault(3),
  })
  .meta({ title: "Circuit" });

export const circuit = z
  .union([z.literal("off"), fullCircuit])
  .default("off")
  .transform((value): CircuitConfig | null => (value === "off" ? null : value))
  .meta({ description: "Stops sending to an upstream that fails, and answers 503 at once." });

const fullQueue = z
  .strictObject({
    size: wholeNumber(0, 1_000_000, "Exchanges waiting at most, over all workers.").prefault(1000),
    timeout: duration("How long one waits at most.", "5s"),
  })
  .meta({ title: "Queue" });

export const queue = z
  .union([z.literal("off"), fullQueue])
  .prefault({})
  .transform((value): QueueConfig => (value === "off" ? { size: 0, timeout: 0 } : value))
  .meta({ description: "Exchanges that wait while every endpoint has `maxInFlight`; `off` answers 503 at once." });
