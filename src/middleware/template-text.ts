/** A template whose escaping depends on another option: checked with the config, compiled in `create`. */
import { z } from "zod";
import { compileTemplate } from "../http/variable.ts";

/** Text that may hold variables; gives the text. */
export function templateText(doc: string) {
  return z
    .string()
    .meta({ description: doc, format: "template" })
    .superRefine((text, ctx) => {
      try {
        compileTemplate(text);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        ctx.addIssue({ code: "custom", message, params: { code: "bad-template" } });
      }
    });
}
