/** Certificates as operators see them: everything but the keys. */
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { Zone } from "../state/zone.ts";
import { renderMetrics } from "../telemetry/exposition.ts";
import { Registry } from "../telemetry/registry.ts";
import { CertificateStore, type NameExplanation } from "../tls/certificate-store.ts";
import type { MaterialCertificate } from "../tls/tls-material.ts";
import type { CertificateDirectory } from "./certificate-directory.ts";

export interface CertificateView {
  /** Those it is used for. */
  readonly names: readonly string[];
  readonly kind: "ecdsa" | "rsa";
  /** "file", or who got it. */
  readonly source: string;
  /** Such as its files. */
  readonly origin: string;
  /** Whose it is alone; null: anybody's. */
  readonly site: string | null;
  readonly subject: string;
  readonly issuer: string;
  /** SHA-256, hexadecimal. */
  readonly fingerprint: string;
  /** Unix time in ms. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** When it is to be renewed by who has got it; Unix time in ms, null: nobody has said. */
  readonly renewal: number | null;
  /** Why what the files hold now is not used; null: it is. */
  readonly problem: string | null;
}

export interface NameView {
  readonly name: string;
  readonly listeners: readonly (Omit<NameExplanation, "certificates"> & {
    readonly certificates: readonly CertificateView[];
  })[];
  /** How it stands with what is got from elsewhere, in sentences. */
  readonly notes: readonly string[];
}

/** All that may be shown to clients. */
export function viewCertificates(directory: CertificateDirectory): CertificateView[] {
  return directory.material.certificates.map((certificate) => view(certificate, directory));
}

/** @param name lower case */
export function viewName(config: GatewayConfig, directory: CertificateDirectory, name: string): NameView {
  const explained = new CertificateStore(config, directory.material).explain(name);
  const listeners = explained.map(({ certificates, ...more }) => ({
    ...more,
    certificates: certificates.map((certificate) => view(certificate, directory)),
  }));
  return { name, listeners, notes: directory.notes(name) };
}

/** Until when each is valid, as Prometheus reads it. They come and go, and only the supervisor knows them. */
export function certificateMetrics({ material }: CertificateDirectory, zone: Zone): string {
  const registry = new Registry();
  for (const { names, kind, source, origin, notAfter } of material.certificates) {
    const labels = { name: names[0]!, kind, source, origin };
    registry.reading("lintel_certificate_not_after_seconds", "Unix time at which a certificate ends.", labels, () =>
      Math.floor(notAfter.getTime() / 1000),
    );
  }
  return renderMetrics(registry, zone);
}

function view(certificate: MaterialCertificate, directory: CertificateDirectory): CertificateView {
  const { names, kind, source, origin, site, subject, issuer, fingerprint, notBefore, notAfter } = certificate;
  const found =
    source === "file" ? directory.problems.find(({ file }) => origin.split(" + ").includes(file)) : undefined;
  return {
    names,
    kind,
    source,
    origin,
    site,
    subject,
    issuer,
    fingerprint,
    notBefore: notBefore.getTime(),
    notAfter: notAfter.getTime(),
    renewal: directory.renewalOf(certificate),
    problem: found?.reason ?? null,
  };
}
