/**
 * Talks to one CA for one account (RFC 8555). The one file that knows the library, `acme-client`, which
 * signs the requests, keeps nonces and repeats what was refused for a stale one. Left out of it is its
 * `auto` mode: what is asked for when, and how often, is decided in order.ts, and never by sleeping inside a request.
 *
 * It is loaded when the first CA is spoken to: it brings half a second and 12 MB.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { Agent } from "node:https";
import type { Client } from "acme-client";
import program from "../../package.json" with { type: "json" };
import type { AcmeCaConfig } from "../config/gateway-config.ts";
import {
  type CaAuthorization,
  type CaChallenge,
  type CaOrder,
  readAuthorization,
  readOrder,
  readProblem,
} from "./ca-answers.ts";
import { CaProblem, oneLine, problemOf, readRetryAfter } from "./ca-problem.ts";
import { certificateId } from "./certificate-id.ts";

export interface CaClientOptions {
  readonly ca: AcmeCaConfig;
  /** PEM; null: the usual CAs. */
  readonly roots: string | null;
  /** PEM. */
  readonly accountKey: string;
  /** null: not registered yet. */
  readonly accountUrl: string | null;
  /** Longest time for one request with all of its answer. */
  readonly requestMs?: number;
}

/** When a CA would like to see a certificate renewed (RFC 9773 §4.2). */
export interface RenewalWindow {
  /** Unix time in ms. */
  readonly start: number;
  readonly end: number;
  /** When to ask again, ms from now. */
  readonly askAgainMs: number;
}

/** What holds for requests of one call; the library has one HTTP client for all. */
interface CallContext {
  readonly agent: Agent;
  readonly signal: AbortSignal;
  readonly requestMs: number;
  /** For messages. */
  readonly what: string;
  /** Otherwise answers are objects. */
  readonly wantsText: boolean;
  /** Of the last answer. */
  askAgainMs: number | null;
}

const context = new AsyncLocalStorage<CallContext>();

type Library = typeof import("acme-client");
let loading: Promise<Library> | null = null;

const REQUEST_MS = 30_000;
const MOST_OCTETS = 1024 * 1024;
const DIRECTORY_MS = 86_400_000;
/** RFC 9773 §4.3.2: within a minute and a day; six hours if the CA does not say. */
const ASK_AGAIN_MS = { least: 60_000, most: 86_400_000, usual: 6 * 3_600_000 };

function load(): Promise<Library> {
  loading ??= import("acme-client").then((library) => {
    const { axios } = library;
    axios.defaults.headers.common["User-Agent"] = `lintel/${program.version}`;
    // Its own repeat what failed, after as long a pause as the CA likes, and lose why there was no answer.
    axios.interceptors.request.clear();
    axios.interceptors.response.clear();
    axios.interceptors.request.use((config) => {
      const { agent, signal, requestMs } = context.getStore()!;
      return Object.assign(config, {
        httpsAgent: agent,
        // Its own limit ends with the head of the answer; content may come octet by octet for ever.
        signal: AbortSignal.any([signal, AbortSignal.timeout(requestMs)]),
        maxContentLength: MOST_OCTETS,
        // What is signed is signed for one URL.
        maxRedirects: config.method === "post" ? 0 : 3,
      });
    });
    axios.interceptors.response.use((response) => {
      const { status, data, headers, config } = response;
      const call = context.getStore()!;
      const retryAfter = headers["retry-after"] as string | undefined;
      call.askAgainMs = readRetryAfter(retryAfter ?? null);
      const problem = readProblem(data);
      // The library tries again with the nonce that came with this answer.
      const isStale = status === 400 && problem.type === "urn:ietf:params:acme:error:badNonce";
      if (status >= 300 && !isStale) throw problemOf(call.what, problem, `status ${status}`, retryAfter);
      const isRight = (typeof data === "object" && data !== null) || (call.wantsText && typeof data === "string");
      if (isStale || isRight || config.method === "head") return response;
      throw new CaProblem(
        "",
        `${call.what}: the CA's answer is no JSON object: ${oneLine(String(data)).slice(0, 100)}`,
      );
    });
    return library;
  });
  return loading;
}

