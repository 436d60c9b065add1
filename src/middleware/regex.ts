/** Options that are regular expressions. */
import { z } from "zod";

/** A regular expression as JavaScript writes it, without slashes around it; gives a RegExp with these flags. */
export function regexOption(doc: string, flags = "") {
  return z
    .string()
    .meta({ description: doc, format: "regex" })
    .transform((text, ctx) => {
      try {
        return new RegExp(text, flags);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        ctx.addIssue({
          code: "custom",
          message: `${JSON.stringify(text)} is not a regular expression: ${reason}`,
          params: { code: "bad-regex" },
        });
        return z.NEVER;
      }
    });
}
