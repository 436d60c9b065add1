/** Options of matchers that are one text or a list of them. */
import { z } from "zod";
import type { Reading } from "../config/address.ts";

/** Each text is tidied by `read`, which may also say what is wrong with it; gives a list. */
export function textList(code: string, read: (text: string) => Reading, description: string) {
  const one = z.string().transform((text, ctx) => {
    const reading = read(text);
    if ("text" in reading) return reading.text;
    ctx.addIssue({ code: "custom", message: reading.problem, params: { code, hint: reading.hint ?? null } });
    return z.NEVER;
  });
  return oneOrList(one, description);
}

/** One of these words or a list of them; gives a list. */
export function wordList<const Words extends readonly string[]>(words: Words, description: string) {
  return oneOrList(z.enum(words), description);
}

function oneOrList<T extends z.ZodType<string>>(one: T, description: string) {
  return z
    .union([one, z.array(one).min(1)])
    .transform((given) => (Array.isArray(given) ? given : [given]) as z.output<T>[])
    .meta({ description });
}
