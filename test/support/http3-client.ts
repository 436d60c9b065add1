/** A client of HTTP/3 in a process of its own (http3-client-process.ts). */
import { join } from "node:path";
import type { Fields, Order, Report } from "./http3-client-process.ts";
import { until } from "./until.ts";

export type { Fields } from "./http3-client-process.ts";

export interface Http3Request {
  readonly method?: string;
  readonly authority?: string;
  readonly fields?: Fields;
  readonly content?: string | Uint8Array;
  readonly trailers?: Fields;
  /** Sends the head only; the rest is up to the test. */
  readonly open?: boolean;
  /** Does not read the response until it is told to. */
  readonly stalled?: boolean;
}

/** A request, and what has come of its response. */
export class Http3Exchange {
  head: Fields | null = null;
  readonly interim: Fields[] = [];
  trailers: Fields | null = null;
  octets = 0;
  /** Of its content that the runtime has taken. */
  sentOctets = 0;
  isOver = false;
  /** Code it was cut with; -1: not known; null: it is complete, or not over. */
  cut: number | null = null;
  /** Hears all that comes, as it comes. */
  onReport: ((report: Report) => void) | null = null;
  readonly #pieces: Uint8Array[] = [];

  constructor(
    readonly id: number,
    readonly client: Http3Client,
  ) {}

  get status(): number {
    return Number(this.head?.[":status"] ?? 0);
  }

  field(name: string): string | string[] | undefined {
    return this.head?.[name];
  }

  get text(): string {
    return Buffer.concat(this.#pieces).toString("latin1");
  }

  take(report: Report & { readonly id: number }): void {
    this.#take(report);
    this.onReport?.(report);
  }

  #take(report: Report & { readonly id: number }): void {
    switch (report.kind) {
      case "head":
        this.head = report.fields;
        return;
      case "interim":
        this.interim.push(report.fields);
        return;
      case "trailers":
        this.trailers = report.fields;
        return;
      case "content":
        this.octets += report.octets.length;
        if (this.octets < 4_000_000) this.#pieces.push(report.octets);
        return;
      case "sent":
        this.sentOctets += report.octets;
        return;
      case "end":
        this.isOver = true;
        this.cut = report.code;
    }
  }

  send(octets: string | Uint8Array): void {
    const copy = typeof octets === "string" ? new Uint8Array(Buffer.from(octets, "latin1")) : octets;
    this.client.order({ kind: "send", id: this.id, octets: copy });
  }

  finish(trailers: Fields | null = null): void {
    this.client.order({ kind: "finish", id: this.id, trailers });
  }

  read(): void {
    this.client.order({ kind: "read", id: this.id });
  }

  cancel(): void {
    this.client.order({ kind: "cancel", id: this.id });
  }

  /** The whole response, or what there was of it. */
  async over(): Promise<this> {
    // The head may be told after the end.
    await until(
      () => this.isOver && (this.head !== null || this.cut !== null),
      () => `the end of ${JSON.stringify(this.head)}`,
    );
    return this;
  }

  async answered(): Promise<this> {
    await until(() => this.head !== null || this.isOver, "the head of a response over HTTP/3");
    return this;
  }
}

export class Http3Client implements Disposable {
  readonly #child: Bun.Subprocess;
  readonly #exchanges = new Map<number, Http3Exchange>();
  readonly #authority: string;
  #nextId = 0;
  /** Subject of the certificate that it was shown; null: there was no handshake. */
  certificate: string | null = null;
  /** Why there was none. */
  refused = "";
  isToldToGo = false;
  isClosed = false;
  /** Its process does nothing. */
  isStopped = false;

  private constructor(port: number, serverName: string) {
    this.#authority = `${serverName}:${port}`;
    this.#child = Bun.spawn([process.execPath, join(import.meta.dir, "http3-client-process.ts")], {
      stdio: ["ignore", "inherit", "ignore"],
      serialization: "advanced",
      ipc: (report) => this.#hear(report as Report),
    });
    this.order({ kind: "connect", port, serverName });
  }

  /** Connects; look at `refused`. */
  static async connect(port: number, serverName: string): Promise<Http3Client> {
    const client = new Http3Client(port, serverName);
    await until(() => client.certificate !== null || client.refused !== "", "a QUIC handshake");
    return client;
  }

  request(
    path: string,
    { method, authority, fields, content, trailers, open, stalled }: Http3Request = {},
  ): Http3Exchange {
    const exchange = new Http3Exchange(this.#nextId++, this);
    this.#exchanges.set(exchange.id, exchange);
    const end = content === undefined && trailers === undefined && open !== true;
    const head: Fields = {
      ":method": method ?? (end ? "GET" : "POST"),
      ":scheme": "https",
      ":authority": authority ?? this.#authority,
      ":path": path,
      ...fields,
    };
    this.order({ kind: "begin", id: exchange.id, fields: head, end, read: stalled !== true });
    if (end || open === true) return exchange;
    if (content !== undefined) exchange.send(content);
    exchange.finish(trailers ?? null);
    return exchange;
  }

  order(order: Order): void {
    this.#child.send(order);
  }

  /** Takes nothing from the network any more: the runtime gives windows back whatever is read of its streams. */
  stop(): void {
    this.isStopped = true;
    process.kill(this.#child.pid, "SIGSTOP");
  }

  goOn(): void {
    process.kill(this.#child.pid, "SIGCONT");
    this.isStopped = false;
  }

  /** Ends without a word, as a machine that is switched off. */
  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }

  #hear(report: Report): void {
    switch (report.kind) {
      case "connected":
        this.certificate = report.certificate;
        return;
      case "failed":
        this.refused = report.reason;
        return;
      case "goaway":
        this.isToldToGo = true;
        return;
      case "closed":
        this.isClosed = true;
        return;
      default:
        this.#exchanges.get(report.id)?.take(report);
    }
  }
}
