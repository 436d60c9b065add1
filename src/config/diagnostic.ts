/**
 * A problem in a config: where, what was found, what was wanted, the way out. Problems are gathered,
 * never thrown, so that one run shows all of them.
 */
import type { Span } from "./source.ts";

export interface Diagnostic {
  readonly file: string;
  /** From 1; null where the config has no text: then `path` says where. */
  readonly line: number | null;
  readonly column: number | null;
  /** Characters to underline, at least 1. */
  readonly length: number;
  readonly severity: "error" | "warning";
  /** kebab-case, stable: scripts may rely on it. */
  readonly code: string;
  readonly message: string;
  /** The way out, if there is an obvious one. */
  readonly hint: string | null;
  /** Such as "sites[0].routes[1].to"; "" for the whole config. */
  readonly path: string;
  /** The line's text. */
  readonly excerpt: string | null;
}

export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | null | undefined;
  /** Default "error". */
  readonly severity?: Diagnostic["severity"];
}

/** A problem at its place. */
export function diagnose(span: Span, problem: Problem): Diagnostic {
  const { source, start, end, exact } = span.placed();
  const place = source.text === null ? null : source.place(start);
  const excerpt = place === null ? null : source.line(place.line);
  const room = excerpt === null ? 1 : excerpt.length - place!.column + 1;
  return {
    file: source.file,
    line: place?.line ?? null,
    column: place?.column ?? null,
    length: Math.max(1, Math.min(end - start, room)),
    severity: problem.severity ?? "error",
    code: problem.code,
    message: exact || span.path === "" ? problem.message : `${problem.message} (${span.path})`,
    hint: problem.hint ?? null,
    path: span.path,
    excerpt,
  };
}

/** By file in the order given, then by place; what says the same at the same place is said once. */
export function sortDiagnostics(diagnostics: readonly Diagnostic[], files: readonly string[]): Diagnostic[] {
  const ranks = new Map(files.map((file, i) => [file, i]));
  const rank = (file: string) => ranks.get(file) ?? files.length;
  const sorted = [...diagnostics].sort(
    (a, b) =>
      rank(a.file) - rank(b.file) ||
      (a.line ?? 0) - (b.line ?? 0) ||
      (a.column ?? 0) - (b.column ?? 0) ||
      (a.line === null ? a.path.localeCompare(b.path, "en", { numeric: true }) : 0),
  );
  const seen = new Set<string>();
  return sorted.filter((diagnostic) => {
    const said = oneLine(diagnostic);
    if (seen.has(said)) return false;
    seen.add(said);
    return true;
  });
}

export const hasErrors = (diagnostics: readonly Diagnostic[]): boolean =>
  diagnostics.some((diagnostic) => diagnostic.severity === "error");

/** One line for editors and scripts: `file:line:column: error[code]: message (hint)`. */
export function oneLine(diagnostic: Diagnostic): string {
  const hint = diagnostic.hint === null ? "" : ` (${diagnostic.hint})`;
  return `${where(diagnostic)}: ${diagnostic.severity}[${diagnostic.code}]: ${diagnostic.message}${hint}`;
}

/** Colours for the parts of a rendered diagnostic. */
export interface Paint {
  error(text: string): string;
  warning(text: string): string;
  strong(text: string): string;
  faint(text: string): string;
}

const same = (text: string) => text;
const NO_PAINT: Paint = { error: same, warning: same, strong: same, faint: same };

/** With the line and a caret under the place; ends with a line end. */
export function render(diagnostic: Diagnostic, paint: Paint = NO_PAINT): string {
  const loud = paint[diagnostic.severity];
  const head = `${where(diagnostic)}: ${loud(`${diagnostic.severity}[${diagnostic.code}]`)}: ${paint.strong(diagnostic.message)}\n`;
  const hint = diagnostic.hint === null ? "" : `${paint.faint("      = ")}${diagnostic.hint}\n`;
  if (diagnostic.line === null || diagnostic.column === null || diagnostic.excerpt === null) return head + hint;
  const { text, column } = crop(diagnostic.excerpt, diagnostic.column);
  const pad = text.slice(0, column - 1).replace(/[^\t]/g, " ");
  const length = Math.max(1, Math.min(diagnostic.length, text.length - column + 1));
  return (
    head +
    `${paint.faint(`${String(diagnostic.line).padStart(5)} | `)}${text}\n` +
    `${paint.faint("      | ")}${pad}${loud("^".repeat(length))}\n` +
    hint
  );
}

/** All of them, with an empty line between, and a closing count. "" if there are none. */
export function renderAll(diagnostics: readonly Diagnostic[], paint: Paint = NO_PAINT): string {
  if (diagnostics.length === 0) return "";
  const errors = diagnostics.filter((diagnostic) => diagnostic.severity === "error").length;
  const counts = [count(errors, "error"), count(diagnostics.length - errors, "warning")].filter((text) => text !== "");
  return `${diagnostics.map((diagnostic) => render(diagnostic, paint)).join("\n")}\n${counts.join(", ")}\n`;
}

function count(number: number, noun: string): string {
  return number === 0 ? "" : `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function where(diagnostic: Diagnostic): string {
  if (diagnostic.line !== null) return `${diagnostic.file}:${diagnostic.line}:${diagnostic.column}`;
  return diagnostic.path === "" ? diagnostic.file : `${diagnostic.file}: ${diagnostic.path}`;
}

const WIDEST = 160;

/** A window of a very long line (minified JSON) around the place. */
function crop(text: string, column: number): { text: string; column: number } {
  if (text.length <= WIDEST) return { text, column };
  const start = Math.max(0, column - 1 - WIDEST / 2);
  const window = text.slice(start, start + WIDEST);
  const before = start > 0 ? "… " : "";
  return {
    text: `${before}${window}${start + WIDEST < text.length ? " …" : ""}`,
    column: column - start + before.length,
  };
}
