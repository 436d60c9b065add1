/**
 * The patterns a config holds for hosts and paths, in their tidy form. The router compiles them; what
 * it could not compile, or what could never match, is refused here with its place.
 */
import { domainToASCII } from "node:url";
import type { Reading } from "./address.ts";

/** True if the text is a regex: "~^api\\d+\\.". */
export const isRegex = (text: string): boolean => text.startsWith("~");

/**
 * The regex of a "~…" pattern. One function for all rooms, so that what `check` accepts is what runs.
 * @throws {SyntaxError} with the engine's reason
 */
export function compileRegex(text: string): RegExp {
  return new RegExp(text.slice(1), "u");
}

export function readRegex(text: string): Reading {
  if (text === "~") return { problem: '"~" is a regex without a pattern', code: "bad-regex" };
  try {
    compileRegex(text);
    return { text };
  } catch (thrown) {
    const reason =
      thrown instanceof Error ? thrown.message.replace(/^Invalid regular expression: /, "") : String(thrown);
    return { problem: `${JSON.stringify(text)} is not a regex: ${reason}`, code: "bad-regex" };
  }
}

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** "example.com", "*.example.com" (one label), ".example.com" (any depth below), "~regex", or "*". */
export function readHostPattern(text: string): Reading {
  if (isRegex(text)) return readRegex(text);
  const shown = JSON.stringify(text);
  if (text === "*") return { text };
  const scheme = /^[a-z]+:\/\/([^/:]*)/i.exec(text);
  if (scheme !== null)
    return { problem: `${shown} is not a host: it has a scheme`, hint: `write ${JSON.stringify(scheme[1])}` };
  if (/^\[[0-9a-fA-F:.]+\]$/.test(text)) return { text: text.toLowerCase() };
  if (text.includes("/"))
    return { problem: `${shown} is not a host: it has a path`, hint: 'paths go into a route\'s "match"' };
  if (text.includes(":")) {
    return {
      problem: `${shown} is not a host: a host has no port here`,
      hint: "the ports are those of the site's listeners",
    };
  }
  const lead = text.startsWith("*.") ? "*." : text.startsWith(".") ? "." : "";
  const name = text.slice(lead.length).replace(/\.$/, "");
  const ascii = /^[\x00-\x7f]*$/.test(name) ? name.toLowerCase() : domainToASCII(name);
  if (ascii.includes("*")) {
    return {
      problem: `${shown} is not a host pattern: "*" stands for the whole first label only`,
      hint: 'a regex such as "~^api\\\\d+\\\\." can say more',
    };
  }
  if (ascii === "" || ascii.length > 253 || !ascii.split(".").every((label) => LABEL.test(label))) {
    return { problem: `${shown} is not a host name` };
  }
  return { text: lead + ascii };
}

/** "/exact", "/prefix/*", "/users/:id" or "~regex", against the path in normal form. */
export function readPathPattern(text: string): Reading {
  if (isRegex(text)) return readRegex(text);
  const shown = JSON.stringify(text);
  if (!text.startsWith("/"))
    return {
      problem: `${shown} is not a path pattern: it begins with "/", or with "~" for a regex`,
      hint: `write ${JSON.stringify(`/${text}`)}`,
    };
  if (text.includes("?"))
    return { problem: `${shown} can never match: a path has no query`, hint: 'put it under "query"' };
  if (/%[0-9A-Fa-f]{2}/.test(text)) {
    return {
      problem: `${shown} can never match: paths are compared decoded`,
      hint: `write ${JSON.stringify(decoded(text))}`,
    };
  }
  const segments = text.slice(1).split("/");
  const empty = segments.findIndex(
    (segment, i) => segment === "." || segment === ".." || (segment === "" && i < segments.length - 1),
  );
  if (empty >= 0) return { problem: `${shown} can never match: paths are compared without "//" and dot segments` };
  if (text.includes(";") || text.includes("\\")) {
    return { problem: `${shown} can never match: paths are compared without ";params", with "\\" read as "/"` };
  }
  const star = segments.findIndex((segment) => segment.includes("*"));
  if (star >= 0 && (segments[star] !== "*" || star < segments.length - 1)) {
    return {
      problem: `${shown} is not a path pattern: "*" stands only at the end, after a "/"`,
      hint: "a regex (~…) can say more",
    };
  }
  const seen = new Set<string>();
  for (const segment of segments) {
    if (!segment.startsWith(":")) continue;
    const name = segment.slice(1);
    if (!/^[A-Za-z_]\w*$/.test(name))
      return {
        problem: `${shown} is not a path pattern: ${JSON.stringify(segment)} has no proper name`,
        hint: "write letters, digits and _ after the colon",
      };
    if (seen.has(name)) return { problem: `${shown} names ${JSON.stringify(segment)} twice` };
    seen.add(name);
  }
  return { text };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
