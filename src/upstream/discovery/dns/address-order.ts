/** IP literals by family and number: an order that does not change with that of the answers. */
import { encodeSockaddr, familyOf } from "../../../net/address.ts";

export function byAddress(a: string, b: string): number {
  const [left, right] = [key(a), key(b)];
  return familyOf(left) - familyOf(right) || Buffer.compare(left, right);
}

const key = (host: string): Uint8Array => encodeSockaddr({ kind: "tcp", host, port: 0 });
