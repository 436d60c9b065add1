/** The program's own log (not the access log): one line per event on standard error. */

export type Level = "debug" | "info" | "warn" | "error";

export interface Log {
  debug(message: string, facts?: Facts): void;
  info(message: string, facts?: Facts): void;
  warn(message: string, facts?: Facts): void;
  error(message: string, facts?: Facts): void;
  /** A log whose lines carry these facts too. */
  with(facts: Facts): Log;
}

export type Facts = Readonly<Record<string, string | number | boolean | null | undefined>>;

const ORDER: Readonly<Record<Level, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

export interface LogOptions {
  readonly level: Level;
  /** "text" for people, "json" for machines. */
  readonly format: "text" | "json";
  readonly write: (line: string) => void;
}

export function createLog(options: LogOptions, facts: Facts = {}): Log {
  const at = (level: Level) => (message: string, more?: Facts) => {
    if (ORDER[level] < ORDER[options.level]) return;
    options.write(
      options.format === "json"
        ? json(level, message, { ...facts, ...more })
        : text(level, message, { ...facts, ...more }),
    );
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    with: (more) => createLog(options, { ...facts, ...more }),
  };
}

/** A log that says nothing; for tests. */
export const SILENT: Log = createLog({ level: "error", format: "text", write: () => {} });

function json(level: Level, message: string, facts: Facts): string {
  return `${JSON.stringify({ time: new Date().toISOString(), level, message, ...facts })}\n`;
}

function text(level: Level, message: string, facts: Facts): string {
  let line = `${new Date().toISOString()} ${level.padEnd(5)} ${message}`;
  for (const [name, value] of Object.entries(facts)) {
    if (value === undefined) continue;
    const shown = typeof value === "string" && /[\s"=]/.test(value) ? JSON.stringify(value) : String(value);
    line += ` ${name}=${shown}`;
  }
  return `${line.replaceAll("\n", " ")}\n`;
}
