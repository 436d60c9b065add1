/**
 * What the supervisor has in force: one config, its sockets, endpoints and metrics, and the workers that
 * serve it. Another config takes its place on all workers or on none.
 */
import program from "../../package.json" with { type: "json" };
import type { Log } from "../base/log.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { DescriptorChannel } from "../net/descriptor-channel.ts";
import { Allocation, Noting } from "../state/placement.ts";
import { createZone, type Zone } from "../state/zone.ts";
import { GatewayMetrics } from "../telemetry/metrics.ts";
import { startProcessSampling } from "../telemetry/process-sample.ts";
import type { TlsMaterial } from "../tls/tls-material.ts";
import { CertificateDirectory, type CertificateSource, type PreparedCertificates } from "./certificate-directory.ts";
import { describeChanges } from "./config-changes.ts";
import { ConnectionSettings } from "./connection-plan.ts";
import { zoneSizes } from "./endpoint-places.ts";
import type { FromWorker, QuicAddress, ServeFacts, Start } from "./ipc.ts";
import { listenSpecs } from "./listen-spec.ts";
import type { HeldListener, ListenerChange, ListenerSet } from "./listener-set.ts";
import { type MaterialParcel, packMaterial } from "./material-parcel.ts";
import { type PackedConfig, packConfig } from "./packed-config.ts";
import { type PreparedDirectory, type SavedOverrides, UpstreamDirectory } from "./upstream-directory.ts";
import { hashOf } from "./versions.ts";
import { Workers } from "./workers.ts";

/** A config that can be served, and where it came from. */
export interface Servable {
  readonly config: GatewayConfig;
  /** As plain data. */
  readonly tree: unknown;
  /** Where it came from, for messages. */
  readonly origin: string;
  /** Relative paths in it start here. */
  readonly directory: string;
}

export interface ServiceOptions {
  /** Number of workers. */
  readonly count: number;
  readonly listeners: ListenerSet;
  /** Program and arguments of a worker. */
  readonly command: readonly string[];
  readonly log: Log;
  /** What operators said before this program began. */
  readonly saved: SavedOverrides;
  /** What was read of certificates while there were the rights for it. */
  readonly material?: TlsMaterial | null;
  /** Who brings certificates beside the config's files. */
  readonly certificateSources?: readonly CertificateSource[];
  save(overrides: SavedOverrides): void;
  onMessage(slot: number, message: FromWorker): void;
}

/** A config with all that was made for it here. */
interface InForce extends Servable {
  readonly noting: Noting;
  readonly metrics: GatewayMetrics;
  readonly hash: string;
  /** Unix time in ms. */
  readonly since: number;
  /** Of the attempt that put it in force. */
  readonly attempt: number;
}

const FIRST_INHERITED_FD = 3;

export class Service {
  readonly zone: Zone;
  readonly directory: UpstreamDirectory;
  readonly certificates: CertificateDirectory;
  readonly workers: Workers;
  readonly #options: ServiceOptions;
  readonly #allocation: Allocation;
  /** By slot: our end and the worker's. */
  readonly #channels = new Map<number, readonly [DescriptorChannel, DescriptorChannel]>();
  readonly #connections = new ConnectionSettings();
  #inForce: InForce;
  /** Configs that were put in force. */
  #generation = 1;
  /** Configs that were tried. */
  #attempts = 1;
  #stopSampling: () => void;
  #exchanging = false;

  /** @throws {Error} if the first config does not fit into the shared memory */
  constructor(first: Servable, options: ServiceOptions) {
    const { count, log, saved, save } = options;
    this.#options = options;
    // Workers, the process that serves HTTP/3, this one.
    const slots = count + 2;
    this.zone = createZone({ ...zoneSizes(first.config, slots), slots });
    this.#allocation = new Allocation(this.zone.shape, (area, at, cells) => this.zone.clear(area, at, cells));
    this.#inForce = this.#make(first, null);
    this.#stopSampling = startProcessSampling(this.metrics);
    this.directory = new UpstreamDirectory({
      zone: this.zone,
      allocation: this.#allocation,
      slot: count + 1,
      log,
      send: (set) => this.workers.send({ kind: "endpoints", set }),
      save,
      saved,
      connections: (upstream) => this.#connections.of(upstream, this.#inForce.config, this.certificates.material),
    });
    this.certificates = new CertificateDirectory({
      log,
      sources: options.certificateSources ?? [],
      before: options.material ?? null,
    });
    this.certificates.follow((material, version, before) =>
      this.workers.send({ kind: "material", version, material: packMaterial(material, before) }),
    );
    this.workers = new Workers({
      count: count + 1,
      isWanted: (slot) => slot < count || this.#servesQuic,
      command: options.command,
      fds: (slot) => this.#inherited(slot),
      start: (slot) => this.#start(slot),
      log,
      onReadyChange: (ready) => this.metrics.workers.set(ready),
      onMessage: (slot, message) => this.#hear(slot, message),
      onDeath: (slot, isReplaced) => {
        this.certificates.gone(workerName(slot));
        this.metrics.registry.clear(this.zone, slot);
        this.directory.clearSlot(slot);
        if (isReplaced) this.metrics.workerRestarts.add(1);
      },
    });
  }

