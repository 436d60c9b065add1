/**
 * A config's plain tree as YAML: stable, one thing per line, so that versions can be compared, and
 * readable as a config again (`lintel config show 3 > lintel.yaml`).
 */

/** What needs no quotes: no YAML reader takes it for anything but text. */
const PLAIN = /^[A-Za-z/][A-Za-z0-9_/.-]*$/;
const RESERVED = /^(?:true|false|null|yes|no|on|off|y|n)$/i;

/** Maps that fit on a line of this length, and have no further maps or lists in them, are written in one. */
const FLOW_WIDTH = 100;

export function renderTree(tree: unknown): string {
  const text = block(tree, "");
  return isBlock(tree) ? `${text}\n` : `${text.trimStart()}\n`;
}

/** The value after its key or dash, with what separates it from that. */
function block(value: unknown, indent: string): string {
  if (Array.isArray(value)) {
    if (value.length === 0) return " []";
    const flow = flowOf(value, indent);
    if (flow !== null) return ` ${flow}`;
    return value.map((item) => `${lineStart(indent)}-${afterDash(item, indent)}`).join("\n");
  }
  if (isMap(value)) {
    const entries = Object.entries(value).filter(([, one]) => one !== undefined);
    if (entries.length === 0) return " {}";
    return entries.map(([key, one]) => `${lineStart(indent)}${scalar(key)}:${afterKey(one, indent)}`).join("\n");
  }
  return ` ${scalar(value)}`;
}

function afterKey(value: unknown, indent: string): string {
  return isBlock(value) && flowOf(value, indent) === null ? `\n${block(value, `${indent}  `)}` : inline(value, indent);
}

/** A map in a list begins on the line of its dash. */
function afterDash(value: unknown, indent: string): string {
  if (!isBlock(value) || flowOf(value, indent) !== null) return inline(value, indent);
  const inner = block(value, `${indent}  `);
  return ` ${inner.slice(indent.length + 2)}`;
}

const inline = (value: unknown, indent: string): string => {
  const flow = flowOf(value, indent);
  return flow === null ? block(value, indent) : ` ${flow}`;
};

/** `{ a: 1, b: x }` or `[1, 2]`, if it is short and flat. */
function flowOf(value: unknown, indent: string): string | null {
  let text: string;
  if (Array.isArray(value)) {
    if (value.length === 0 || value.some(isBlock)) return null;
    text = `[${value.map(scalar).join(", ")}]`;
  } else if (isMap(value)) {
    const entries = Object.entries(value).filter(([, one]) => one !== undefined);
    if (indent === "" || entries.length === 0 || entries.some(([, one]) => isBlock(one))) return null;
    text = `{ ${entries.map(([key, one]) => `${scalar(key)}: ${scalar(one)}`).join(", ")} }`;
  } else return null;
  return text.length + indent.length > FLOW_WIDTH ? null : text;
}

const lineStart = (indent: string): string => indent;

function scalar(value: unknown): string {
  if (typeof value === "number") return value === Infinity ? ".inf" : value === -Infinity ? "-.inf" : String(value);
  if (typeof value !== "string") return JSON.stringify(value ?? null);
  // A plain `${` would be taken for a variable.
  const text = value.replaceAll("${", () => "$${");
  return PLAIN.test(text) && !RESERVED.test(text) ? text : JSON.stringify(text);
}

const isMap = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/** Something with parts. */
const isBlock = (value: unknown): boolean => isMap(value) && Object.keys(value).length > 0;
