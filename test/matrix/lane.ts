/**
 * One lane of the matrix: a client of some protocol, the gateway, and an origin server of some
 * protocol. A behaviour (behaviours.ts) is told in these terms and holds in every lane.
 *
 * A further protocol toward clients is a `Downstream` of its own: a program that understands the
 * commands of client.mjs and tells the same events.
 */
import type { Said, Told } from "./told.ts";

export interface Downstream {
  /** "h1", "h1 over TLS" … */
  readonly name: string;
  /** As `Via` names it. */
  readonly version: "1.1" | "2" | "3";
  readonly isSecure: boolean;
  /** It has upgrades or extended CONNECT. */
  readonly hasTunnels: boolean;
  readonly client: Told;
  /** What `begin` says beside the exchange: { protocol, url, ca } for client.mjs and http3-client.mjs. */
  readonly place: Readonly<Record<string, unknown>>;
}

export interface Upstream {
  readonly name: string;
  readonly version: "1.1" | "2";
  readonly isSecure: boolean;
  /** Which version a WebSocket is asked for in. */
  readonly tunnelVersion: "1.1" | "2.0";
  /** Host whose requests go there. */
  readonly host: string;
}

export interface Wish {
  readonly method?: string;
  readonly fields?: Readonly<Record<string, string>>;
  /** null: none; "open": what `send` says; else a pattern, with a length or without. */
  readonly content?: null | "open" | { readonly octets: number; readonly length: boolean };
  readonly upgrade?: boolean;
  /** Another one than that of the lane's upstream. */
  readonly authority?: string;
}

/** How a response ended. */
export interface End {
  readonly complete: boolean;
  readonly octets: number;
  readonly sha1: string;
  readonly text: string | null;
  readonly trailers: Readonly<Record<string, string>> | null;
}

let exchanges = 0;

export class Lane {
  readonly downstream: Downstream;
  readonly upstream: Upstream;
  readonly origin: Told;

  constructor(downstream: Downstream, upstream: Upstream, origin: Told) {
    this.downstream = downstream;
    this.upstream = upstream;
    this.origin = origin;
  }

  get name(): string {
    return `${this.downstream.name} to ${this.upstream.name}`;
  }

  begin(target: string, wish: Wish = {}): LaneExchange {
    const exchange = new LaneExchange(String(++exchanges), this);
    const { method = "GET", fields = {}, content = null, upgrade = false, authority = this.upstream.host } = wish;
    const { client, place } = this.downstream;
    client.tell(
      JSON.stringify({ ...place, do: "begin", id: exchange.id, authority, method, target, fields, content, upgrade }),
    );
    return exchange;
  }
}

export class LaneExchange {
  readonly id: string;
  readonly #client: Told;
  readonly #origin: Told;

  constructor(id: string, lane: Lane) {
    this.id = id;
    this.#client = lane.downstream.client;
    this.#origin = lane.origin;
  }

  // ── the client ─────────────────────────────────────────────────────────────────────────────

  send(text: string): void {
    this.#command({ do: "send", text });
  }

  end(trailers: Readonly<Record<string, string>> | null = null): void {
    this.#command({ do: "end", trailers });
  }

  abort(): void {
    this.#command({ do: "abort" });
  }

  pause(): void {
    this.#command({ do: "pause" });
  }

  resume(): void {
    this.#command({ do: "resume" });
  }

  #command(command: object): void {
    this.#client.tell(JSON.stringify({ id: this.id, ...command }));
  }

  /** The final head. */
  async head(): Promise<{ readonly status: number; readonly fields: Readonly<Record<string, string | string[]>> }> {
    return (await this.#client.hears(this.id, "head")) as never;
  }

  interim(status: number): Promise<Said> {
    return this.#client.hears(this.id, "interim", (said) => said["status"] === status);
  }

  /** The content has come so far. */
  async received(text: string): Promise<void> {
    await this.#client.hears(this.id, "data", (said) => said["text"] === text);
  }

  /** The content goes out no further. @returns octets that have been taken */
  async stalled(): Promise<number> {
    return (await this.#client.hears(this.id, "progress", (said) => said["still"] === true))["octets"] as number;
  }

  /** So much of the content has gone out. */
  async sent(octets: number): Promise<void> {
    await this.#client.hears(this.id, "progress", (said) => said["octets"] === octets);
  }

  async over(): Promise<End> {
    return (await this.#client.hears(this.id, "end")) as unknown as End;
  }

  // ── the origin server ──────────────────────────────────────────────────────────────────────

  /** Lets the origin server go on. */
  open(): void {
    this.#origin.tell(`open ${this.id}`);
  }

  sees(event: string): Promise<Said> {
    return this.#origin.hears(this.id, event);
  }

  wasSeen(event: string): boolean {
    return this.timesSeen(event) > 0;
  }

  timesSeen(event: string): number {
    return this.#origin.said(this.id, event).length;
  }

  /** The response goes out no further. @returns octets that have been taken */
  async originStalled(): Promise<number> {
    const said = await this.#origin.hears(this.id, "progress", (one) => one["still"] === true);
    return said["octets"] as number;
  }
}
