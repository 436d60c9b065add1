/** The statuses an error page is for, and how a page is written in the config. */
import { z } from "zod";
import { templateText } from "../template-text.ts";

/** Error statuses, both ends included. */
export interface StatusPattern {
  readonly from: number;
  readonly to: number;
}

/** "404", "4xx", "5xx"; null for anything else. */
export function statusPattern(text: string): StatusPattern | null {
  if (/^[45]xx$/.test(text)) {
    const from = Number(text[0]) * 100;
    return { from, to: from + 99 };
  }
  // 499 is what the log shows for a client that left: no response has it.
  if (!/^[45]\d\d$/.test(text) || text === "499") return null;
  return { from: Number(text), to: Number(text) };
}

/** As text; a bare number counts too, as YAML reads 404. */
export const statusPatternText = z
  .union([z.string(), z.int()])
  .meta({ description: 'A status ("404") or a class of them ("5xx").' })
  .transform((value, ctx) => {
    const text = String(value);
    if (statusPattern(text) !== null) return text;
    ctx.addIssue({
      code: "custom",
      message: `${JSON.stringify(text)} is not an error status: write one such as "404", or "4xx" or "5xx" for a class`,
      params: { code: "bad-status" },
    });
    return z.NEVER;
  });

const text = templateText("The page itself, with variables.");

interface PageOptions {
  readonly body?: string | undefined;
  readonly file?: string | undefined;
  readonly contentType?: string | undefined;
}

/** A page: its text, or an object that says where the text is. */
export function page(contentType: z.ZodType<string, string>) {
  return z
    .union([
      text,
      z
        .strictObject({
          body: text.optional(),
          file: z
            .string()
            .optional()
            .meta({ description: "File with the page; from the folder of the config if not absolute." }),
          contentType: contentType.optional(),
        })
        .refine(({ body, file }) => (body === undefined) !== (file === undefined), {
          message: "a page needs either body or file",
        }),
    ])
    .transform((value): PageOptions => (typeof value === "string" ? { body: value } : value));
}
