/**
 * The process that a person starts and stops: binds the listening sockets, gives up root's rights,
 * keeps the workers alive, and answers for all of them (metrics, health). It carries no traffic.
 */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import program from "../../package.json" with { type: "json" };
import type { Log } from "../base/log.ts";
import type { AdminConfig, GatewayConfig } from "../config/gateway-config.ts";
import { type Address, formatAddress } from "../net/address.ts";
import { DescriptorChannel } from "../net/descriptor-channel.ts";
import { Allocation, Noting } from "../state/placement.ts";
import { createZone } from "../state/zone.ts";
import { accessLogPath } from "../telemetry/access-log.ts";
import { renderMetrics } from "../telemetry/exposition.ts";
import { GatewayMetrics } from "../telemetry/metrics.ts";
import { processLog } from "../telemetry/process-log.ts";
import { startProcessSampling } from "../telemetry/process-sample.ts";
import { readStats } from "../telemetry/stats.ts";
import { ClientTally } from "./client-tally.ts";
import { type Control, ControlError } from "./control.ts";
import { zoneSizes } from "./endpoint-places.ts";
import { packConfig } from "./packed-config.ts";
import { dropPrivileges, findAccount, prepareLogFile } from "./privileges.ts";
import { StopSignals } from "./shutdown.ts";
import { filesNeeded, raiseFileLimit } from "./supervisor-limits.ts";
import { type BoundListener, bindListener } from "./supervisor-listen.ts";
import { UpstreamDirectory } from "./upstream-directory.ts";
import { Workers } from "./workers.ts";

export interface SupervisorOptions {
  /** The config as plain data, for the workers. */
  readonly tree: unknown;
  /** Where it came from, for messages. */
  readonly origin: string;
  /** Relative paths in it start here. */
  readonly directory: string;
  readonly config: GatewayConfig;
  /** Default: standard error, as the config says. */
  readonly log?: Log;
  /** Starts an admin listener; it lives on a higher floor. */
  readonly startAdmin?: (config: AdminConfig, control: Control) => Admin;
  /** Program and arguments of a worker; default: this runtime with worker.ts. */
  readonly workerCommand?: readonly string[];
}

export interface Admin {
  readonly url: string;
  stop(): void;
}

const WORKER = [process.execPath, fileURLToPath(new URL("./worker.ts", import.meta.url))];
const FIRST_INHERITED_FD = 3;

/** @returns exit code: 0 after a drain, 1 if it could not start or had to be ended */
export async function runSupervisor(options: SupervisorOptions): Promise<number> {
  const { config, log = processLog(config.telemetry.log) } = options;
  const count = config.workers === "auto" ? availableParallelism() : config.workers;
  const bound: BoundListener[] = [];
  const cleanUp: (() => void)[] = [() => closeAll(bound)];
  try {
    checkFileLimit(config, count, log);
    if (!(await bindAll(config, count, bound, log))) return 1;
    becomeUser(options, log);

    const slots = count + 1;
    const zone = createZone({ ...zoneSizes(config, slots), slots });
    cleanUp.push(() => zone.close());
    const allocation = new Allocation(zone.shape, (area, first, cells) => zone.clear(area, first, cells));
    const noting = new Noting(allocation);
    const metrics = new GatewayMetrics(config, noting);
    const { registry } = metrics;
    registry.attach(zone, count);
    registry.info("lintel_build_info", "What is running.", { version: program.version, bun: Bun.version });
    registry.info("lintel_config_info", "Which config is running.", {
      hash: hashOf(options.tree),
      origin: options.origin,
    });
    cleanUp.push(startProcessSampling(metrics));

    const directory = new UpstreamDirectory({
      zone,
      allocation,
      slot: count,
      log,
      send: (set) => workers.send({ kind: "endpoints", set }),
      save: () => {},
      saved: {},
    });
    cleanUp.push(() => directory.stop());
    (await directory.prepare(config, options.directory, metrics)).commit();
    const packed = packConfig(config);

    const sockets = (slot: number) => bound.map(({ name, fds }) => ({ name, fd: fds[slot] ?? fds[0]! }));
    const channels = Array.from({ length: count }, () => DescriptorChannel.pair());
    const workers = new Workers({
      count,
      command: options.workerCommand ?? WORKER,
      fds: (slot) => [...sockets(slot).map(({ fd }) => fd), zone.fd, channels[slot]![1].fd],
      start: (slot) => ({
        kind: "start",
        generation: 1,
        slot,
        slots,
        config: packed,
        directory: options.directory,
        places: noting.places,
        sets: directory.sets(),
        listeners: bound.map(({ name }, i) => ({ id: i, name, fd: FIRST_INHERITED_FD + i })),
        zoneFd: FIRST_INHERITED_FD + bound.length,
        channelFd: FIRST_INHERITED_FD + bound.length + 1,
      }),
      log,
      onReadyChange: (ready) => metrics.workers.set(ready),
      onMessage: (slot, message) => {
        if (message.kind === "clients") tally.report(slot, message);
      },
      onDeath: (slot) => {
        registry.clear(zone, slot);
        directory.clearSlot(slot);
        metrics.workerRestarts.add(1);
      },
    });
    const slotName = (slot: number) => (slot === count ? "supervisor" : String(slot));
    const tally = new ClientTally((message) => workers.send(message));
    const startedAt = Date.now();
    const notYet = async () => {
      throw new ControlError("not-available", "this is not wired yet");
    };
    const control: Control = {
      version: program.version,
      startedAt,
      workers: () => workers.view(),
      listeners: () => bound.map(({ name, address }) => ({ name, url: urlOf(address) })),
      config: () => ({
        origin: options.origin,
        file: null,
        generation: 1,
        version: null,
        hash: hashOf(options.tree),
        since: startedAt,
        lastFailure: null,
      }),
      metrics: () => renderMetrics(registry, zone, slotName),
      stats: () => readStats(registry, zone),
      clients: () => tally.ask(),
      upstreams: directory,
      reload: notYet,
      versions: () => [],
      versionText: (number) => {
        throw new ControlError("unknown-version", `there is no version ${number}`);
      },
      diff: (from) => {
        throw new ControlError("unknown-version", `there is no version ${from}`);
      },
      rollback: notYet,
      upgrade: notYet,
    };
    const admin = config.admin === null ? undefined : options.startAdmin?.(config.admin, control);
    if (admin !== undefined) cleanUp.push(() => admin.stop());
    return await serve(config, log, workers, bound, admin);
  } catch (error) {
    log.error(error instanceof Error ? error.message : String(error));
    return 1;
  } finally {
    for (const clean of cleanUp.reverse()) clean();
  }
}