/** A private key for an account or a certificate. @returns PEM */
export async function newPrivateKey(kind: "ecdsa-p256" | "ecdsa-p384" | "rsa-2048" | "rsa-4096"): Promise<string> {
  const { crypto } = await load();
  const [algorithm, size] = kind.split("-") as [string, string];
  const key =
    algorithm === "rsa"
      ? await crypto.createPrivateRsaKey(Number(size))
      : await crypto.createPrivateEcdsaKey(size === "p256" ? "P-256" : "P-384");
  return key.toString();
}

/** @returns PEM */
export async function newSigningRequest(name: string, key: string): Promise<string> {
  const { crypto } = await load();
  const [, request] = await crypto.createCsr({ altNames: [name] }, key);
  return request.toString();
}

export class CaClient {
  readonly ca: AcmeCaConfig;
  readonly #options: CaClientOptions;
  readonly #agent: Agent;
  #client: Client | null = null;
  #accountUrl: string | null;
  /** Where it is asked when to renew, from its directory. */
  #renewalInfo: { readonly url: string | null; readonly at: number } | undefined;

  constructor(options: CaClientOptions) {
    this.ca = options.ca;
    this.#options = options;
    this.#accountUrl = options.accountUrl;
    this.#agent = new Agent({
      keepAlive: true,
      maxSockets: 4,
      ...(options.roots === null ? {} : { ca: options.roots }),
    });
  }

  /** null: not registered yet. */
  get accountUrl(): string | null {
    return this.#accountUrl;
  }

  /** Its connections are closed. */
  close(): void {
    this.#agent.destroy();
  }

  /**
   * Makes the account, or finds it if there is one with this key.
   * @returns its URL
   * @throws {CaProblem}
   */
  register(email: string | null, signal: AbortSignal): Promise<string> {
    return this.#call("the account", signal, async (client) => {
      const contact = email === null ? {} : { contact: [`mailto:${email}`] };
      try {
        await client.createAccount({ termsOfServiceAgreed: true, ...contact });
      } catch (thrown) {
        // If there is one with this key, the library changes its address, and CAs refuse a change of nothing.
        if (email !== null || !isRegistered(client)) throw thrown;
      }
      this.#accountUrl = client.getAccountUrl();
      return this.#accountUrl;
    });
  }

  /** @param replaces  id of the certificate that it renews (RFC 9773 §5); null: none */
  order(name: string, replaces: string | null, signal: AbortSignal): Promise<CaOrder> {
    const what = "a new order";
    return this.#call(what, signal, async (client, call) => {
      const identifiers = [{ type: "dns", value: name }];
      const request = { identifiers, ...(replaces === null ? {} : { replaces }) };
      return readOrder(what, await client.createOrder(request), call.askAgainMs);
    });
  }

  look(order: CaOrder, signal: AbortSignal): Promise<CaOrder> {
    const what = "the order";
    return this.#call(what, signal, async (client, call) => {
      return readOrder(what, await client.getOrder(order as never), call.askAgainMs);
    });
  }

  authorization(url: string, signal: AbortSignal): Promise<CaAuthorization> {
    const what = "the authorization";
    return this.#call(what, signal, async (client, call) => {
      const [answer] = await client.getAuthorizations({ authorizations: [url] } as never);
      return readAuthorization(what, answer, call.askAgainMs);
    });
  }

  /** What has to be shown: the key authorization; for dns-01 its digest. */
  answerOf(challenge: CaChallenge): Promise<string> {
    return this.#call("the challenge", null, (client) => client.getChallengeKeyAuthorization(challenge as never));
  }

  /** It may look now. */
  complete(challenge: CaChallenge, signal: AbortSignal): Promise<void> {
    return this.#call("the challenge", signal, async (client) => {
      await client.completeChallenge(challenge as never);
    });
  }

  finalize(order: CaOrder, signingRequest: string, signal: AbortSignal): Promise<CaOrder> {
    const what = "the certificate";
    return this.#call(what, signal, async (client, call) => {
      return readOrder(what, await client.finalizeOrder(order as never, signingRequest), call.askAgainMs);
    });
  }

  /** @returns PEM chain, leaf first */
  download(order: CaOrder, signal: AbortSignal): Promise<string> {
    const { preferredChain } = this.ca;
    const run = async (client: Client) => {
      const chain: unknown = await client.getCertificate(order as never, preferredChain ?? undefined);
      if (typeof chain === "string" && chain.includes("-----BEGIN CERTIFICATE-----")) return chain;
      throw new CaProblem("", "the certificate: the CA's answer is no PEM (RFC 8555 §9.1)");
    };
    return this.#call("the certificate", signal, run, true);
  }

  /** @param cert PEM. @returns null if the CA offers no such advice, or none for this certificate */
  renewalWindow(cert: string, signal: AbortSignal): Promise<RenewalWindow | null> {
    return this.#call("renewal information", signal, async () => {
      const { axios } = await load();
      const id = certificateId(cert);
      if (this.#renewalInfo === undefined || performance.now() - this.#renewalInfo.at > DIRECTORY_MS) {
        const { data } = await axios.get<{ readonly renewalInfo?: unknown }>(this.ca.directory);
        const url = typeof data.renewalInfo === "string" ? data.renewalInfo.replace(/\/$/, "") : null;
        this.#renewalInfo = { url, at: performance.now() };
      }
      const { url } = this.#renewalInfo;
      if (url === null || id === null) return null;
      const { data, headers } = await axios.get<WrittenWindow>(`${url}/${id}`);
      return readWindow(data, readRetryAfter((headers["retry-after"] as string | undefined) ?? null));
    });
  }

  /** @throws {CaProblem}, or the signal's reason */
  async #call<T>(
    what: string,
    signal: AbortSignal | null,
    run: (client: Client, call: CallContext) => Promise<T>,
    wantsText = false,
  ): Promise<T> {
    const library = await load();
    const never = signal ?? new AbortController().signal;
    never.throwIfAborted();
    const { ca, accountKey, requestMs = REQUEST_MS } = this.#options;
    const accountUrl = this.#accountUrl;
    this.#client ??= new library.Client({
      directoryUrl: ca.directory,
      accountKey,
      ...(accountUrl === null ? {} : { accountUrl }),
      ...(ca.accountBinding === null
        ? {}
        : { externalAccountBinding: { kid: ca.accountBinding.id, hmacKey: ca.accountBinding.key } }),
    });
    const client = this.#client;
    const call: CallContext = { agent: this.#agent, signal: never, requestMs, what, wantsText, askAgainMs: null };
    try {
      return await context.run(call, () => run(client, call));
    } catch (thrown) {
      never.throwIfAborted();
      if (thrown instanceof CaProblem) throw thrown;
      throw new CaProblem("", `${what}: ${reasonOf(thrown)}`);
    }
  }
}

