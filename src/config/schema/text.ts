/** Options that are more than a string or a number: read by a function that says what is wrong. */
import { z } from "zod";
import { type DurationText, duration } from "../../base/option.ts";
import type { Reading } from "../address.ts";

interface Described {
  readonly description: string;
  readonly examples?: readonly string[];
}

/**
 * A string read by `read`, which tidies it or says why it cannot be used. It is a check because that
 * is cheaper than a transform, and most of a large config are such texts.
 */
export function textOption(code: string, read: (text: string) => Reading, meta: Described) {
  return z
    .string()
    .check((payload) => {
      const reading = read(payload.value);
      if ("text" in reading) payload.value = reading.text;
      else
        payload.issues.push({
          code: "custom",
          message: reading.problem,
          input: payload.value,
          params: { code: reading.code ?? code, hint: reading.hint ?? null },
        });
    })
    .meta({ description: meta.description, ...(meta.examples === undefined ? {} : { examples: [...meta.examples] }) });
}

/** A whole number. Text of digits counts, so that `"${WORKERS}"` works in JSON too. */
export function wholeNumber(min: number, max: number, description: string) {
  return z
    .union([z.int().meta({ minimum: min, maximum: max }), z.string()])
    .meta({ description })
    .transform((value, ctx) => {
      const number = typeof value === "number" ? value : /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
      if (number >= min && number <= max) return number;
      const wanted = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
      const params = { code: Number.isNaN(number) ? "bad-number" : "out-of-range" };
      ctx.addIssue({ code: "custom", message: `${JSON.stringify(value)} is not a whole number ${wanted}`, params });
      return z.NEVER;
    });
}

/** A name for messages, logs and metrics. */
export function label(description: string) {
  return textOption(
    "bad-name",
    (text) =>
      /^[^\x00-\x20\x7f"\\]{1,128}$/.test(text)
        ? { text }
        : {
            problem: `${JSON.stringify(text)} is not a name: use 1 to 128 characters without spaces, quotes and backslashes`,
          },
    { description },
  );
}

/**
 * A span of time that has an end: neither `off` nor less than `leastMs`. Gives milliseconds.
 * @param fallback  null: it must be given
 */
export function span(
  description: string,
  fallback: DurationText,
  leastMs: number,
): z.ZodPrefault<z.ZodType<number, string>>;
export function span(description: string, fallback: null, leastMs: number): z.ZodType<number, string>;
export function span(
  description: string,
  fallback: DurationText | null,
  leastMs: number,
): z.ZodType<number, string | undefined> {
  const schema = duration(description).transform((ms, ctx) => {
    if (ms >= leastMs && ms !== Number.POSITIVE_INFINITY) return ms;
    const message = ms < leastMs ? `this is too short: at least ${leastMs}ms` : 'this cannot be "off": give it a time';
    ctx.addIssue({ code: "custom", message, params: { code: "out-of-range" } });
    return z.NEVER;
  });
  return fallback === null ? schema : schema.prefault(fallback);
}

/** Something, or `off`, which gives null. */
export function orOff<T extends z.ZodType>(description: string, schema: T) {
  return z
    .union([z.literal("off"), schema])
    .meta({ description })
    .transform((value) => (value === "off" ? null : value) as z.output<T> | null);
}
