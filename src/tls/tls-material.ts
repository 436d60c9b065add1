/**
 * All that the TLS part of a config refers to, read from its files: plain data, so that the
 * supervisor, which may still read keys, can read it, and give it to workers, which may not.
 */
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import type { CertificateConfig, GatewayConfig } from "../config/gateway-config.ts";
import { readCertificate } from "./server-certificate.ts";

export interface TlsMaterial {
  readonly certificates: readonly MaterialCertificate[];
  /** Text by path as it stands in the config: CAs and revocation lists. */
  readonly files: Readonly<Record<string, string>>;
}

export interface MaterialCertificate {
  /** "cert.pem + cert.key", for messages; the same over reloads. */
  readonly origin: string;
  /** Site that brings it; null: the config. */
  readonly site: string | null;
  readonly cert: string;
  readonly key: string;
  /** Lower case, with wildcards. */
  readonly names: readonly string[];
}

/** Something that cannot be used. The text that was read before, if there is one, stays in use. */
export interface MaterialProblem {
  /** Path as in the config. */
  readonly file: string;
  readonly reason: string;
  /** Something older serves instead. */
  readonly kept: boolean;
}

export interface MaterialReading {
  readonly material: TlsMaterial;
  readonly problems: readonly MaterialProblem[];
}

/**
 * Reads everything. What cannot be used is left out, or taken from `before`.
 * @param directory  folder of the config file
 */
export function readMaterial(config: GatewayConfig, directory: string, before: TlsMaterial | null): MaterialReading {
  const problems: MaterialProblem[] = [];
  const certificates: MaterialCertificate[] = [];
  const files: Record<string, string> = {};
  const read = (file: string): string => readFileSync(resolve(directory, file), "utf8");

  const addCertificate = (site: string | null, written: CertificateConfig): void => {
    const origin = `${written.cert} + ${written.key}`;
    try {
      const text = { cert: read(written.cert), key: read(written.key) };
      const { names: own } = readCertificate(text);
      const names = written.names ?? own;
      if (names.length === 0) throw new Error('no DNS name stands in it: say in "names" what it is for');
      certificates.push({ origin, site, ...text, names });
    } catch (thrown) {
      const kept = before?.certificates.find((one) => one.origin === origin && one.site === site);
      if (kept !== undefined) certificates.push(kept);
      problems.push({ file: written.cert, reason: why(thrown), kept: kept !== undefined });
    }
  };
  const addFile = (file: string | null, label: string): void => {
    if (file === null || files[file] !== undefined) return;
    try {
      const text = read(file);
      if (!text.includes(`-----BEGIN ${label}-----`)) throw new Error(`there is no "BEGIN ${label}" in it`);
      files[file] = text;
    } catch (thrown) {
      const kept = before?.files[file];
      if (kept !== undefined) files[file] = kept;
      problems.push({ file, reason: why(thrown), kept: kept !== undefined });
    }
  };

  for (const one of config.tls.certificates) addCertificate(null, one);
  for (const { name, tls } of config.sites) {
    for (const one of tls?.certificates ?? []) addCertificate(name, one);
    addFile(tls?.clientAuth?.ca ?? null, "CERTIFICATE");
    addFile(tls?.clientAuth?.crl ?? null, "X509 CRL");
  }
  for (const { tls } of config.upstreams) {
    addFile(tls?.ca ?? null, "CERTIFICATE");
    addFile(tls?.identity?.cert ?? null, "CERTIFICATE");
    addKey(tls?.identity?.key ?? null);
  }
  return { material: { certificates, files }, problems };

  function addKey(file: string | null): void {
    if (file === null || files[file] !== undefined) return;
    try {
      files[file] = read(file);
    } catch (thrown) {
      const kept = before?.files[file];
      if (kept !== undefined) files[file] = kept;
      problems.push({ file, reason: why(thrown), kept: kept !== undefined });
    }
  }
}

/** Paths of everything that `readMaterial` reads. */
export function materialFiles(config: GatewayConfig, directory: string): string[] {
  const paths = new Set<string>();
  const add = (...files: (string | null | undefined)[]): void => {
    for (const file of files) if (file != null) paths.add(resolve(directory, file));
  };
  const certificates = [...config.tls.certificates, ...config.sites.flatMap(({ tls }) => tls?.certificates ?? [])];
  for (const { cert, key } of certificates) add(cert, key);
  for (const { tls } of config.sites) add(tls?.clientAuth?.ca, tls?.clientAuth?.crl);
  for (const { tls } of config.upstreams) add(tls?.ca, tls?.identity?.cert, tls?.identity?.key);
  return [...paths];
}

/** Changes when one of the files does, in content or place. A file that is not there counts too. */
export function filesState(paths: readonly string[]): string {
  return paths
    .map((path) => {
      const facts = statSync(path, { throwIfNoEntry: false });
      return facts === undefined ? "-" : `${facts.ino} ${facts.size} ${facts.mtimeMs} ${facts.ctimeMs}`;
    })
    .join("\n");
}

function why(thrown: unknown): string {
  const { code, message } = thrown as Error & { code?: string };
  if (code === "ENOENT") return "there is no such file";
  if (code === "EACCES") return "it may not be read";
  return message;
}
