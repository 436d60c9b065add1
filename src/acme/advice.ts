/** What to do about a failure, for the log. */
import type { CaProblem } from "./ca-problem.ts";

const ADVICE: Readonly<Record<string, string>> = {
  dns: "its DNS has no usable address: set an A or AAAA record that leads here",
  connection:
    "the CA could not connect: its DNS must lead here, and port 80 (http-01) or 443 (tls-alpn-01) must reach this machine from outside",
  tls: "something else answers at port 443 of the name: is a proxy or CDN in front?",
  unauthorized: "something else answers for the name: does its DNS lead here, and only here?",
  incorrectResponse: "something else answers for the name: does its DNS lead here, and only here?",
  caa: "the name's CAA records forbid this CA: change them, or choose another CA",
  rateLimited: "the CA's limit is reached; try with letsencrypt-staging until everything works",
  rejectedIdentifier: "the CA does not certify this name: choose another CA, or give the site a certificate",
  unsupportedIdentifier: "the CA does not certify this kind of name",
  externalAccountRequired: 'the CA wants "accountBinding": ask it for the values',
  invalidContact: 'the CA does not take the address in "email"',
  userActionRequired: "the CA wants something of the account's owner: follow the address in the reason",
  badCSR: 'the CA does not take this kind of key: choose another "key"',
};

export function adviceFor({ kind }: CaProblem): string | undefined {
  return ADVICE[kind];
}
