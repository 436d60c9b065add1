/** What clients that come over TCP are told of HTTP/3 (RFC 7838, RFC 9114 §3.1.1). */
import type { ListenerConfig } from "../config/gateway-config.ts";
import { FieldSection } from "../http/field-section.ts";
import type { QuicAddress } from "./ipc.ts";

/** @param addresses where HTTP/3 is spoken @returns null: nothing is to be said */
export function altSvcOf({ name, http3 }: ListenerConfig, addresses: readonly QuicAddress[]): FieldSection | null {
  const address = addresses.find((one) => one.name === name);
  if (http3 === null || !http3.advertise || address === undefined) return null;
  return FieldSection.of({ "alt-svc": `h3=":${address.port}"; ma=${Math.round(http3.maxAge / 1000)}` }).seal();
}
