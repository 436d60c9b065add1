/**
 * The life of a worker process: told by the supervisor what to serve, serves it, drains when told
 * to or when the supervisor is gone, and leaves at the first fault it did not expect, because
 * nobody knows what state that left behind.
 */
import type { Log } from "../base/log.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { processFacts } from "../http/variable.ts";
import { DescriptorChannel } from "../net/descriptor-channel.ts";
import { libc } from "../net/libc.ts";
import { Slices } from "../net/slices.ts";
import { Told } from "../state/placement.ts";
import { openZone, type Zone } from "../state/zone.ts";
import { AccessLog } from "../telemetry/access-log.ts";
import { ClientWatch } from "../telemetry/client-watch.ts";
import { GatewayMetrics } from "../telemetry/metrics.ts";
import { processLog } from "../telemetry/process-log.ts";
import { startProcessSampling } from "../telemetry/process-sample.ts";
import { ExchangeRecorder } from "../telemetry/record.ts";
import type { TlsMaterial } from "../tls/tls-material.ts";
import type { EndpointSet } from "../upstream/endpoint-spec.ts";
import type { GatewayFacts, GatewayOptions, GatewaySocket, PreparedGateway } from "./gateway.ts";
import type { FromWorker, Prepare, ServeFacts, Start, ToWorker } from "./ipc.ts";
import { type MaterialParcel, MaterialReceiver } from "./material-parcel.ts";
import { watchParent } from "./parent.ts";

/** What serves the traffic of one process. */
export interface WorkerGateway {
  /** @throws {Error} if it cannot be built; what serves is untouched */
  prepare(facts: GatewayFacts): Promise<PreparedGateway>;
  change(set: EndpointSet): Promise<void>;
  useMaterial(material: TlsMaterial): void;
  certificateAnswered(name: string): void;
  /** Stops accepting before it returns, and settles when the last exchange has ended or `graceMs` have passed. */
  drain(graceMs: number, gentle: boolean): Promise<void>;
}

/** What a worker is made of, so that tests can make one of less. */
export interface WorkerParts {
  /** @param before what is served @throws if it cannot be read: it was read before, so that is a fault */
  readConfig(facts: ServeFacts, before: GatewayConfig | null): Promise<GatewayConfig>;
  createGateway(options: GatewayOptions): WorkerGateway;
}

/** EX_SOFTWARE of sysexits(3). */
const EXIT_FAULT = 70;
const EXIT_FAILED_START = 78;

