/** The program's own log, as the config wants it, on standard error. */
import { createLog, type Log } from "../base/log.ts";
import type { TelemetryConfig } from "../config/gateway-config.ts";

export function processLog({ level, format }: TelemetryConfig["log"]): Log {
  return createLog({ level, format, write: (line) => process.stderr.write(line) });
}
