/**
 * What the admin API may ask of the supervisor. It lives on a higher floor, so the supervisor
 * implements this and hands it over.
 */
import type { Diagnostic } from "../config/diagnostic.ts";
import type { GatewayStats } from "../telemetry/stats.ts";
import type { MissingCertificate } from "./certificate-directory.ts";
import type { CertificateView, NameView } from "./certificate-view.ts";
import type { ClientRate } from "./client-tally.ts";
import type { UpstreamDirectory } from "./upstream-directory.ts";
import type { WorkerView } from "./worker-slot.ts";

export interface Control {
  /** Of Lintel. */
  readonly version: string;
  /** When this program began, unix time in ms. An upgrade begins anew. */
  readonly startedAt: number;
  workers(): WorkerView[];
  listeners(): readonly { readonly name: string; readonly url: string }[];
  /** What is served. */
  config(): ConfigStatus;
  /** Prometheus text. */
  metrics(): string;
  /** Counters by listener, route and endpoint. */
  stats(): GatewayStats;
  /**
   * The clients that asked most within the last second. Workers count them only while somebody
   * asks: the first answer is empty, and the count ends some seconds after the last call.
   */
  clients(): ClientRate[];
  /** All that may be shown to clients. */
  certificates(): readonly CertificateView[];
  /** Names whose certificates are still to be got. */
  missingCertificates(): readonly MissingCertificate[];
  /** What clients are shown who ask for a name. @param name lower case */
  certificatesFor(name: string): NameView;
  /** Each of its changes throws a `DirectoryError` if it cannot be. */
  readonly upstreams: Pick<UpstreamDirectory, "views" | "view" | "add" | "remove" | "restore" | "weigh" | "setDuty">;
  /**
   * Reads the config again and serves it. Calls while one is under way wait for it, and are made after it.
   * @param trigger for the log and the history, such as "admin API"
   */
  reload(trigger: string): Promise<ReloadResult>;
  /** Newest first. */
  versions(): readonly VersionView[];
  /** @throws {ControlError} `unknown-version` */
  versionText(number: number): VersionText;
  /** A unified diff; "" if they say the same. @throws {ControlError} `unknown-version` */
  diff(from: number, to: number): string;
  /** Serves what a version said, as a new version. @throws {ControlError} `unknown-version` */
  rollback(number: number, trigger: string): Promise<ReloadResult>;
  /**
   * Checks the program on the disk and, if it is fit, becomes it after the answer had the time to leave.
   * @throws {ControlError} `upgrade-refused`, with what is wrong with it
   */
  upgrade(trigger: string): Promise<UpgradeBegun>;
}

export interface ConfigStatus {
  /** Where it came from, as in messages. */
  readonly origin: string;
  /** The file; null: the command line. */
  readonly file: string | null;
  /** Counts the configs that this supervisor has decided to serve, from 1. */
  readonly generation: number;
  /** Number of the kept version; null: none are kept. */
  readonly version: number | null;
  /** Of the resolved config, as in `lintel_config_info`. */
  readonly hash: string;
  /** When it was put in force, unix time in ms. */
  readonly since: number;
  /** The last reload that changed nothing because something was wrong; null: the last one was fine. */
  readonly lastFailure: { readonly at: number; readonly reason: string } | null;
}

export type ReloadResult =
  | {
      readonly outcome: "applied";
      readonly generation: number;
      /** null: none are kept. */
      readonly version: number | null;
      /** One line for each thing that is different now, such as `route "shop" is new`. */
      readonly changes: readonly string[];
      /** Warnings. */
      readonly diagnostics: readonly Diagnostic[];
      readonly tookMs: number;
    }
  /** The config says what is served already. */
  | { readonly outcome: "unchanged"; readonly generation: number; readonly version: number | null }
  /** Nothing has changed. */
  | {
      readonly outcome: "refused";
      /** One sentence. */
      readonly reason: string;
      /** What is wrong with the config; empty if it is fine and something else failed (a port is taken, say). */
      readonly diagnostics: readonly Diagnostic[];
    };

/** A config that was served. */
export interface VersionView {
  /** From 1. */
  readonly number: number;
  /** When it was put in force, unix time in ms. */
  readonly at: number;
  /** Why, such as "start", "SIGHUP" or "rollback to 3". */
  readonly trigger: string;
  readonly origin: string;
  readonly hash: string;
  /** The one in force. */
  readonly current: boolean;
}

export interface VersionText extends VersionView {
  /** What was served, as text that can be served again. May have secrets in it. */
  readonly text: string;
}

export interface UpgradeBegun {
  /** Of the program that takes over. */
  readonly version: string;
}

/** Something that cannot be done. */
export class ControlError extends Error {
  constructor(
    readonly kind: "unknown-version" | "upgrade-refused" | "not-available",
    message: string,
    /** The way out, if there is an obvious one. */
    readonly hint: string | null = null,
  ) {
    super(message);
  }
}
