/**
 * The origin servers of an example of the documentation: each address in it (`10.0.0.1:8080`,
 * `[2001:db8::7]:8080`, `unix:/run/api.sock`) becomes a real one somewhere on this machine, which answers with
 * the address that the page gives it, also as the script of another says otherwise for a while.
 */
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { Origin, type Script } from "./origin.ts";

/** No address of this machine itself: those are where somebody listens, not where an origin server is. */
const ADDRESS = /(?<![\w.])(?!127\.)(?:\d+\.){3}\d+:\d+|\[2001:db8::\w+\]:\d+|unix:\/run\/[\w./-]+/g;

export class Fleet implements Disposable {
  readonly #origins: ReadonlyMap<string, Origin>;

  private constructor(origins: ReadonlyMap<string, Origin>) {
    this.#origins = origins;
    this.behave(...origins.keys());
  }

  /** @param folder for sockets of the file system */
  static async of(example: string, folder: string): Promise<Fleet> {
    const origins = new Map<string, Origin>();
    for (const [address] of example.matchAll(ADDRESS))
      if (!origins.has(address))
        origins.set(address, await Origin.start(placeOf(address, join(folder, "origin.sock"))));
    return new Fleet(origins);
  }

  /** The example with the addresses where they are in truth. */
  moved(example: string): string {
    return example.replaceAll(ADDRESS, (address) => this.at(address).address);
  }

  /** @param address as the page has it */
  at(address: string): Origin {
    const origin = this.#origins.get(address);
    if (origin === undefined) throw new Error(`no ${address} in the example`);
    return origin;
  }

  /** What these do with requests from now on; all of them if none is named. */
  script(script: Script, ...addresses: string[]): void {
    for (const address of addresses.length > 0 ? addresses : this.#origins.keys()) this.at(address).script = script;
  }

  /** These answer with their address again. */
  behave(...addresses: string[]): void {
    for (const address of addresses) this.at(address).script = (request) => request.reply({ content: address });
  }

  /** How many requests came to this one, but for those of checks. */
  asked(address: string): number {
    return this.at(address).requests.filter(({ target }) => target !== "/healthz").length;
  }

  [Symbol.dispose](): void {
    for (const origin of this.#origins.values()) origin.stop();
  }
}

function placeOf(address: string, socket: string): { path: string } | { host: string; port: number } {
  if (address.startsWith("unix:")) return { path: socket };
  if (address.startsWith("[")) return { host: "::1", port: 0 };
  const octet = () => randomInt(1, 255);
  // An address of its own: nobody takes its port when it is gone.
  return { host: `127.${octet()}.${octet()}.${octet()}`, port: 0 };
}
