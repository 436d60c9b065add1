/**
 * All that the TLS part of a config refers to, read from its files: plain data, so that the
 * supervisor, which may still read keys, can read it, and give it to workers, which may not.
 */
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import type { CertificateConfig, GatewayConfig } from "../config/gateway-config.ts";
import { readCertificate, type ServerCertificate } from "./server-certificate.ts";

/** What workers serve TLS with; each gets the whole of it, at its start and whenever it changes. */
export interface TlsMaterial {
  readonly certificates: readonly MaterialCertificate[];
  /** Text by path as it stands in the config: CAs and revocation lists. */
  readonly files: Readonly<Record<string, string>>;
  /** For tls-alpn-01 (RFC 8737): shown to who asks for this name by the protocol "acme-tls/1" alone. */
  readonly challenges: readonly ChallengeCertificate[];
  /** For http-01 (RFC 8555 §8.3): key authorizations by token. */
  readonly tokens: Readonly<Record<string, string>>;
  /**
   * Names for which a worker without a certificate may ask the supervisor while the client waits: "a.example",
   * "*.example" (one label), ".example" (any depth) or "*" (any name).
   */
  readonly onDemand: readonly string[];
}

export interface ChallengeCertificate {
  /** Lower case. */
  readonly name: string;
  readonly cert: string;
  readonly key: string;
}

export const NO_MATERIAL: TlsMaterial = { certificates: [], files: {}, challenges: [], tokens: {}, onDemand: [] };

export interface MaterialCertificate extends Omit<ServerCertificate, "names"> {
  /** Who brought it: "file", or the name of another source. Files go before others for the same name. */
  readonly source: string;
  /** Where it is from, such as "cert.pem + cert.key", for messages; the same over renewals. */
  readonly origin: string;
  /** Site whose names it is for, before those of all sites; null: any. */
  readonly site: string | null;
  /** Those it is used for: lower case, wildcards as "*.example.com". */
  readonly names: readonly string[];
  /** Those that stand in it. */
  readonly ownNames: readonly string[];
}

/** What a source other than files has to say of a certificate. */
export interface WrittenCertificate {
  readonly source: string;
  readonly origin: string;
  readonly site?: string | null;
  /** PEM chain, leaf first. */
  readonly cert: string;
  readonly key: string;
  /** Default: those that stand in it. */
  readonly names?: readonly string[] | null;
}

/** @throws {Error} saying what is wrong with it */
export function materialCertificate(written: WrittenCertificate): MaterialCertificate {
  const { source, origin, site = null, cert, key, names = null } = written;
  const { names: ownNames, ...read } = readCertificate({ cert, key });
  return named({ ...read, source, origin, site, names: [], ownNames }, names);
}

/** @throws {Error} if it is good for no name */
function named(certificate: MaterialCertificate, names: readonly string[] | null): MaterialCertificate {
  const used = names ?? certificate.ownNames;
  if (used.length === 0) throw new Error('no DNS name stands in it: say in "names" what it is for');
  return { ...certificate, names: used };
}

/** What was read of files, as plain JSON: for a successor of this program, which may not be allowed to read them. */
export interface ReadFiles {
  readonly certificates: readonly { origin: string; site: string | null; cert: string; key: string }[];
  readonly files: TlsMaterial["files"];
}

export function readFilesOf({ certificates, files }: TlsMaterial): ReadFiles {
  const own = certificates.filter(({ source }) => source === "file");
  return { certificates: own.map(({ origin, site, cert, key }) => ({ origin, site, cert, key })), files };
}

/** As `before` of `readMaterial`. */
export function materialOf({ certificates, files }: ReadFiles): TlsMaterial {
  const read = certificates.flatMap((one) => {
    try {
      // Its names do not matter: the config says anew what it is for.
      return [materialCertificate({ ...one, source: "file", names: ["any"] })];
    } catch {
      return [];
    }
  });
  return { ...NO_MATERIAL, certificates: read, files };
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
  const fromFiles = (before?.certificates ?? []).filter(({ source }) => source === "file");
  const known = new Map(fromFiles.map((one) => [`${one.site} ${one.origin}`, one]));

  const addCertificate = (site: string | null, written: CertificateConfig): void => {
    const { names } = written;
    const origin = `${written.cert} + ${written.key}`;
    const before = known.get(`${site} ${origin}`);
    let file = written.cert;
    try {
      const cert = read(file);
      file = written.key;
      const text = { cert, key: read(file) };
      file = written.cert;
      // Reading one takes 0.2 ms, and of thousands only few change at a time.
      const isSame = before !== undefined && before.cert === text.cert && before.key === text.key;
      certificates.push(
        isSame ? named(before, names) : materialCertificate({ source: "file", origin, site, ...text, names }),
      );
    } catch (thrown) {
      if (before !== undefined) certificates.push({ ...before, names: names ?? before.ownNames });
      problems.push({ file, reason: why(thrown), kept: before !== undefined });
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
  return { material: { ...NO_MATERIAL, certificates, files }, problems };

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
      try {
        const { ino, size, mtimeMs, ctimeMs } = statSync(path);
        return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
      } catch {
        return "-";
      }
    })
    .join("\n");
}

/** The reason of a problem that may be none for another user. */
export const FORBIDDEN = "it may not be read";

function why(thrown: unknown): string {
  const { code, message } = thrown as Error & { code?: string };
  if (code === "ENOENT") return "there is no such file";
  if (code === "EACCES") return FORBIDDEN;
  return message;
}
