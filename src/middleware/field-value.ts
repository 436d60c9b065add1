/**
 * Field names and values from a config (RFC 9110 §5.1, §5.5).
 *
 * What is constant is checked once, when the config is read. What variables bring in at run time can
 * come from a client: octets that no field value may hold (CR, LF, NUL and the other controls)
 * become spaces, so that a value can never end its line (§5.5 names this way out). Text beyond
 * ASCII is written as UTF-8.
 */
import { z } from "zod";
import { trimOws } from "../http/field-section.ts";
import { isFieldValue, isToken } from "../http/grammar.ts";
import { compileTemplate, type EscapeFor, type Template } from "../http/variable.ts";

/** Fields that say where a message ends or what a connection does: only the engines write them. */
const FRAMING: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** May the config change this field? `host` counts as framing in a request: routing has used it. */
export function isEditable(name: string, side: "request" | "response"): boolean {
  const lower = name.toLowerCase();
  return !FRAMING.has(lower) && !(side === "request" && lower === "host");
}

interface NameProblem {
  readonly message: string;
  readonly hint: string | null;
}

/** Why the config may not write this field, or null. */
export function fieldNameProblem(name: string, side: "request" | "response"): NameProblem | null {
  if (!isToken(name)) return { message: `${JSON.stringify(name)} is not a field name`, hint: null };
  if (isEditable(name, side)) return null;
  const message = `the field "${name}" cannot be changed here: it belongs to the message's framing or connection`;
  if (name.toLowerCase() !== "host") return { message, hint: null };
  return {
    message: `the field "${name}" cannot be changed here: the origin server's Host is a property of the upstream`,
    hint: `write "host: endpoint" or "host: <name>" in the upstream`,
  };
}

/** Adds an issue for each name in `names` that may not be written. */
export function checkFieldNames(names: Iterable<string>, side: "request" | "response", ctx: z.RefinementCtx): void {
  for (const name of names) {
    const problem = fieldNameProblem(name, side);
    if (problem === null) continue;
    const { message, hint } = problem;
    ctx.addIssue({ code: "custom", message, path: [name], params: { code: "bad-field-name", hint } });
  }
}

/** Characters as octets of UTF-8, one octet per character: how field sections hold text. */
export function utf8Octets(text: string): string {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return Buffer.from(text, "utf8").toString("latin1");
  }
  return text;
}

const NOT_IN_A_VALUE = /[^\t\x20-\x7e\x80-\xff]/g;

/** `text` with a space for each octet that no field value may hold. */
export function withoutControls(text: string): string {
  return isFieldValue(text) ? text : text.replace(NOT_IN_A_VALUE, " ");
}

/** Variables whose value is read from a field: octets already. */
const OCTET_VARIABLE = /^(?:request|response)\.(?:field|cookie)\./;

/** Makes values of variables safe within a field value. */
export const fieldEscape: EscapeFor = (name) =>
  OCTET_VARIABLE.test(name) ? withoutControls : (value) => withoutControls(utf8Octets(value));

/** A compiled field value: its text without outer spaces. */
export function fieldTemplate(text: string): Template {
  const template = compileTemplate(utf8Octets(text), fieldEscape);
  const { constant, variables } = template;
  const trimmed = constant === null ? null : trimOws(constant);
  const read = trimmed === null ? (x: Parameters<Template>[0]) => trimOws(template(x)) : () => trimmed;
  return Object.assign(read, { constant: trimmed, variables });
}

/** A field value that may hold variables; gives a Template. Numbers and booleans count as their text. */
export function fieldValueOption(doc: string) {
  return z
    .union([z.string(), z.number(), z.boolean()])
    .meta({ description: doc, format: "template" })
    .transform((value, ctx) => {
      const text = String(value);
      try {
        if (!isFieldValue(utf8Octets(text)))
          throw new TypeError(`${JSON.stringify(text)} holds a line end or another control character`);
        return fieldTemplate(text);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        ctx.addIssue({ code: "custom", message, params: { code: "bad-field-value" } });
        return z.NEVER;
      }
    });
}

/** A field value without variables. */
export function constantValueOption(doc: string) {
  return z
    .string()
    .meta({ description: doc })
    .transform((text, ctx) => {
      const value = utf8Octets(text);
      if (isFieldValue(value)) return trimOws(value);
      ctx.addIssue({
        code: "custom",
        message: `${JSON.stringify(text)} holds a line end or another control character`,
        params: { code: "bad-field-value" },
      });
      return z.NEVER;
    });
}