/** Runs until the process exits. */
export function runWorker(parts: WorkerParts): void {
  const state: { log: Log; worker: Worker | null; changes: ((worker: Worker) => void)[] } = {
    log: processLog({ level: "info", format: "text" }),
    worker: null,
    // What the start was told before has changed while it was under way.
    changes: [],
  };
  const change = (make: (worker: Worker) => void) => {
    if (state.worker === null) state.changes.push(make);
    else make(state.worker);
  };
  const fault = (kind: string) => (error: unknown) => {
    state.log.error(kind, { error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    process.exit(EXIT_FAULT);
  };
  process.on("uncaughtException", fault("uncaught exception"));
  process.on("unhandledRejection", fault("unhandled rejection"));
  let handedOver = false;
  const drain = (gentle: boolean) => {
    if (state.worker === null) process.exit(0);
    void state.worker.drain(gentle).then(() => process.exit(0));
  };
  // They reach the whole process group; the supervisor says what to do about them. A successor of the
  // supervisor has no other way to say it.
  let terms = 0;
  process.on("SIGTERM", () => {
    if (handedOver) drain(++terms === 1);
  });
  for (const signal of ["SIGINT", "SIGHUP", "SIGUSR2"] as const) process.on(signal, () => {});
  // A start may have opened the file before it was moved away.
  const reopen = () => change((worker) => worker.reopen());
  process.on("SIGUSR1", reopen);
  process.on("disconnect", () => {
    if (handedOver) return;
    state.log.warn("the supervisor is gone: draining");
    drain(false);
  });
  process.on("message", async (message: ToWorker) => {
    switch (message.kind) {
      case "start":
        state.worker = await start(parts, message, (log) => {
          state.log = log;
        });
        for (const make of state.changes.splice(0)) if (state.worker !== null) make(state.worker);
        return;
      case "prepare":
        return state.worker?.prepare(message);
      case "commit":
        return state.worker?.commit(message.generation);
      case "abort":
        return state.worker?.abort(message.generation);
      case "endpoints":
        return change((worker) => void worker.change(message.set));
      case "material":
        return change((worker) => worker.useMaterial(message.material, message.version));
      case "certificate-answered":
        return state.worker?.certificateAnswered(message.name);
      case "drain":
        return drain(message.gentle);
      case "reopen":
        return reopen();
      case "watch-clients":
        return state.worker?.watchClients(message.forMs);
      case "handover":
        handedOver = true;
        tell({ kind: "handed-over" });
        watchParent(message.supervisor, () => {
          state.log.warn("the supervisor's successor is gone: draining");
          drain(false);
        });
    }
  });
}

async function start(parts: WorkerParts, message: Start, setLog: (log: Log) => void): Promise<Worker | null> {
  try {
    const config = await parts.readConfig(message, null);
    const log = processLog(config.telemetry.log).with({ worker: message.slot });
    setLog(log);
    const worker = new Worker(parts, message, config, log);
    await worker.serve(message, config);
    tell({ kind: "material-in-use", version: message.version });
    tell({ kind: "ready" });
    return worker;
  } catch (error) {
    tell({ kind: "failed", reason: messageOf(error) });
    process.exit(EXIT_FAILED_START);
  }
}

/** What is counted and logged of exchanges under one config. */
interface Telemetry {
  readonly metrics: GatewayMetrics;
  readonly accessLog: AccessLog | null;
}

interface Pending {
  readonly prepared: PreparedGateway;
  readonly telemetry: Telemetry;
  readonly config: GatewayConfig;
  readonly sockets: readonly GatewaySocket[];
}

class Worker {
  readonly #parts: WorkerParts;
  readonly #zone: Zone;
  readonly #slot: number;
  readonly #channel: DescriptorChannel;
  readonly #log: Log;
  readonly #recorder: ExchangeRecorder;
  readonly #gateway: WorkerGateway;
  readonly #materials: MaterialReceiver;
  #config: GatewayConfig;
  /** Of the config. */
  #generation: number;
  #telemetry: Telemetry;
  /** Also those of configs that are not in force yet. */
  readonly #accessLogs = new Set<AccessLog>();
  /** Descriptors by id of the socket. */
  #sockets = new Map<number, number>();
  readonly #pending = new Map<number, Pending>();
  /** Generations that were called off while they were built. */
  readonly #aborted = new Set<number>();
  readonly #clients = new ClientWatch((overMs, counts) => tell({ kind: "clients", overMs, counts }));
  #stopSampling: () => void;
  #drained: Promise<void> | null = null;
  /** The drain is not a gentle one, or not any more. */
  #hurried = false;

  constructor(
    parts: WorkerParts,
    { slot, slots, servesQuic, zoneFd, channelFd, ...facts }: Start,
    config: GatewayConfig,
    log: Log,
  ) {
    processFacts.worker = String(slot);
    this.#parts = parts;
    this.#zone = openZone(zoneFd);
    this.#slot = slot;
    this.#channel = new DescriptorChannel(channelFd);
    this.#log = log;
    this.#config = config;
    this.#generation = facts.generation;
    this.#telemetry = this.#openTelemetry(
      facts,
      config,
      null,
      GatewayMetrics.of(config, new Told(facts.places), { isShown: false }),
    );
    this.#recorder = new ExchangeRecorder(this.#telemetry.metrics, this.#telemetry.accessLog);
    this.#recorder.clients = this.#clients;
    this.#stopSampling = startProcessSampling(this.#telemetry.metrics);
    const recorder = this.#recorder;
    this.#materials = new MaterialReceiver(facts.material);
    this.#gateway = parts.createGateway({
      zone: this.#zone,
      slot,
      workers: slots - 2,
      servesQuic,
      recorder,
      log,
      askForCertificate: (name) => tell({ kind: "certificate-wanted", name }),
    });
  }

  /** The first config. */
  async serve({ directory, sets, material, quic, listeners }: Start, config: GatewayConfig): Promise<void> {
    const { metrics } = this.#telemetry;
    const prepared = await this.#gateway.prepare({
      config,
      directory,
      metrics,
      sets,
      material,
      quic,
      sockets: listeners,
    });
    this.#sockets = new Map(listeners.map(({ id, fd }) => [id, fd]));
    prepared.commit();
  }

  async prepare(message: Prepare): Promise<void> {
    const { generation } = message;
    try {
      const received = new Map(this.#channel.receive().map(({ id, fd }) => [id, fd]));
      const pending = await this.#build(message, received);
      this.#pending.set(generation, pending);
      if (this.#aborted.delete(generation)) return this.abort(generation);
      tell({ kind: "prepared", generation });
    } catch (error) {
      this.#aborted.delete(generation);
      tell({ kind: "refused", generation, reason: messageOf(error) });
    }
  }

  /** @param received descriptors by id of the socket; they are closed if it cannot be built */
  async #build(message: Prepare, received: ReadonlyMap<number, number>): Promise<Pending> {
    const sockets = message.listeners.map((one) => ({ ...one, fd: received.get(one.id) ?? null }));
    let telemetry: Telemetry | null = null;
    let handedOn = false;
    try {
      const lost = sockets.find(({ id, fd }) => fd === null && !this.#sockets.has(id));
      if (lost !== undefined) throw new Error(`no descriptor came for listener ${lost.name}`);
      if (message.base !== this.#generation)
        throw new Error(`it serves config ${this.#generation}, not ${message.base}`);
      // At once: it is packed for what is in force now.
      const material = this.#materials.prepare(message.material);
      const config = await this.#parts.readConfig(message, this.#config);
      const metrics = await new Slices().run(
        GatewayMetrics.build(config, new Told(message.places), { isShown: false, before: this.#telemetry.metrics }),
      );
      telemetry = this.#openTelemetry(message, config, this.#telemetry, metrics);
      const { directory, sets, quic } = message;
      handedOn = true;
      const { metrics: counted } = telemetry;
      const facts = { config, directory, metrics: counted, sets, material, quic, sockets };
      const prepared = await this.#gateway.prepare(facts);
      return { prepared, telemetry, config, sockets };
    } catch (error) {
      if (!handedOn) for (const fd of received.values()) libc.close(fd);
      if (telemetry !== null) this.#closeLog(telemetry, this.#telemetry);
      throw error;
    }
  }

  commit(generation: number): void {
    const pending = this.#pending.get(generation);
    if (pending === undefined) return;
    this.#pending.delete(generation);
    const before = this.#telemetry;
    const { telemetry, config, sockets, prepared } = pending;
    prepared.commit();
    this.#materials.commit();
    this.#recorder.use(telemetry.metrics, telemetry.accessLog);
    this.#stopSampling();
    this.#stopSampling = startProcessSampling(telemetry.metrics);
    this.#closeLog(before, telemetry);
    this.#telemetry = telemetry;
    this.#config = config;
    this.#generation = generation;
    this.#sockets = new Map(sockets.map(({ id, fd }) => [id, fd ?? this.#sockets.get(id)!]));
    tell({ kind: "committed", generation });
  }

  abort(generation: number): void {
    const pending = this.#pending.get(generation);
    if (pending === undefined) {
      this.#aborted.add(generation);
      return;
    }
    this.#pending.delete(generation);
    pending.prepared.abort();
    this.#closeLog(pending.telemetry, this.#telemetry);
  }

  change(set: EndpointSet): Promise<void> {
    return this.#gateway.change(set);
  }

  useMaterial(parcel: MaterialParcel, version: number): void {
    this.#gateway.useMaterial(this.#materials.change(parcel));
    tell({ kind: "material-in-use", version });
  }

  certificateAnswered(name: string): void {
    this.#gateway.certificateAnswered(name);
  }

  reopen(): void {
    for (const accessLog of this.#accessLogs) accessLog.reopen();
  }

  watchClients(forMs: number): void {
    this.#clients.watch(forMs);
  }

  /** A call that is not gentle hurries a gentle one before it; more calls change nothing. */
  drain(gentle: boolean): Promise<void> {
    if (this.#drained !== null && (gentle || this.#hurried)) return this.#drained;
    const first = this.#drained === null;
    this.#hurried = !gentle;
    const drained = this.#gateway.drain(this.#config.timeouts.drain, gentle);
    // The supervisor closes its own: with the last one gone, clients are refused at once and go elsewhere.
    if (first) for (const fd of new Set(this.#sockets.values())) libc.close(fd);
    this.#drained = drained.then(async () => this.#telemetry.accessLog?.close());
    return this.#drained;
  }

  /** Counts in the cells the supervisor has chosen. The access log is the one before if it stays as it is. */
  #openTelemetry(
    { directory }: Omit<ServeFacts, "generation">,
    config: GatewayConfig,
    before: Telemetry | null,
    metrics: GatewayMetrics,
  ): Telemetry {
    metrics.registry.attach(this.#zone, this.#slot);
    const same = before !== null && Bun.deepEquals(config.telemetry.accessLog, this.#config.telemetry.accessLog);
    if (same) return { metrics, accessLog: before.accessLog };
    const accessLog = openAccessLog(config, directory, metrics, this.#log);
    if (accessLog !== null) this.#accessLogs.add(accessLog);
    return { metrics, accessLog };
  }

  /** If it is not what the other one writes to as well. */
  #closeLog({ accessLog }: Telemetry, other: Telemetry): void {
    if (accessLog === null || accessLog === other.accessLog) return;
    this.#accessLogs.delete(accessLog);
    void accessLog.close();
  }
}

function openAccessLog(config: GatewayConfig, directory: string, metrics: GatewayMetrics, log: Log): AccessLog | null {
  const { accessLog } = config.telemetry;
  if (accessLog === null) return null;
  const onDropped = (lines: number) => metrics.droppedLogLines.add(lines);
  return new AccessLog({ config: accessLog, directory, log, onDropped });
}

function tell(message: FromWorker): void {
  // A supervisor that has handed over is gone.
  if (process.connected) process.send?.(message);
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
