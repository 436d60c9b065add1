/** `sites`, their `routes`, and the middlewares in `use`. */
import { z } from "zod";
import type { Catalog } from "../catalog.ts";
import { suggestion } from "../nearest.ts";
import { hosts, match } from "./match.ts";
import { label } from "./text.ts";
import { to } from "./upstream.ts";

export interface ParsedMiddleware {
  readonly name: string;
  readonly options: unknown;
}

/** What stands in `use`, before the catalog has a say. */
const middlewareEntry = z.unknown();

export const isMiddlewareEntry = (schema: z.core.$ZodType): boolean => schema === middlewareEntry;

/**
 * One entry of `use`: `{ name: options }`, or the bare name. Its options are read by the middleware's
 * own schema; their issues come out at their own place.
 */
export function middleware(catalog: Catalog) {
  return middlewareEntry.transform((value, ctx): ParsedMiddleware => {
    const refuse = (code: string, message: string, hint: string | null = null, path: string[] = []) => {
      ctx.addIssue({ code: "custom", message, path, params: { code, hint } });
      return z.NEVER;
    };
    const names = [...catalog.middlewares.keys()];
    const keys = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.keys(value) : null;
    if (typeof value !== "string" && (keys === null || keys.length === 0)) {
      return refuse(
        "bad-middleware",
        "this is not a middleware: write `name: { options }`, or the bare name",
        `middlewares: ${names.join(", ")}`,
      );
    }
    if (keys !== null && keys.length > 1) {
      return refuse(
        "bad-middleware",
        `one entry of "use" is one middleware, and this one has ${keys.length} keys: ${keys.join(", ")}`,
        "write each as an entry of its own",
        [keys[1]!],
      );
    }
    const name = typeof value === "string" ? value : keys![0]!;
    const definition = catalog.middlewares.get(name);
    if (definition === undefined) {
      return refuse(
        "unknown-middleware",
        `there is no middleware ${JSON.stringify(name)}`,
        suggestion(name, names, "middlewares"),
        keys === null ? [] : [name],
      );
    }
    const given = typeof value === "string" ? {} : ((value as Record<string, unknown>)[name] ?? {});
    const result = definition.options.safeParse(given);
    if (result.success) return { name, options: result.data };
    if (keys === null) {
      const missing = result.error.issues.flatMap(({ path }) => (path.length === 0 ? [] : [JSON.stringify(path[0])]));
      const needs = missing.length === 0 ? "options" : missing.join(", ");
      return refuse("missing-option", `middleware ${JSON.stringify(name)} needs ${needs}`, `write \`${name}: { … }\``);
    }
    for (const issue of result.error.issues) {
      ctx.issues.push({ ...issue, path: [name, ...issue.path], input: given, continue: false } as z.core.$ZodRawIssue);
    }
    return z.NEVER;
  });
}

export function sites(catalog: Catalog) {
  const use = z
    .array(middleware(catalog))
    .default([])
    .meta({ description: "Middlewares, in the order they see the request." });
  const route = z
    .strictObject({
      name: label("Name in logs and metrics. Default: the site's name and the route's number.").optional(),
      match: match.prefault({}),
      use,
      to: to.optional(),
    })
    .meta({ title: "Route", description: "What happens to the requests it matches." });
  const site = z
    .strictObject({
      name: label("Name in logs and metrics. Default: its first host.").optional(),
      hosts: hosts.optional(),
      listeners: z
        .array(z.string())
        .min(1)
        .optional()
        .meta({ description: "Names of the listeners it is reached by. Default: all." }),
      use,
      order: z
        .enum(["specific", "file"])
        .default("specific")
        .meta({ description: "In which order routes are tried: the most specific first, or as written." }),
      routes: z.array(route).default([]).meta({ description: "What it does with which requests." }),
      to: to.optional().meta({
        description:
          "Where requests go that no route takes: the name of an upstream, an address, or a list of addresses.",
      }),
    })
    .meta({ title: "Site", description: "What is served for some hosts." });
  return z.array(site).min(1).meta({ description: "What is served, by host." });
}

export type ParsedSite = z.output<ReturnType<typeof sites>>[number];
