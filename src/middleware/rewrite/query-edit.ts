/** Edits of a query that leave the spelling of all other parameters alone. */
import type { Exchange } from "../../http/exchange.ts";
import type { Template } from "../../http/variable.ts";

export interface QueryEdits {
  /** Names; a trailing `*` stands for any rest. */
  readonly remove: readonly string[];
  readonly set: Readonly<Record<string, Template>>;
}

/** Makes the function that gives the new query, without "?", from the one of the exchange. */
export function compileQueryEdits(edits: QueryEdits): (exchange: Exchange) => string {
  const removed = new Set(edits.remove.filter((name) => !name.endsWith("*")));
  const removedPrefixes = edits.remove.filter((name) => name.endsWith("*")).map((name) => name.slice(0, -1));
  const set = Object.entries(edits.set);
  const setNames = new Set(set.map(([name]) => name));
  const goes = (name: string) =>
    removed.has(name) || setNames.has(name) || removedPrefixes.some((prefix) => name.startsWith(prefix));
  return (exchange) => {
    const { query } = exchange;
    const values = set.map(([name, value]) => pair(name, value(exchange)));
    const kept = query === "" ? [] : query.split("&").filter((part) => !goes(nameOf(part)));
    return [...kept, ...values].join("&");
  };
}

function nameOf(part: string): string {
  const equals = part.indexOf("=");
  const name = (equals < 0 ? part : part.slice(0, equals)).replaceAll("+", " ");
  return name.replace(/(?:%[0-9A-Fa-f]{2})+/g, (escapes) =>
    Buffer.from(escapes.replaceAll("%", ""), "hex").toString("utf8"),
  );
}

function pair(name: string, value: string): string {
  return `${encodeURIComponent(name)}=${encodeURIComponent(value.toWellFormed())}`;
}
