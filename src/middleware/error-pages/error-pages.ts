/**
 * `error-pages` answers failures with pages of your own.
 *
 * It takes what the gateway itself made: a failure thrown on the way (no endpoint, a timeout, a
 * missing file …) and an error without content from a middleware further in (405 of `files`, a bare
 * `respond`). With `intercept` it replaces error responses of the origin server too; their fields
 * stay, save those that describe the old content. The failure stays on the exchange, so that log
 * and metrics say what it was. 499 is never answered: nobody is there to read it.
 *
 * Pages are templates, read when the route is built; by their type, what variables bring in is
 * escaped as HTML, XML or JSON text. With `problem`, a client that prefers JSON gets problem details.
 *
 * RFC 9110 §15.5, §15.6 (error status codes), RFC 9457 (problem details).
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { Failure } from "../../base/failure.ts";
import { defineMiddleware } from "../../http/define.ts";
import { failureResponse } from "../../http/error-response.ts";
import type { Exchange } from "../../http/exchange.ts";
import type { HttpResponse } from "../../http/message.ts";
import { compileTemplate, type Template } from "../../http/variable.ts";
import { answer, dropContent } from "../answer.ts";
import { contentEscape } from "../escape.ts";
import { constantValueOption } from "../field-value.ts";
import { prefersJson, problemDetails } from "./problem.ts";
import { page, type StatusPattern, statusPattern, statusPatternText } from "./status-pattern.ts";

const contentType = constantValueOption("Content-Type of the page.");

const options = z
  .strictObject({
    pages: z
      .record(z.string(), page(contentType))
      .superRefine((pages, ctx) => {
        for (const name of Object.keys(pages)) {
          if (statusPattern(name) !== null) continue;
          const message = `${JSON.stringify(name)} is not an error status: write one such as "404", or "4xx" or "5xx" for a class`;
          ctx.addIssue({ code: "custom", message, path: [name], params: { code: "bad-status" } });
        }
      })
      .default({})
      .meta({
        description: 'Pages by status ("404") or class ("5xx"); the more precise one wins. Text is the page itself.',
      }),
    contentType: contentType.prefault("text/html; charset=utf-8"),
    intercept: z
      .union([z.boolean(), z.array(statusPatternText)])
      .default(false)
      .meta({ description: "Replace errors of the origin server too: all that have a page, or those of this list." }),
    problem: z
      .boolean()
      .default(false)
      .meta({ description: "Answer clients that prefer JSON with problem details (RFC 9457), whatever the status." }),
  })
  .refine(({ pages, problem }) => problem || Object.keys(pages).length > 0, {
    message: "error-pages has no page: give pages, or problem: true",
  });

/** A page ready to be written. */
interface Page {
  readonly contentType: string;
  readonly template: Template;
}

export const errorPages = defineMiddleware({
  name: "error-pages",
  summary: "Answers failures with pages of your own.",
  options,
  create({ pages, contentType, intercept, problem }, { directory, log }) {
    const entries = Object.entries(pages).map(([name, { body, file, contentType: own }]) => {
      const type = own ?? contentType;
      return { pattern: statusPattern(name)!, page: compilePage(body ?? readPage(directory, file!), type) };
    });
    const table = tableOf(entries.map(({ pattern, page }) => ({ pattern, value: page })));
    const intercepted = Array.isArray(intercept)
      ? tableOf(intercept.map((text) => ({ pattern: statusPattern(text)!, value: true })))
      : null;

    /** The same response with our content in it, or null if there is none for its status. */
    const dress = (exchange: Exchange, response: HttpResponse): HttpResponse | null => {
      const page = table[response.status];
      const asProblem = problem && prefersJson(exchange.request.fields, page === undefined);
      if (page === undefined && !asProblem) return null;
      const { status, fields } = response;
      for (const name of DESCRIBE_CONTENT) fields.delete(name);
      if (problem) fields.append("vary", "accept");
      fields.append("content-type", asProblem ? "application/problem+json" : page!.contentType);
      const content = asProblem ? problemDetails(exchange, status) : render(page!, exchange, response);
      const dressed = answer(exchange, status, fields, Buffer.from(content));
      dropContent(response.body);
      return dressed;
    };

    const wants = (exchange: Exchange, response: HttpResponse): boolean => {
      if (response.status < 400 || response.tunnel !== null) return false;
      // Without an attempt at an endpoint, the gateway made it; one with content was made so on purpose.
      if (exchange.attempts === null || exchange.attempts.length === 0) return response.body.length === 0;
      return intercepted === null ? intercept === true : intercepted[response.status] === true;
    };

    return (next) => async (exchange) => {
      let response: HttpResponse;
      try {
        response = await next(exchange);
      } catch (thrown) {
        const failure = Failure.from(thrown);
        // Whoever went away gets no answer, whatever was thrown because of it.
        if (failure.status === CLIENT_GONE || exchange.failure?.status === CLIENT_GONE) throw thrown;
        const before = exchange.failure;
        exchange.failure ??= failure; // For the log, and for the page's own `{outcome.code}`.
        const dressed = dress(exchange, failureResponse(failure));
        if (dressed === null) {
          exchange.failure = before;
          throw thrown;
        }
        if (failure.code === "internal") log.error("a fault in an exchange", { error: failure.message });
        return dressed;
      }
      return wants(exchange, response) ? (dress(exchange, response) ?? response) : response;
    };
  },
});

const CLIENT_GONE = 499;

/** What would be wrong of other content (RFC 9110 §8). */
const DESCRIBE_CONTENT = [
  "content-type",
  "content-length",
  "content-encoding",
  "content-language",
  "content-location",
  "content-md5",
  "content-digest",
  "content-disposition",
  "repr-digest",
  "digest",
  "etag",
  "last-modified",
  "accept-ranges",
] as const;

function compilePage(text: string, contentType: string): Page {
  return { contentType, template: compileTemplate(text, contentEscape(contentType)) };
}

function readPage(directory: string, file: string): string {
  const path = resolve(directory, file);
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`the error page ${path} cannot be read: ${reason}`, { cause });
  }
}

/** By status; exact patterns over classes. */
function tableOf<T>(entries: readonly { readonly pattern: StatusPattern; readonly value: T }[]): (T | undefined)[] {
  const table: (T | undefined)[] = [];
  const width = ({ from, to }: StatusPattern) => to - from;
  for (const { pattern, value } of entries.toSorted((a, b) => width(b.pattern) - width(a.pattern)))
    for (let status = pattern.from; status <= pattern.to; status++) table[status] = value;
  return table;
}

/** `{response.status}` and its kind read the response that the page is for. */
function render({ template }: Page, exchange: Exchange, response: HttpResponse): string {
  const before = exchange.response;
  exchange.response = response;
  try {
    return template(exchange);
  } finally {
    exchange.response = before;
  }
}
