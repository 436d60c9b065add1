/**
 * Asks an endpoint over a connection that is made as those of the upstream's exchanges are: with its
 * TLS, in its version of HTTP, after its PROXY header. What works for the check works for them.
 */
import { lookup } from "node:dns/promises";
import type { Failure } from "../../../base/failure.ts";
import { type BodySink, NO_BODY } from "../../../http/body.ts";
import { FieldSection } from "../../../http/field-section.ts";
import { HttpRequest, type HttpResponse } from "../../../http/message.ts";
import { encodeSockaddr, isIp, parseAddress } from "../../../net/address.ts";
import type { ClientConnection, ResponseTaker, SentRequest } from "../../../protocol/client-connection.ts";
import { Endpoint } from "../../endpoint.ts";
import type { EndpointSettings } from "../../endpoint-settings.ts";
import { EndpointState, privateMemory } from "../../endpoint-state.ts";
import type { ConnectionTaker } from "../../pool.ts";
import { type Asking, messageOf } from "./ask.ts";

export interface Question {
  readonly address: string;
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** Who judges the answer. */
export interface Judge {
  onStatus(status: number): void;
  onContent(octets: Uint8Array): void;
  onEnd(): void;
  /** @param answered the head was there */
  onFailed(reason: string, answered: boolean): void;
}

const NOBODY = { connectionOpened() {}, connectionClosed() {}, becameIdle() {}, becameActive() {}, fault() {} };

export class AskingAsUpstream implements Asking, ConnectionTaker, ResponseTaker, BodySink {
  readonly #question: Question;
  readonly #judge: Judge;
  readonly #endpoint: Endpoint;
  #request!: HttpRequest;
  #connecting: { cancel(): void } | null = null;
  #sent: SentRequest | null = null;
  #isConnected = false;
  #answered = false;
  #isOver = false;

  constructor(question: Question, settings: EndpointSettings, judge: Judge) {
    this.#question = question;
    this.#judge = judge;
    const { address } = question;
    const spec = { address, weight: 1, backup: false, priority: 0, locality: null, maxInFlight: Infinity };
    const state = new EndpointState(privateMemory(), { shared: 0, times: 0 }, 0);
    // A connection of its own: that a kept one still works says nothing about a new one.
    this.#endpoint = new Endpoint(spec, state, { ...settings, maxIdle: 0 }, NOBODY);
    this.#begin().catch((thrown) => this.#fail(messageOf(thrown)));
  }

  async #begin(): Promise<void> {
    const { address, method, target, authority, fields } = this.#question;
    this.#endpoint.sockaddrs = await sockaddrsOf(address);
    if (this.#isOver) return;
    this.#request = new HttpRequest(method, "http", authority, target, FieldSection.of({ ...fields }), NO_BODY);
    this.#connecting = this.#endpoint.pool.connect(this.#request, Infinity, this);
  }

  release(): void {
    this.#isOver = true;
    this.#connecting?.cancel();
    this.#sent?.cancel();
    this.#endpoint.close();
  }

  late(span: string): string {
    if (!this.#isConnected) return `no connection within ${span}`;
    return this.#answered ? `the answer was not complete within ${span}` : `no answer within ${span}`;
  }

  onClient(client: ClientConnection): void {
    this.#isConnected = true;
    this.#connecting = null;
    this.#sent = client.send(this.#request, this.#question.authority, null, null, this);
  }

  onConnectFailed({ message }: Failure): void {
    this.#fail(message.replace(`${this.#question.address}: `, ""));
  }

  onInterim(): void {}

  onResponse(response: HttpResponse): void {
    this.#answered = true;
    this.#judge.onStatus(response.status);
    response.body.sendTo(this);
  }

  onFailed({ message }: Failure): void {
    this.#fail(`no answer: ${message}`);
  }

  onComplete(): void {}

  begin(): void {}

  write(octets: Uint8Array): void {
    if (!this.#isOver) this.#judge.onContent(octets);
  }

  end(): void {
    if (!this.#isOver) this.#judge.onEnd();
  }

  abort(): void {
    this.#fail("the answer was cut off");
  }

  #fail(reason: string): void {
    if (!this.#isOver) this.#judge.onFailed(reason, this.#answered);
  }
}

async function sockaddrsOf(address: string): Promise<Uint8Array[]> {
  const parsed = parseAddress(address);
  if (parsed === null) throw new TypeError(`${address} is not an address`);
  if (parsed.kind === "unix" || isIp(parsed.host)) return [encodeSockaddr(parsed)];
  const found = await lookup(parsed.host, { all: true }).catch(({ code }) => {
    throw new Error(`the name has no address: ${code}`);
  });
  return found.map((one) => encodeSockaddr({ kind: "tcp", host: one.address, port: parsed.port }));
}