/** From the start of the workers to their end. */
async function serve(
  config: GatewayConfig,
  log: Log,
  workers: Workers,
  bound: BoundListener[],
  admin: Admin | undefined,
): Promise<number> {
  const signals = new StopSignals(log);
  const reopen = () => workers.reopen();
  process.on("SIGUSR1", reopen);
  try {
    const begun = await Promise.race([startWorkers(workers, log), signals.first]);
    if (begun === "failed") return 1;
    if (begun === "started") {
      for (const { name, address } of bound) log.info(`listening on ${urlOf(address)}`, { listener: name });
      if (admin !== undefined) log.info(`admin on ${admin.url}`);
    }
    const signal = await signals.first;
    const graceMs = config.timeouts.drain;
    const patience = graceMs === Infinity ? "however long it takes" : `for ${graceMs / 1000} s at most`;
    log.info(`${signal}: finishing what is in flight, ${patience}; signal again to end now`);
    let killed = false;
    void signals.second.then((again) => {
      log.warn(`${again}: ending now`);
      killed = true;
      return workers.kill();
    });
    const drained = workers.drain(graceMs);
    closeAll(bound);
    if (!(await drained) && !killed) log.warn("workers that had not finished were ended");
    return killed ? 1 : 0;
  } finally {
    process.off("SIGUSR1", reopen);
    signals.dispose();
  }
}

async function startWorkers(workers: Workers, log: Log): Promise<"started" | "failed"> {
  try {
    await workers.start();
    return "started";
  } catch (error) {
    log.error(`workers do not start: ${error instanceof Error ? error.message : String(error)}`);
    await workers.kill();
    return "failed";
  }
}

function checkFileLimit(config: GatewayConfig, workers: number, log: Log): void {
  const files = raiseFileLimit();
  const needed = filesNeeded(config, workers);
  if (files >= needed) return;
  const hint = "connections beyond it wait; raise it (LimitNOFILE= in systemd, ulimit -n) or lower maxConnections";
  log.warn(`the limit of ${files} open files per process is below the ${needed} that maxConnections may need: ${hint}`);
}

/** Binds every listener, and reports all that fail. @returns true if none did */
async function bindAll(config: GatewayConfig, slots: number, bound: BoundListener[], log: Log): Promise<boolean> {
  let good = true;
  for (const listener of config.listeners) {
    try {
      bound.push(...(await bindListener(listener, slots)));
    } catch (error) {
      log.error(error instanceof Error ? error.message : String(error));
      good = false;
    }
  }
  return good;
}

function becomeUser({ config, directory }: SupervisorOptions, log: Log): void {
  if (config.user === null) return;
  const account = findAccount(config.user);
  const { accessLog } = config.telemetry;
  const path = accessLog === null ? null : accessLogPath(accessLog, directory);
  if (path !== null) prepareLogFile(path, account);
  dropPrivileges(account);
  log.info(`running as ${account.name}`, { uid: account.uid, gid: account.gid });
}

function closeAll(bound: BoundListener[]): void {
  for (const listener of bound.splice(0)) listener.close();
}

function urlOf(address: Address): string {
  return address.kind === "unix" ? formatAddress(address) : `http://${formatAddress(address)}`;
}

const hashOf = (tree: unknown): string =>
  new Bun.CryptoHasher("sha256").update(JSON.stringify(tree)).digest("hex").slice(0, 16);
