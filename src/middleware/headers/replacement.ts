/**
 * What takes the place of a match within a field value: text with variables, and with groups of the match as
 * `String.replace` has them. The groups are found when the config is read, so what variables bring in is only text,
 * whatever stands before it: of `${client.address}` the `$` and the address's first digit are no group.
 */
import { z } from "zod";
import type { Exchange } from "../../http/exchange.ts";
import { isFieldValue } from "../../http/grammar.ts";
import { compileTemplate } from "../../http/variable.ts";
import { fieldEscape, utf8Octets } from "../field-value.ts";

/** What `String.replace` tells of a match. */
export type Found = readonly unknown[];

export interface Replacement {
  /** @returns text with outer spaces: they may become inner ones */
  (found: Found, exchange: Exchange): string;
  /** Names of the variables in it, in order. */
  readonly variables: readonly string[];
}

type Piece = (found: Found, exchange: Exchange) => string;

/** Braces as templates know them, which may hold a `$`, or what stands for a part of the match. */
const TOKEN = /\{\{|\}\}|\{[^}]*\}|\$(?:[$&`']|\d{1,2}|<[^>{}]*>)/g;

/** @throws {TypeError} with the reason, if variables or octets in it are wrong */
export function compileReplacement(text: string): Replacement {
  if (!isFieldValue(utf8Octets(text)))
    throw new TypeError(`${JSON.stringify(text)} holds a line end or another control character`);
  const { variables } = compileTemplate(text);
  const pieces: Piece[] = [];
  let rest = 0;
  const addTemplate = (end: number) => {
    if (end === rest) return;
    const template = compileTemplate(utf8Octets(text.slice(rest, end)), fieldEscape);
    pieces.push((_found, exchange) => template(exchange));
  };
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (!token.startsWith("$")) continue;
    addTemplate(index);
    pieces.push(partOfMatch(token.slice(1)));
    rest = index + token.length;
  }
  addTemplate(text.length);
  const expand = (found: Found, exchange: Exchange) => pieces.reduce((all, piece) => all + piece(found, exchange), "");
  return Object.assign(expand, { variables });
}

/** @param name  what stands after the `$` */
function partOfMatch(name: string): Piece {
  if (name === "$") return () => "$";
  if (name.startsWith("<")) return namedGroup(name);
  if (/\d/.test(name)) return numberedGroup(name);
  return (found) => {
    const [at, whole] = found.slice(1 + groupsIn(found)) as [number, string];
    if (name === "`") return whole.slice(0, at);
    return name === "'" ? whole.slice(at + text(found, 0).length) : text(found, 0);
  };
}

/** Where the pattern has no named groups, `$<` is only text, and what follows may hold other groups. */
function namedGroup(name: string): Piece {
  const otherwise = compileReplacement(name.slice(1));
  return (found, exchange) => {
    const groups = found.at(-1);
    if (typeof groups !== "object" || groups === null) return `$<${otherwise(found, exchange)}`;
    return (groups as Readonly<Record<string, string | undefined>>)[name.slice(1, -1)] ?? "";
  };
}

/** `$12` is the first group and "2" where there are fewer than twelve, and only text where there is none. */
function numberedGroup(digits: string): Piece {
  return (found) => {
    const groups = groupsIn(found);
    for (let length = digits.length; length > 0; length--) {
      const group = Number(digits.slice(0, length));
      if (group >= 1 && group <= groups) return text(found, group) + digits.slice(length);
    }
    return `$${digits}`;
  };
}

/** Number of groups: all that stands between the match and its place, which is a number. */
const groupsIn = (found: Found): number => found.findIndex((one) => typeof one === "number") - 1;

/** A group that took no part is "". */
const text = (found: Found, group: number): string => (found[group] as string | undefined) ?? "";

/** A replacement as an option. */
export function replacementOption(doc: string) {
  return z
    .string()
    .meta({ description: doc, format: "template" })
    .transform((written, ctx) => {
      try {
        return compileReplacement(written);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        ctx.addIssue({ code: "custom", message, params: { code: "bad-field-value" } });
        return z.NEVER;
      }
    });
}