  /**
   * Reads the certificates and finds out the endpoints of the first config; then workers can be started.
   * @throws {Error} if a file of its TLS part cannot be used
   */
  async begin(): Promise<void> {
    const { config, directory, metrics } = this.#inForce;
    this.certificates.prepare(config, directory).commit();
    await this.certificates.use(config, directory);
    (await this.directory.prepare(config, directory, metrics)).commit();
  }

  get current(): Servable & { readonly generation: number; readonly hash: string; readonly since: number } {
    return { ...this.#inForce, generation: this.#generation };
  }

  get metrics(): GatewayMetrics {
    return this.#inForce.metrics;
  }

  /**
   * Serves another config.
   * @returns what has changed
   * @throws {Error} if one part of the program cannot serve it; then nothing has changed
   */
  async exchange(next: Servable): Promise<string[]> {
    this.#exchanging = true;
    try {
      return await this.#exchange(next);
    } finally {
      this.#exchanging = false;
    }
  }

  /** Another config is on its way. */
  get isExchanging(): boolean {
    return this.#exchanging;
  }

  async #exchange(next: Servable): Promise<string[]> {
    const { listeners } = this.#options;
    const attempt = ++this.#attempts;
    const change = await listeners.prepare(listenSpecs(next.config));
    let made: InForce | null = null;
    let prepared: PreparedDirectory | null = null;
    let certificates: PreparedCertificates | null = null;
    try {
      made = this.#make(next, this.#inForce);
      certificates = this.certificates.prepare(next.config, next.directory);
      prepared = await this.directory.prepare(next.config, next.directory, made.metrics);
      await this.#prepareWorkers(made, prepared, certificates.material, change);
    } catch (thrown) {
      this.workers.abort(attempt);
      prepared?.abort();
      certificates?.abort();
      if (made !== null) this.#release(made, this.#inForce);
      change.abort();
      throw thrown;
    }
    const before = this.#inForce;
    this.#generation++;
    this.#inForce = made;
    change.commit();
    // What the directory tells the workers at its commit is of the new config: they must have heard of that first.
    const committed = this.workers.commit(attempt);
    prepared.commit();
    certificates.commit();
    void this.certificates.use(next.config, next.directory);
    this.#stopSampling();
    this.#stopSampling = startProcessSampling(made.metrics);
    made.metrics.workers.set(this.workers.view().filter(({ state }) => state === "ready").length);
    await committed;
    this.workers.adjust();
    listeners.closeRemoved(change);
    // Nobody waits for it.
    setImmediate(() => this.#release(before, made));
    return describeChanges(before.config, made.config);
  }

  stop(): void {
    this.#stopSampling();
    this.directory.stop();
    this.certificates.stop();
    for (const ends of this.#channels.values()) for (const end of ends) end.close();
    this.zone.close();
  }

  /** @throws {Error} if it does not fit into the shared memory */
  #make(servable: Servable, before: InForce | null): InForce {
    const noting = new Noting(this.#allocation);
    try {
      const metrics = GatewayMetrics.of(servable.config, noting, { before: before?.metrics ?? null });
      const { registry } = metrics;
      registry.attach(this.zone, this.#options.count + 1);
      const hash = hashOf(JSON.stringify(servable.tree));
      const { origin } = servable;
      registry.info("lintel_build_info", "What is running.", { version: program.version, bun: Bun.version });
      registry.info("lintel_config_info", "Which config is running.", { hash, origin });
      return { ...servable, noting, metrics, hash, since: Date.now(), attempt: this.#attempts };
    } catch (thrown) {
      this.#release({ noting }, before);
      throw thrown;
    }
  }

  /** Gives back cells that only one of both has. */
  #release({ noting }: Pick<InForce, "noting">, kept: Pick<InForce, "noting"> | null): void {
    const shared = new Set(noting.keys).intersection(new Set(kept?.noting.keys));
    const used = new Set(kept?.noting.keys.filter((key) => !shared.has(key)).map((key) => key.join(" ")));
    for (const key of noting.keys) {
      if (!shared.has(key) && !used.has(key.join(" "))) this.#allocation.free(...key);
    }
  }

  #hear(slot: number, message: FromWorker): void {
    switch (message.kind) {
      case "material-in-use":
        return this.certificates.inUse(workerName(slot), message.version);
      case "certificate-wanted":
        void this.certificates
          .obtain(message.name)
          .then(() => this.workers.send({ kind: "certificate-answered", name: message.name }));
        return;
      default:
        this.#options.onMessage(slot, message);
    }
  }

  #prepareWorkers(
    made: InForce,
    { sets }: PreparedDirectory,
    material: TlsMaterial,
    { next, added }: ListenerChange,
  ): Promise<void> {
    const { listeners } = this.#options;
    const base = this.#inForce;
    const facts = factsOf(made, packConfig(made.config, base.config));
    const quic = quicAddresses(made.config, next);
    let parcel: MaterialParcel | null = null;
    return this.workers.prepare(made.attempt, (slot, send) => {
      // Not before: what is in force may have changed.
      parcel ??= packMaterial(material, this.certificates.material);
      const hasListeners = slot !== this.#quicSlot;
      if (hasListeners) this.#channels.get(slot)![0].send(listeners.sockets(slot, added));
      send({
        ...facts,
        kind: "prepare",
        base: base.attempt,
        sets,
        material: parcel,
        quic,
        listeners: hasListeners ? next.map(({ id, kind, name }) => ({ id, kind, name })) : [],
      });
    });
  }

  /** Descriptors that the worker of a slot is born with. */
  #inherited(slot: number): number[] {
    for (const end of this.#channels.get(slot) ?? []) end.close();
    const channel = DescriptorChannel.pair();
    this.#channels.set(slot, channel);
    return [...this.#sockets(slot).map(({ fd }) => fd), this.zone.fd, channel[1].fd];
  }

  /** The process that serves HTTP/3 binds its own: the runtime cannot take any over. */
  #sockets(slot: number): ReturnType<ListenerSet["sockets"]> {
    return slot === this.#quicSlot ? [] : this.#options.listeners.sockets(slot);
  }

  get #quicSlot(): number {
    return this.#options.count;
  }

