/**
 * Both engines back to back: many exchanges at once on one connection, with content both ways,
 * small windows, octets in random pieces, kernels that are full and takers that pause at random
 * times. What either end reads must be what the other wrote, and what is cut must look cut.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Failure } from "../../base/failure.ts";
import { type BodySink, type Flow, NO_BODY } from "../../http/body.ts";
import type { Exchange } from "../../http/exchange.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpRequest, HttpResponse } from "../../http/message.ts";
import { PendingResponse } from "../../http/pending-response.ts";
import type { ResponseTaker } from "../client-connection.ts";
import type { ExchangeHooks } from "../exchange-hooks.ts";
import { FakeConnection, HEAD_LIMITS, latin1, RUNS, settle } from "../http1/testing.ts";
import { HandSource } from "../http1/testing-bodies.ts";
import { Http2ClientConnection, type Http2ClientOwner } from "./client.ts";
import { DEFAULT_FLOOD_LIMITS } from "./floods.ts";
import { flushFrames } from "./frame-output.ts";
import { Http2ServerConnection } from "./server.ts";

interface Plan {
  readonly request: Content;
  readonly response: Content;
  readonly interim: number;
  /** After so many pieces the response is cut; null: it is not. */
  readonly cutAfter: number | null;
}

interface Content {
  readonly pieces: readonly string[];
  readonly declared: boolean;
  readonly trailers: boolean;
}

const TRAILERS = FieldSection.of({ "x-sum": "1" });
const lengthOf = ({ pieces }: Content): number => pieces.join("").length;

/** Content on its way out, one piece at a time. */
class Sender {
  readonly source: HandSource;
  readonly #content: Content;
  readonly #cutAfter: number | null;
  #next = 0;
  over = false;

  constructor(content: Content, cutAfter: number | null = null) {
    this.#content = content;
    this.#cutAfter = cutAfter;
    this.source = new HandSource(content.declared ? lengthOf(content) : null);
  }

