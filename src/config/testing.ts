/** For tests of this room: a few middlewares with options of every kind. */
import { z } from "zod";
import { byteSize, oneOrMany } from "../base/option.ts";
import { type Catalog, catalogOf } from "./catalog.ts";

export const testCatalog: Catalog = catalogOf([
  {
    name: "body-limit",
    summary: "Refuses large content.",
    options: z.strictObject({ max: byteSize("Largest content.", "10MB") }),
  },
  {
    name: "headers",
    summary: "Changes fields.",
    options: z.strictObject({
      request: z
        .strictObject({ set: z.record(z.string(), z.string()).optional(), remove: oneOrMany(z.string()).optional() })
        .optional(),
    }),
  },
  {
    name: "rewrite",
    summary: "Changes the target.",
    options: z.strictObject({ stripPrefix: z.string().startsWith("/") }),
  },
  {
    name: "respond",
    summary: "Answers.",
    options: z.strictObject({ status: z.int().min(100).max(599).default(200), body: z.string().default("") }),
    responds: true,
  },
]);
