/**
 * `rewrite` changes the request target that the origin server gets, and the path that everything
 * after it in `use` sees.
 *
 * It works on the path in normal form (http/target.ts), so no spelling of a path steps around it,
 * and writes what comes out percent-encoded. Where only a prefix goes, the rest keeps the client's
 * spelling (`/api/a%2Fb` → `/a%2Fb`). The order is `stripPrefix`, `replace`, `addPrefix`; `path`
 * stands alone. Prefixes count in whole segments: `/api` is none of `/apis`. A path that would hold
 * a dot segment afterwards is refused with 400: it could lead out of what the rule meant.
 * `OPTIONS *` and CONNECT have no path and pass by.
 *
 * RFC 3986 §3.3 (path), §6.2.2 (normal form).
 */
import { z } from "zod";
import { Failure } from "../../base/failure.ts";
import { defineMiddleware } from "../../http/define.ts";
import type { Exchange } from "../../http/exchange.ts";
import { encodePath, normalizePath, pathOf } from "../../http/target.ts";
import { templateOption } from "../../http/variable.ts";
import { regexOption } from "../regex.ts";
import { compileQueryEdits } from "./query-edit.ts";

const SLASH = 0x2f;

/** A path that begins with "/", without "/" at its end; "" for the root. */
const prefixOption = (doc: string) =>
  z
    .string()
    .meta({ description: doc, examples: ["/api"] })
    .transform((text, ctx) => {
      const problem = prefixProblem(text);
      if (problem === null) return text.replace(/\/$/, "");
      ctx.addIssue({ code: "custom", message: problem, params: { code: "bad-path" } });
      return z.NEVER;
    });

function prefixProblem(text: string): string | null {
  const shown = JSON.stringify(text);
  if (!text.startsWith("/")) return `${shown} is not a path: it must begin with "/"`;
  if (/[?#]/.test(text)) return `${shown} is not a path: it holds a query or a fragment`;
  if (/[;\\]|\/\/|\/\.\.?(?:\/|$)|%[0-9A-Fa-f]{2}/.test(text))
    return `${shown} is not a path in normal form: write it decoded, without "//", dot segments, ";" or "\\"`;
  return null;
}

const pathOption = templateOption("New path, in place of the whole old one. The query stays.");

const options = z
  .strictObject({
    stripPrefix: prefixOption("Taken off the front of the path, in whole segments.").optional(),
    replace: z
      .strictObject({
        pattern: regexOption("What to look for in the path, as a regular expression; every match is replaced.", "g"),
        with: z.string().meta({ description: "What to put in its place; `$1` and `$<name>` are its groups." }),
      })
      .optional()
      .meta({ description: "Changes the path where a regular expression matches." }),
    addPrefix: prefixOption("Put before the path.").optional(),
    path: pathOption.optional(),
    query: z
      .strictObject({
        set: z
          .record(z.string(), templateOption("Value, not yet encoded."))
          .default({})
          .meta({ description: "Parameters to set, in place of any of the same name." }),
        remove: z
          .array(z.string())
          .default([])
          .meta({ description: "Parameters to remove; `utm_*` removes all whose name begins so." }),
      })
      .optional()
      .meta({ description: "Changes parameters of the query." }),
  })
  .superRefine(({ path, stripPrefix, replace, addPrefix, query }, ctx) => {
    const refuse = (message: string, at: string[]) =>
      ctx.addIssue({ code: "custom", message, path: at, params: { code: "bad-rewrite" } });
    if (path === undefined) {
      if (stripPrefix === undefined && replace === undefined && addPrefix === undefined && query === undefined)
        refuse("rewrite changes nothing: give stripPrefix, replace, addPrefix, path or query", []);
      return;
    }
    if (stripPrefix !== undefined || replace !== undefined || addPrefix !== undefined)
      refuse("path replaces the whole path: leave out stripPrefix, replace and addPrefix", ["path"]);
    if (path.constant !== null && !path.constant.startsWith("/"))
      refuse(`${JSON.stringify(path.constant)} is not a path: it must begin with "/"`, ["path"]);
    if (path.constant?.includes("?")) refuse('a path holds no "?": use query.set for parameters', ["path"]);
  });

export const rewrite = defineMiddleware({
  name: "rewrite",
  summary: "Changes the path and the query that the origin server gets.",
  options,
  create({ stripPrefix = "", replace, addPrefix = "", path, query }) {
    const newQuery = query === undefined ? null : compileQueryEdits(query);
    return (next) => (exchange) => {
      if (exchange.request.target.charCodeAt(0) !== SLASH) return next(exchange);
      // Made first and set last: templates see the request as it came here.
      const query = newQuery === null ? null : newQuery(exchange);
      if (path !== undefined) setPath(exchange, path(exchange));
      if (stripPrefix !== "") strip(exchange, stripPrefix);
      if (replace !== undefined) {
        const changed = exchange.path.replace(replace.pattern, replace.with);
        if (changed !== exchange.path) setPath(exchange, changed);
      }
      if (addPrefix !== "") add(exchange, addPrefix);
      if (query !== null) setTarget(exchange, pathOf(exchange.request.target), query);
      return next(exchange);
    };
  },
});

function strip(exchange: Exchange, prefix: string): void {
  const { path } = exchange;
  if (!path.startsWith(prefix)) return;
  const rest = path.slice(prefix.length);
  if (rest === "") setTarget(exchange, "/", exchange.query, "/");
  else if (rest.charCodeAt(0) === SLASH)
    setTarget(exchange, rawRest(exchange, prefix, rest) ?? encodePath(rest), exchange.query, rest);
}

/** The client's own spelling of `rest`, if the prefix stands in the raw path as it is and what follows means the same. */
function rawRest(exchange: Exchange, prefix: string, rest: string): string | null {
  const raw = pathOf(exchange.request.target);
  if (raw === exchange.path) return rest;
  if (!raw.startsWith(prefix)) return null;
  const spelled = raw.slice(prefix.length);
  // A target that begins with "//" reads as an authority to some servers.
  if (!spelled.startsWith("/") || spelled.startsWith("//")) return null;
  try {
    return normalizePath(spelled) === rest ? spelled : null;
  } catch {
    return null; // Such as "/api/x/../../api/y": fine as a whole, above the root without its prefix.
  }
}

function add(exchange: Exchange, prefix: string): void {
  const { path, request } = exchange;
  setTarget(exchange, encodePath(prefix) + pathOf(request.target), exchange.query, prefix + path);
}

const DOT_SEGMENT = /(?:^|[/\\])\.\.?(?:[/\\]|$)/;

/** Takes a decoded path that may be anything, and brings it into normal form. */
function setPath(exchange: Exchange, path: string): void {
  if (DOT_SEGMENT.test(path))
    throw new Failure("request-malformed", `rewrite would make a path with a dot segment: ${path}`);
  const merged = `/${path.toWellFormed()}`.replace(/[/\\]+/g, "/");
  const raw = encodePath(merged);
  setTarget(exchange, raw, exchange.query, normalizePath(raw));
}

function setTarget(exchange: Exchange, rawPath: string, query: string, path = exchange.path): void {
  exchange.request.target = query === "" ? rawPath : `${rawPath}?${query}`;
  exchange.path = path;
}