function isRegistered(client: Client): boolean {
  try {
    return client.getAccountUrl() !== "";
  } catch {
    return false;
  }
}

interface WrittenWindow {
  readonly suggestedWindow?: { readonly start?: string; readonly end?: string };
}

function readWindow({ suggestedWindow }: WrittenWindow, retryAfterMs: number | null): RenewalWindow | null {
  const [start, end] = [Date.parse(suggestedWindow?.start ?? ""), Date.parse(suggestedWindow?.end ?? "")];
  // RFC 9773 §4.2: an end that is not after the start says nothing.
  if (!(end > start)) return null;
  const { least, most, usual } = ASK_AGAIN_MS;
  return { start, end, askAgainMs: Math.min(Math.max(retryAfterMs ?? usual, least), most) };
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the CA does not listen",
  ENOTFOUND: "the CA's name cannot be resolved",
  EAI_AGAIN: "the CA's name cannot be resolved at the moment",
  ERR_CANCELED: "the CA did not answer in time",
  ETIMEDOUT: "the CA did not answer in time",
};

function reasonOf(thrown: unknown): string {
  const { code = "", message = String(thrown) } = thrown as Error & { code?: string };
  if (/certificate|issuer|self.signed/i.test(`${code} ${message}`))
    return `the CA's own certificate is not trusted (${oneLine(message)}); "roots" names another CA file`;
  if (message.includes("maxContentLength")) return "the CA's answer is too long";
  return WORDS[code] ?? oneLine(message);
}
