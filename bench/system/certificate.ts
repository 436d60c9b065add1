import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Certificate, CIPHER, GROUP } from "../proxies/contender.ts";

/** Of a P-256 key, signed by itself, for this run. */
export function makeCertificate(directory: string): Certificate {
  const [cert, key, both] = ["cert.pem", "key.pem", "both.pem"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const { exitCode, stderr } = Bun.spawnSync(["openssl", "req", ...kind, ...name, "-out", cert, "-keyout", key]);
  if (exitCode !== 0) throw new Error(`openssl made no certificate:\n${stderr}`);
  writeFileSync(both, readFileSync(cert, "utf8") + readFileSync(key, "utf8"));
  writeFileSync(opensslConfig(directory), CLIENTS);
  for (const file of [cert, key, both]) chmodSync(file, 0o644);
  return { cert, key, both };
}

/** OpenSSL's clients (wrk) are to offer what all proxies are to agree on: some of these follow the client's order. */
export const opensslConfig = (directory: string): string => join(directory, "openssl.cnf");

const CLIENTS = `openssl_conf = all
[all]
ssl_conf = tls
[tls]
system_default = clients
[clients]
Ciphersuites = ${CIPHER}
Groups = ${GROUP}
`;
