/**
 * Records by dynamic updates of the zone's primary server (RFC 2136), over TCP.
 *
 * The signature of an answer is not checked: who forges one gains nothing, because the record is looked for
 * afterwards.
 */
import { randomInt } from "node:crypto";
import { connect } from "node:net";
import type { DynamicUpdateConfig } from "../../config/gateway-config.ts";
import type { DnsProvider } from "./provider.ts";
import { type DnsReply, nameOfCode, readReply, updateMessage, zoneQuestion } from "./update-message.ts";

const ADVICE: Readonly<Record<string, string>> = {
  REFUSED: "the server does not allow it: check its update policy",
  NOTAUTH: 'the server does not take the key, or has no such zone: check "key" and "zone"',
  BADKEY: 'the server knows no key of that name and algorithm: check "key"',
  BADSIG: 'the server has another secret for the key: check "key"',
  BADTIME: "the clocks of this machine and the server differ by more than five minutes",
  NOTZONE: 'the name is outside of the zone: check "zone"',
  SERVFAIL: "see the server's log",
};

export class DynamicUpdate implements DnsProvider {
  readonly #config: DynamicUpdateConfig;

  constructor(config: DynamicUpdateConfig) {
    this.#config = config;
  }

  present(name: string, value: string, signal: AbortSignal): Promise<void> {
    return this.#change(name, value, Math.max(1, Math.round(this.#config.ttl / 1000)), signal);
  }

  cleanup(name: string, value: string, signal: AbortSignal): Promise<void> {
    return this.#change(name, value, 0, signal);
  }

  async #change(name: string, value: string, ttlSeconds: number, signal: AbortSignal): Promise<void> {
    const zone = this.#config.zone ?? (await this.#zoneOf(name, signal));
    const { code, keyError } = await this.#ask(
      (id) => updateMessage(id, { zone, name, value, ttlSeconds }, this.#config.key, Math.floor(Date.now() / 1000)),
      signal,
    );
    if (code === 0) return;
    const word = nameOfCode(keyError === 0 ? code : keyError);
    const advice = ADVICE[word] === undefined ? "" : ` (${ADVICE[word]})`;
    throw new Error(`${this.#config.server} answers an update of ${name} with ${word}${advice}`);
  }

  /** The nearest name above that is a zone of the server's. */
  async #zoneOf(name: string, signal: AbortSignal): Promise<string> {
    for (let zone = name; zone.includes("."); zone = zone.slice(zone.indexOf(".") + 1)) {
      const { code, isZone } = await this.#ask((id) => zoneQuestion(id, zone), signal);
      if (code === 0 && isZone) return zone;
    }
    throw new Error(`${this.#config.server} has no zone for ${name}: is it the primary server? "zone" can name it`);
  }

  #ask(make: (id: number) => Buffer, signal: AbortSignal): Promise<DnsReply> {
    signal.throwIfAborted();
    const { server, timeout } = this.#config;
    const { promise, resolve, reject } = Promise.withResolvers<DnsReply>();
    const id = randomInt(65536);
    const message = make(id);
    const colon = server.lastIndexOf(":");
    const host = server.slice(0, colon).replace(/^\[|\]$/g, "");
    const socket = connect({ host, port: Number(server.slice(colon + 1)) });
    const fail = (reason: string) => reject(new Error(`${server} ${reason}`));
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
    const timer = setTimeout(() => fail(`did not answer within ${timeout / 1000} s`), timeout);
    let received: Buffer = Buffer.alloc(0);
    socket.on("connect", () => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(message.length);
      socket.write(Buffer.concat([length, message]));
    });
    socket.on("data", (piece: Buffer) => {
      received = Buffer.concat([received, piece]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const reply = readReply(received.subarray(2, 2 + received.readUInt16BE(0)), id);
      if (reply === null) fail("sent something that is no answer");
      else resolve(reply);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => fail(`cannot be asked: ${error.code ?? error.message}`));
    socket.on("close", () => fail("closed the connection before its answer"));
    return promise.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      socket.removeAllListeners().on("error", () => {});
      socket.destroy();
    });
  }
}
