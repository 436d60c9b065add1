/** `state`, `reload` and `zone`: what the supervisor keeps, and how the config is changed while it runs. */
import { z } from "zod";
import { textOption, wholeNumber } from "./text.ts";

export const state = textOption(
  "bad-path",
  (text) =>
    text !== "" && !text.includes("\0") ? { text } : { problem: `${JSON.stringify(text)} is not the path of a folder` },
  {
    description: "Folder for versions of the config, kept changes and the admin socket.",
    examples: ["/var/lib/lintel"],
  },
).optional();

export const reload = z
  .strictObject({
    watch: z.boolean().default(false).meta({ description: "Reload when a file of the config changes." }),
    versions: wholeNumber(0, 10_000, "Applied configs that are kept.").prefault(50),
  })
  .prefault({})
  .meta({ title: "Reload", description: "How the config is changed while the program runs." });

export const zone = z
  .strictObject({
    endpoints: wholeNumber(1, 1_000_000, "Endpoints over all upstreams at one time.").prefault(16_384),
    growth: wholeNumber(
      1,
      1000,
      "Room for the metrics of later configs, in times of what the first one needs.",
    ).prefault(4),
  })
  .prefault({})
  .meta({
    title: "Zone",
    description: "Room of the memory that all workers share, which cannot grow while the program runs.",
  });
