/** Mozilla's recommendations for servers (Server Side TLS 5.7), as far as the library has the ciphers. */
import type { TlsVersion } from "../net/tls-runtime.ts";

export interface Profile {
  readonly minVersion: TlsVersion;
  /** For TLS 1.2, best first; null: there is no TLS 1.2. Those of TLS 1.3 are fixed, and all good. */
  readonly ciphers: string | null;
  readonly groups: string;
}

/** X25519MLKEM768 first: what is recorded today may be read by a quantum computer one day. */
const GROUPS = "X25519MLKEM768:X25519:P-256:P-384";

export const PROFILES: Readonly<Record<"modern" | "intermediate", Profile>> = {
  modern: { minVersion: "TLSv1.3", ciphers: null, groups: GROUPS },
  intermediate: {
    minVersion: "TLSv1.2",
    // The recommendation's DHE ciphers are not in BoringSSL; ECDHE is in every client that has DHE and GCM.
    ciphers: [
      "ECDHE-ECDSA-AES128-GCM-SHA256",
      "ECDHE-RSA-AES128-GCM-SHA256",
      "ECDHE-ECDSA-AES256-GCM-SHA384",
      "ECDHE-RSA-AES256-GCM-SHA384",
      "ECDHE-ECDSA-CHACHA20-POLY1305",
      "ECDHE-RSA-CHACHA20-POLY1305",
    ].join(":"),
    groups: GROUPS,
  },
};