  /** @returns false if there is nothing to do now */
  step(): boolean {
    const { source } = this;
    if (this.over || !source.taken || source.paused || source.cancelled !== null) return false;
    if (this.#next === this.#cutAfter) {
      this.over = true;
      source.abort(new Failure("upstream-truncated", "cut by the test"));
    } else if (this.#next < this.#content.pieces.length) source.write(this.#content.pieces[this.#next++]!);
    else {
      this.over = true;
      source.end(this.#content.trailers ? TRAILERS : null);
    }
    return true;
  }
}

/** Content on its way in, whose taker pauses when it is told to. */
class Receiver implements BodySink {
  text = "";
  ended = "";
  trailers = 0;
  paused = false;
  #flow: Flow | null = null;

  begin(flow: Flow): void {
    this.#flow = flow;
  }

  write(octets: Uint8Array): void {
    if (this.ended !== "") throw new Error("written after the end");
    this.text += Buffer.from(octets).toString("latin1");
  }

  end(trailers: FieldSection | null): void {
    this.ended = "end";
    this.trailers = trailers?.size ?? 0;
  }

  abort(why: Failure): void {
    this.ended = why.code;
  }

  toggle(): void {
    this.paused = !this.paused;
    if (this.paused) this.#flow?.pause();
    else this.#flow?.resume();
  }

  resume(): void {
    if (this.paused) this.toggle();
  }
}

class Answer extends PendingResponse {
  give(response: HttpResponse): void {
    this.resolve(response);
  }
}

/** One exchange, at both ends. */
class Both implements ResponseTaker {
  readonly upload: Sender;
  readonly download: Sender;
  readonly uploaded = new Receiver();
  readonly downloaded = new Receiver();
  readonly answer = new Answer();
  interim = 0;
  status = 0;
  failed = "";
  completed = "";
  seen = 0;
  #answered = false;

  constructor(readonly plan: Plan) {
    this.upload = new Sender(plan.request);
    this.download = new Sender(plan.response, plan.cutAfter);
  }

  respond(exchange: Exchange): boolean {
    if (this.#answered) return false;
    this.#answered = true;
    for (let n = 0; n < this.plan.interim; n++) exchange.inform(103, FieldSection.of({ link: "</a>" }));
    this.answer.give(new HttpResponse(200, FieldSection.of({ "x-a": "b" }), this.download.source));
    return true;
  }

  onInterim(): void {
    this.interim++;
  }

  onResponse(response: HttpResponse): void {
    this.status = response.status;
    response.body.sendTo(this.downloaded);
  }

  onFailed(failure: Failure): void {
    this.failed = failure.code;
  }

  onComplete(failure: Failure | null): void {
    this.completed = failure === null ? "end" : failure.code;
  }
}

/** Numbers that follow from a seed. */
function random(seed: number): (limit: number) => number {
  let state = seed | 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  };
}

class Relay implements ExchangeHooks, Http2ClientOwner {
  readonly draining = false;
  readonly exchanges: Both[];
  readonly below: (limit: number) => number;
  readonly near = new FakeConnection();
  readonly far = new FakeConnection();
  readonly client: Http2ClientConnection;
  finished = 0;
  #exchanges = new Map<Both, Exchange>();
  /** Octets under way: to the server, to the client. */
  #under = [Buffer.alloc(0), Buffer.alloc(0)];
  #started = 0;

  constructor(plans: readonly Plan[], seed: number, windowOctets: number) {
    this.exchanges = plans.map((plan) => new Both(plan));
    this.below = random(seed);
    this.client = new Http2ClientConnection(
      this.near,
      {
        head: HEAD_LIMITS,
        maxStreams: 100,
        streamWindowOctets: windowOctets,
        connectionWindowOctets: 65_535,
        floods: { ...DEFAULT_FLOOD_LIMITS, frames: 1e9 },
        pingTime: null,
        pingAnswerTime: null,
      },
      this,
    );
    this.near.handler = this.client;
    this.far.handler = new Http2ServerConnection(
      this.far,
      { listener: "h2", peer: "", peerPort: 0, localAddress: "", localPort: 0, tls: null },
      {
        scheme: "http",
        head: HEAD_LIMITS,
        trailerOctets: 8192,
        maxStreams: 100,
        streamWindowOctets: windowOctets,
        connectionWindowOctets: 65_535,
        floods: { ...DEFAULT_FLOOD_LIMITS, frames: 1e9, resets: 1e9 },
        headTime: null,
        keepAliveTime: null,
        contentIdleTime: null,
        sendTime: null,
        continueTime: null,
        tunnelIdleTime: null,
        settingsTime: null,
        maxAgeTimes: [],
        contentRate: 0,
      },
      this,
    );
  }

  readonly handle = (exchange: Exchange): PendingResponse => {
    const both = this.exchanges[Number(exchange.request.target.slice(1))]!;
    both.seen++;
    this.#exchanges.set(both, exchange);
    exchange.request.body.sendTo(both.uploaded);
    return both.answer;
  };

  finish(): void {
    this.finished++;
  }

  malformed(): void {}
  closed(): void {}
  ready(): void {}
  hasRoom(): void {}
  leaving(): void {}
  gone(): void {}

  fault(thrown: unknown): void {
    throw thrown;
  }

  #start(): boolean {
    const both = this.exchanges[this.#started];
    if (both === undefined || this.client.capacity === 0) return false;
    const { request } = both.plan;
    const body = request.pieces.length === 0 && !request.trailers ? NO_BODY : both.upload.source;
    const asked = new HttpRequest(
      "POST",
      "http",
      "a.test",
      `/${this.#started++}`,
      FieldSection.of({ "x-a": "b" }),
      body,
    );
    asked.acceptsTrailers = true;
    this.client.send(asked, "a.test", null, null, both);
    return true;
  }

  /** Takes a piece of what is under way to where it goes. */
  #carry(which: 0 | 1, all = false): boolean {
    flushFrames();
    const [from, to] = which === 0 ? [this.near, this.far] : [this.far, this.near];
    const octets = Buffer.concat([this.#under[which]!, latin1(from.taken())]);
    const piece = all ? octets.length : this.below(octets.length + 1);
    this.#under[which] = octets.subarray(piece);
    if (piece > 0) to.arrive(octets.subarray(0, piece));
    return piece > 0;
  }

  #respond(both: Both): boolean {
    const exchange = this.#exchanges.get(both);
    return exchange !== undefined && both.respond(exchange);
  }

  #act(): void {
    const both = this.exchanges[this.below(this.exchanges.length)]!;
    switch (this.below(12)) {
      case 0:
        this.#start();
        break;
      case 1:
        (this.below(2) === 0 ? this.near : this.far).stall();
        break;
      case 2:
        (this.below(2) === 0 ? this.near : this.far).giveRoom();
        break;
      case 3:
        (this.below(2) === 0 ? both.uploaded : both.downloaded).toggle();
        break;
      case 4:
        this.#respond(both);
        break;
      case 5:
      case 6:
        both.upload.step();
        break;
      case 7:
      case 8:
        both.download.step();
        break;
      default:
        this.#carry(this.below(2) as 0 | 1);
    }
    settle();
  }

  run(): void {
    for (let n = 0; n < 60 * this.exchanges.length; n++) this.#act();
    // Whatever was full or paused by chance at the end is not any more.
    for (let quiet = 0; quiet < 3; quiet++) {
      let moved = this.#start();
      for (const connection of [this.near, this.far]) connection.giveRoom();
      for (const both of this.exchanges) {
        both.uploaded.resume();
        both.downloaded.resume();
        moved = this.#respond(both) || both.upload.step() || both.download.step() || moved;
      }
      settle();
      if (this.#carry(0, true) || this.#carry(1, true) || moved) quiet = 0;
    }
  }
}

const content: fc.Arbitrary<Content> = fc.record({
  pieces: fc.array(
    fc.integer({ min: 1, max: 3000 }).map((length) => String.fromCharCode(97 + (length % 26)).repeat(length)),
    { maxLength: 5 },
  ),
  declared: fc.boolean(),
  trailers: fc.boolean(),
});
const plan: fc.Arbitrary<Plan> = fc.record({
  request: content,
  response: content,
  interim: fc.nat(2),
  cutAfter: fc.option(fc.nat(5), { freq: 3 }),
});

test("what goes in at one end comes out at the other, whatever is cut, full or paused when", () => {
  fc.assert(
    fc.property(
      fc.array(plan, { minLength: 1, maxLength: 8 }),
      fc.integer(),
      fc.constantFrom(1, 100, 1000, 65_535),
      (plans, seed, windowOctets) => {
        const relay = new Relay(plans, seed, windowOctets);
        relay.run();
        expect([relay.near.fate, relay.far.fate]).toEqual(["open", "open"]);
        for (const [index, both] of relay.exchanges.entries()) {
          const { request, response, cutAfter, interim } = plans[index]!;
          const isCut = cutAfter !== null && cutAfter <= response.pieces.length;
          expect([both.seen, both.status, both.failed, both.interim]).toEqual([1, 200, "", interim]);
          const whole = response.pieces.join("");
          if (isCut) {
            expect(whole.startsWith(both.downloaded.text)).toBe(true);
            expect([both.downloaded.ended, both.completed]).toEqual(["upstream-truncated", "upstream-truncated"]);
          } else {
            expect(both.downloaded.text).toBe(whole);
            expect([both.downloaded.ended, both.completed, both.downloaded.trailers]).toEqual([
              "end",
              "end",
              response.trailers ? 1 : 0,
            ]);
          }
          // A response that is over before the request ends that too.
          const sent = request.pieces.join("");
          if (both.uploaded.ended === "end") {
            expect(both.uploaded.text).toBe(sent);
            expect(both.uploaded.trailers).toBe(request.trailers ? 1 : 0);
          } else {
            expect(sent.startsWith(both.uploaded.text)).toBe(true);
            expect(both.upload.over || both.upload.source.cancelled !== null).toBe(true);
          }
        }
        expect([relay.finished, relay.client.openStreams]).toEqual([plans.length, 0]);
      },
    ),
    { numRuns: RUNS },
  );
}, 60_000);
