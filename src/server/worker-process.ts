/**
 * The life of a worker process: told by the supervisor what to serve, serves it, drains when told
 * to or when the supervisor is gone, and leaves at the first fault it did not expect, because
 * nobody knows what state that left behind.
 */
import type { Log } from "../base/log.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { processFacts } from "../http/variable.ts";
import { libc } from "../net/libc.ts";
import { openZone } from "../state/zone.ts";
import { AccessLog } from "../telemetry/access-log.ts";
import { GatewayMetrics } from "../telemetry/metrics.ts";
import { processLog } from "../telemetry/process-log.ts";
import { startProcessSampling } from "../telemetry/process-sample.ts";
import { ExchangeRecorder } from "../telemetry/record.ts";
import type { FromWorker, ListenSocket, Start, ToWorker } from "./ipc.ts";

/** What serves the traffic of one process. */
export interface Gateway {
  start(): void | Promise<void>;
  /**
   * Stops accepting before it returns, and settles when the last exchange has ended or `graceMs`
   * have passed. The listening descriptors are closed by the caller.
   */
  drain(graceMs: number): Promise<void>;
}

export interface GatewayOptions {
  readonly config: GatewayConfig;
  /** Relative paths in the config start here. */
  readonly directory: string;
  /** Worker processes in all: limits over all workers are shared out among them. */
  readonly workers: number;
  readonly listeners: readonly ListenSocket[];
  readonly recorder: ExchangeRecorder;
  readonly metrics: GatewayMetrics;
  readonly log: Log;
}

/** What a worker is made of, so that tests can make one of less. */
export interface WorkerParts {
  /** @throws if it cannot be read: it was read before, so that is a fault */
  readConfig(start: Start): Promise<GatewayConfig>;
  createGateway(options: GatewayOptions): Gateway | Promise<Gateway>;
}

/** EX_SOFTWARE of sysexits(3). */
const EXIT_FAULT = 70;
const EXIT_FAILED_START = 78;

/** Runs until the process exits. */
export function runWorker(parts: WorkerParts): void {
  let log = processLog({ level: "info", format: "text" });
  const fault = (kind: string) => (error: unknown) => {
    log.error(kind, { error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    process.exit(EXIT_FAULT);
  };
  process.on("uncaughtException", fault("uncaught exception"));
  process.on("unhandledRejection", fault("unhandled rejection"));
  // They reach the whole process group; the supervisor says what to do about them.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

  let running: RunningWorker | null = null;
  const drain = () => {
    if (running === null) process.exit(0);
    void running.drain().then(() => process.exit(0));
  };
  process.on("SIGUSR1", () => running?.accessLog?.reopen());
  process.on("disconnect", () => {
    log.warn("the supervisor is gone: draining");
    drain();
  });
  process.on("message", async (message: ToWorker) => {
    if (message.kind === "drain") return drain();
    if (message.kind === "reopen") return running?.accessLog?.reopen();
    try {
      const config = await parts.readConfig(message);
      log = processLog(config.telemetry.log).with({ worker: message.slot });
      running = await startWorker(parts, message, config, log);
      tell({ kind: "ready" });
    } catch (error) {
      tell({ kind: "failed", reason: error instanceof Error ? error.message : String(error) });
      process.exit(EXIT_FAILED_START);
    }
  });
}

interface RunningWorker {
  readonly accessLog: AccessLog | null;
  drain(): Promise<void>;
}

async function startWorker(parts: WorkerParts, start: Start, config: GatewayConfig, log: Log): Promise<RunningWorker> {
  const { slot, slots, directory, listeners } = start;
  processFacts.worker = String(slot);
  const metrics = new GatewayMetrics(config);
  metrics.registry.attach(openZone(metrics.registry.shape(slots), start.zoneFd), slot);
  startProcessSampling(metrics);
  const accessLog = openAccessLog(config, directory, metrics, log);
  const recorder = new ExchangeRecorder(metrics, accessLog);
  const workers = slots - 1;
  const gateway = await parts.createGateway({ config, directory, workers, listeners, recorder, metrics, log });
  await gateway.start();
  let draining: Promise<void> | null = null;
  const drain = async () => {
    const drained = gateway.drain(config.timeouts.drain);
    // The supervisor closes its own: with the last one gone, clients are refused at once and go elsewhere.
    for (const fd of new Set(listeners.map((listener) => listener.fd))) libc.close(fd);
    await drained;
    await accessLog?.close();
  };
  return { accessLog, drain: () => (draining ??= drain()) };
}

function openAccessLog(config: GatewayConfig, directory: string, metrics: GatewayMetrics, log: Log): AccessLog | null {
  const { accessLog } = config.telemetry;
  if (accessLog === null) return null;
  const onDropped = (lines: number) => metrics.droppedLogLines.add(lines);
  return new AccessLog({ config: accessLog, directory, log, onDropped });
}

function tell(message: FromWorker): void {
  process.send?.(message);
}
