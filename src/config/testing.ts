/** For tests of this room: a few of everything with options of every kind. */
import { z } from "zod";
import { byteSize, duration, oneOrMany } from "../base/option.ts";
import { variables } from "../http/variable-rules.ts";
import { type Catalog, catalogOf } from "./catalog.ts";

export const testCatalog: Catalog = catalogOf({
  middlewares: [
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
  ],
  balancers: [
    { name: "round-robin", summary: "In turn.", options: z.strictObject({}) },
    { name: "least-requests", summary: "The least busy.", options: z.strictObject({}) },
    {
      name: "hash",
      summary: "By a key.",
      options: z.strictObject({ key: z.string().includes("{"), load: z.number().min(1).default(1.25) }),
    },
  ],
  providers: [
    {
      name: "dns",
      summary: "Addresses of a name.",
      options: z.strictObject({ name: z.string(), port: z.int().min(1).max(65_535), least: duration("TTL.", "1s") }),
    },
    { name: "file", summary: "A file.", options: z.strictObject({ path: z.string() }) },
  ],
  checks: [
    {
      name: "http",
      summary: "Asks for a page.",
      options: z.strictObject({ path: z.string().startsWith("/").default("/"), body: z.string().optional() }),
    },
    { name: "tcp", summary: "Connects.", options: z.strictObject({}) },
  ],
  variables,
});
