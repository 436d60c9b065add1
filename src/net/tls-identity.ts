/** What a client gets who names a server: certificates, and the rules that hold for it. */
import type { TlsContext } from "./tls-runtime.ts";

export interface TlsIdentity {
  readonly context: TlsContext;
  readonly clientCertificate: "none" | "optional" | "required";
  /** As from `alpnWire`; best first. */
  readonly alpn: Buffer | undefined;
  /** By which rules of a site; comes back with the facts. */
  readonly rules: string;
}