  get #servesQuic(): boolean {
    return this.#inForce.config.listeners.some(({ http3 }) => http3 !== null);
  }

  #start(slot: number): Start {
    const { count, listeners } = this.#options;
    const sockets = this.#sockets(slot);
    return {
      ...factsOf(this.#inForce, packConfig(this.#inForce.config)),
      kind: "start",
      slot,
      slots: count + 2,
      servesQuic: slot === this.#quicSlot,
      quic: quicAddresses(this.#inForce.config, listeners.all),
      sets: this.directory.sets(),
      material: this.certificates.material,
      version: this.certificates.version,
      listeners: sockets.map(({ id, kind, name }, i) => ({ id, kind, name, fd: FIRST_INHERITED_FD + i })),
      zoneFd: FIRST_INHERITED_FD + sockets.length,
      channelFd: FIRST_INHERITED_FD + sockets.length + 1,
    };
  }
}

const workerName = (slot: number): string => `worker ${slot}`;

function quicAddresses({ listeners }: GatewayConfig, held: readonly HeldListener[]): QuicAddress[] {
  return held.flatMap(({ id, kind, name, address }) => {
    const isServed = kind === "http" && listeners.some((one) => one.name === name && one.http3 !== null);
    return isServed && address.kind === "tcp" ? [{ id, name, host: address.host, port: address.port }] : [];
  });
}

const factsOf = (
  { attempt, directory, noting }: InForce,
  config: PackedConfig,
): Omit<ServeFacts, "sets" | "material" | "quic"> => ({
  generation: attempt,
  config,
  directory,
  places: Int32Array.from(noting.places),
});
