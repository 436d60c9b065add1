/**
 * Building blocks for options: zod schemas that read what people write ("30s", "10MB", "10/s")
 * and give plain numbers with the unit in the variable's name. Their messages say what was found
 * and what was wanted; config/ adds file, line and column.
 */
import { z } from "zod";

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KB: 1000,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

export type DurationText = `${number}${"ms" | "s" | "m" | "h" | "d"}` | "off";
export type SizeText = `${number}${"B" | "KB" | "MB" | "GB" | "KiB" | "MiB" | "GiB"}` | "off";

/** @returns milliseconds ("1m30s" → 90000; "off" → Infinity), or null if the text is not a duration */
export function parseDuration(text: string): number | null {
  if (text === "off") return Infinity;
  let rest = text;
  let ms = 0;
  while (rest !== "") {
    const part = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)/.exec(rest);
    if (part === null) return null;
    ms += Number(part[1]) * DURATION_UNITS[part[2]!]!;
    rest = rest.slice(part[0].length);
  }
  return text === "" ? null : ms;
}

/** @returns octets ("64KiB" → 65536; "off" → Infinity), or null if the text is not a size */
export function parseByteSize(text: string): number | null {
  if (text === "off") return Infinity;
  const part = /^(\d+(?:\.\d+)?) ?([KMG]i?B|B)?$/.exec(text);
  const octets = part === null ? Number.NaN : Number(part[1]) * SIZE_UNITS[part[2] ?? ""]!;
  return Number.isSafeInteger(octets) ? octets : null;
}

/** A span of time; gives milliseconds, Infinity for "off". */
export function duration(doc: string): z.ZodType<number, string>;
export function duration(doc: string, fallback: DurationText): z.ZodPrefault<z.ZodType<number, string>>;
export function duration(doc: string, fallback?: DurationText): z.ZodType<number, string | undefined> {
  const schema = z
    .string()
    .meta({ description: doc, format: "duration", examples: ["500ms", "30s", "1m30s"] })
    .transform((text, ctx) => {
      const ms = parseDuration(text);
      if (ms !== null) return ms;
      ctx.addIssue({
        code: "custom",
        message: `${JSON.stringify(text)} is not a duration: write a number with ms, s, m, h or d, such as "30s"`,
        params: { code: "bad-duration" },
      });
      return z.NEVER;
    });
  return fallback === undefined ? schema : schema.prefault(fallback);
}

/** An amount of octets; gives a number, Infinity for "off". A bare number is octets. */
export function byteSize(doc: string): z.ZodType<number, string | number>;
export function byteSize(doc: string, fallback: SizeText): z.ZodPrefault<z.ZodType<number, string | number>>;
export function byteSize(doc: string, fallback?: SizeText): z.ZodType<number, string | number | undefined> {
  const schema = z
    .union([z.string(), z.number()])
    .meta({ description: doc, format: "byte-size", examples: ["64KiB", "10MB"] })
    .transform((value, ctx) => {
      const octets = parseByteSize(String(value));
      if (octets !== null) return octets;
      ctx.addIssue({
        code: "custom",
        message: `${JSON.stringify(value)} is not a size: write a number with B, KB, MB, GB, KiB, MiB or GiB, such as "64KiB"`,
        params: { code: "bad-size" },
      });
      return z.NEVER;
    });
  return fallback === undefined ? schema : schema.prefault(fallback);
}

/** @returns a share from 0 to 1 ("50%" → 0.5, "0.5" → 0.5), or null if the text is not one */
export function parsePercent(text: string): number | null {
  const part = /^(\d{1,3}(?:\.\d+)?) ?(%?)$/.exec(text);
  const share = part === null ? Number.NaN : Number(part[1]) / (part[2] === "%" ? 100 : 1);
  return share >= 0 && share <= 1 ? share : null;
}

/** A share of a whole: "50%", or a number from 0 to 1; gives the latter. */
export function percent(doc: string): z.ZodType<number, string | number>;
export function percent(doc: string, fallback: `${number}%`): z.ZodPrefault<z.ZodType<number, string | number>>;
export function percent(doc: string, fallback?: `${number}%`): z.ZodType<number, string | number | undefined> {
  const schema = z
    .union([z.string(), z.number().meta({ minimum: 0, maximum: 1 })])
    .meta({ description: doc, format: "percent", examples: ["50%", 0.5] })
    .transform((value, ctx) => {
      const share = parsePercent(String(value));
      if (share !== null) return share;
      ctx.addIssue({
        code: "custom",
        message: `${JSON.stringify(value)} is not a share: write 0% to 100%, such as "50%", or a number from 0 to 1`,
        params: { code: "bad-percent" },
      });
      return z.NEVER;
    });
  return fallback === undefined ? schema : schema.prefault(fallback);
}

/** @returns the statuses a text stands for ("503", "5xx"), or null if it stands for none */
export function parseStatuses(text: string): number[] | null {
  if (/^[1-5]xx$/.test(text)) return Array.from({ length: 100 }, (_, i) => Number(text[0]) * 100 + i);
  return /^[1-5]\d\d$/.test(text) ? [Number(text)] : null;
}

/** Statuses of responses: numbers, or "5xx" for a whole class; gives them sorted, each once. */
export function statusList(doc: string, fallback: readonly (number | string)[]) {
  const entry = z.union([z.int().meta({ minimum: 100, maximum: 599 }), z.string()]).transform((value, ctx) => {
    const statuses = parseStatuses(String(value));
    if (statuses !== null) return statuses;
    ctx.addIssue({
      code: "custom",
      message: `${JSON.stringify(value)} is not a status: write a number from 100 to 599, or a class such as "5xx"`,
      params: { code: "bad-status" },
    });
    return z.NEVER;
  });
  return z
    .union([entry, z.array(entry)])
    .transform((value) => [...new Set((value as (number | number[])[]).flat())].sort((a, b) => a - b))
    .prefault([...fallback])
    .meta({ description: doc, format: "statuses", examples: [503, "5xx"] });
}

/** One or a list of something; always gives a list. */
export function oneOrMany<T extends z.ZodType>(item: T) {
  return z.union([item, z.array(item)]).transform((value) => (Array.isArray(value) ? value : [value]) as z.output<T>[]);
}
