/** `health` of an upstream: active checks, and what traffic says. */
import { z } from "zod";
import { percent, statusList } from "../../base/option.ts";
import type { Catalog } from "../catalog.ts";
import type { CheckConfig, HealthConfig, PassiveHealthConfig } from "../gateway-config.ts";
import { orOff, span, wholeNumber } from "./text.ts";

/** Every check by its name, and how often; of the names exactly one is given. */
function check(catalog: Catalog) {
  const definitions = [...catalog.checks.values()];
  const kinds = Object.fromEntries(
    definitions.map(({ name, summary, options }) => [
      name,
      // `tcp:` with nothing after it has all its options by default.
      z
        .preprocess((value) => value ?? {}, options)
        .optional()
        .meta({ title: name, description: summary }),
    ]),
  );
  const names = definitions.map(({ name }) => name);
  const full = z
    .strictObject({
      ...kinds,
      every: span("Time between two checks of an endpoint, varied by 10 %.", "5s", 10),
      timeout: span("How long one may take.", "2s", 1),
      rise: wholeNumber(1, 1000, "Passes in a row until an endpoint is up again.").prefault(2),
      fall: wholeNumber(1, 1000, "Failures in a row until it is down.").prefault(3),
      initial: z.enum(["unknown", "up", "down"]).default("unknown").meta({
        description: "Before the first verdict: `unknown` gets traffic, and the first result decides.",
      }),
      port: wholeNumber(1, 65_535, "Asked there instead of at the endpoint's own port.").optional(),
    })
    .transform(({ every, timeout, rise, fall, initial, port, ...rest }, ctx): CheckConfig => {
      // A misspelt name is one mistake, not two.
      if (ctx.issues.length > 0) return z.NEVER;
      const given = Object.entries(rest).filter(([, options]) => options !== undefined);
      const [first] = given;
      if (first === undefined || given.length > 1) {
        const message =
          first === undefined
            ? "this does not say how endpoints are asked"
            : `endpoints are asked in one way, and these are ${given.length}: ${given.map(([name]) => name).join(", ")}`;
        const params = { code: "bad-check", hint: `checks: ${names.join(", ")}` };
        ctx.addIssue({ code: "custom", message, path: first === undefined ? [] : [given[1]![0]], params });
        return z.NEVER;
      }
      const kind = { name: first[0], options: first[1] };
      return { kind, every, timeout, rise, fall, initial, port: port ?? null };
    })
    .meta({ title: "Check" });
  return z
    .union([z.literal("off"), z.enum(names as [string, ...string[]]), full])
    .default("off")
    .transform((value, ctx) => {
      if (value === "off") return null;
      if (typeof value !== "string") return value;
      const result = full.safeParse({ [value]: {} });
      if (result.success) return result.data;
      const params = { code: "missing-option", hint: `write \`check: { ${value}: { … } }\`` };
      ctx.addIssue({ code: "custom", message: `check ${JSON.stringify(value)} needs options`, params });
      return z.NEVER;
    })
    .meta({ description: "How endpoints are asked whether they are well: one check with its options, or `off`." });
}

const passive = z
  .strictObject({
    failures: orOff("Failures in a row that eject an endpoint.", wholeNumber(1, 1_000_000, "How many."))
      .transform((value) => value ?? Number.POSITIVE_INFINITY)
      .prefault(3),
    window: span("Failures further apart do not count as in a row; also the window of `rate` and `latency`.", "10s", 1),
    rate: orOff("Share of failures within the window that ejects.", percent("The share.")).prefault("off"),
    rateRequests: wholeNumber(
      1,
      1_000_000,
      "Attempts there must be in the window for `rate` and `latency` to count.",
    ).prefault(20),
    statuses: statusList("Statuses that count as failures, besides attempts without a response.", [502, 503, 504]),
    latency: orOff(
      "An endpoint this many times slower than the upstream's median is ejected.",
      z.number().min(1.1).max(1000),
    ).prefault("off"),
    ejectFor: span("The first ejection; each further one is twice as long, up to `ejectMax`.", "10s", 1),
    ejectMax: span("The longest ejection.", "5m", 1),
    maxEjected: percent("Share of endpoints ejected at most; one may always be if there are two.", "50%"),
  })
  .meta({ title: "Passive health" });

export function health(catalog: Catalog) {
  return z
    .strictObject({
      check: check(catalog),
      passive: z
        .union([z.literal("off"), passive])
        .prefault({})
        .transform((value): PassiveHealthConfig | null => (value === "off" ? null : value))
        .meta({ description: "What traffic says: endpoints that fail are ejected for a while. `off` for nothing." }),
      whenAllDown: z.enum(["try-all", "fail"]).default("try-all").meta({
        description: "When no endpoint is usable: try all that are not disabled, or answer 503 at once.",
      }),
    })
    .prefault({})
    .meta({ title: "Health", description: "How it is found out which endpoints are well." })
    .transform((value): HealthConfig => value);
}
