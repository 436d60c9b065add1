/**
 * The access log: one line per finished exchange, in a format and to an output of the config's
 * choice. Recording builds one string; everything else happens off the traffic's path.
 */
import { resolve } from "node:path";
import type { Log } from "../base/log.ts";
import type { AccessLogConfig } from "../config/gateway-config.ts";
import type { Exchange } from "../http/exchange.ts";
import { compileTemplate } from "../http/variable.ts";
import { combinedLine } from "./formats/combined.ts";
import { escapeControls } from "./formats/escape.ts";
import { jsonLine } from "./formats/json.ts";
import { Batch } from "./sinks/batch.ts";
import { openFile, openStdout } from "./sinks/output.ts";

/** A line for an exchange, without the line feed. */
export type LineFormat = (exchange: Exchange) => string;

export interface AccessLogOptions {
  readonly config: AccessLogConfig;
  /** Relative paths start here. */
  readonly directory: string;
  readonly log: Log;
  onDropped(lines: number): void;
}

export class AccessLog {
  readonly #format: LineFormat;
  readonly #batch: Batch;

  /** @throws if the file cannot be opened, or if the template names an unknown variable */
  constructor({ config, directory, log, onDropped }: AccessLogOptions) {
    const path = accessLogPath(config, directory);
    this.#format = lineFormat(config.format);
    this.#batch = new Batch(path === null ? openStdout() : openFile(path), {
      buffer: config.buffer,
      flushMs: config.flush,
      maxPending: config.maxPending,
      name: `access log ${path ?? "stdout"}`,
      log,
      onDropped,
    });
  }

  record(exchange: Exchange): void {
    this.#batch.add(this.#format(exchange));
  }

  /** After the file was moved away. */
  reopen(): void {
    this.#batch.reopen();
  }

  /** Writes what waits. */
  close(): Promise<void> {
    return this.#batch.close();
  }
}

/** @returns null for standard output */
export function accessLogPath(config: AccessLogConfig, directory: string): string | null {
  return config.output === "stdout" ? null : resolve(directory, config.output);
}

/** @param format "json", "combined" or a template with {variables} */
export function lineFormat(format: string): LineFormat {
  if (format === "json") return jsonLine;
  if (format === "combined") return combinedLine;
  const template = compileTemplate(format);
  return (exchange) => escapeControls(template(exchange));
}
