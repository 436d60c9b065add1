/** Sets and removes TXT records for dns-01 (RFC 8555 §8.4). Another way to do so is another file here. */
export interface DnsProvider {
  /**
   * Others of the same name stay: a name and its wildcard are challenged at the same time.
   * @param name   whole, without trailing dot
   * @throws {Error} that says why it cannot be
   */
  present(name: string, value: string, signal: AbortSignal): Promise<void>;
  /** That record alone; nothing happens if it is not there. */
  cleanup(name: string, value: string, signal: AbortSignal): Promise<void>;
}
