/** Everybody who brings certificates by himself. */
import type { Log } from "../base/log.ts";
import type { Registry } from "../telemetry/registry.ts";
import { NameTable } from "../tls/name-table.ts";
import type { MaterialCertificate } from "../tls/tls-material.ts";
import { AcmeSource } from "./acme-source.ts";
import type { CertificateSource } from "./certificate-directory.ts";
import { LocalSource } from "./local-source.ts";

export interface AutomaticSourcesOptions {
  /** Where accounts, roots and certificates are kept if the config names no folder. */
  readonly folder: string;
  readonly log: Log;
  /** Certificates that the config in force has files of. */
  fromFiles(): readonly MaterialCertificate[];
  /** Workers are there. */
  isServed(): boolean;
  /** Of the config in force. */
  registry(): Registry;
}

export function automaticSources({ fromFiles, ...options }: AutomaticSourcesOptions): CertificateSource[] {
  const coverage = (): ((host: string) => boolean) => {
    const table = new NameTable<true>();
    for (const { names } of fromFiles()) for (const name of names) table.set(name, true);
    // A wildcard stands for its names, but only a wildcard stands for a wildcard.
    return (host) => (host.startsWith("*.") ? table.get(host) : table.match(host)) === true;
  };
  return [new LocalSource({ ...options, coverage }), new AcmeSource({ ...options, coverage })];
}
