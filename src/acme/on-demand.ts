/**
 * Which names a client may make us order a certificate for, and how many. Whoever points a name at us, or
 * only makes one up, could else use up what the CA allows us.
 */
import type { Log } from "../base/log.ts";
import type { OnDemandConfig } from "../config/gateway-config.ts";
import { compileRegex, isRegex } from "../config/pattern.ts";
import { NameSet } from "../tls/name-table.ts";

/** A name that a CA could certify: letters, digits and hyphens, at least two labels (RFC 5280 §4.2.1.6). */
const CERTIFIABLE = /^(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** How long what `ask` has said holds. */
const ANSWER_MS = 60_000;
const MOST_ANSWERS = 10_000;
const MOST_QUESTIONS = 50;
const ASK_MS = 5000;
const COMPLAINT_MS = 60_000;

/** @param name lower case, as a client has sent it */
export const isCertifiable = (name: string): boolean => CERTIFIABLE.test(name);

export class OnDemandRules {
  readonly #config: OnDemandConfig;
  readonly #log: Log;
  readonly #names: NameSet;
  readonly #regexes: readonly RegExp[];
  readonly #answers = new Map<string, { readonly isAllowed: boolean; readonly at: number }>();
  #questions = 0;
  /** When the last orders were begun. */
  #orders: number[] = [];
  #complainedAt = Number.NEGATIVE_INFINITY;

  constructor(config: OnDemandConfig, log: Log) {
    this.#config = config;
    this.#log = log;
    const allow = config.allow ?? [];
    this.#names = new NameSet(allow.filter((pattern) => !isRegex(pattern)));
    this.#regexes = allow.filter(isRegex).map(compileRegex);
  }

  /** @param name lower case */
  async allows(name: string): Promise<boolean> {
    const { allow, ask } = this.#config;
    if (!isCertifiable(name)) return false;
    if (allow !== null && !this.#names.has(name) && !this.#regexes.some((regex) => regex.test(name))) return false;
    return ask === null || (await this.#ask(ask, name));
  }

  /** Counts an order. @param stored  names that have a certificate. @returns false if it has to wait */
  mayOrder(name: string, stored: number, now = performance.now()): boolean {
    const { rate, per, names } = this.#config;
    this.#orders = this.#orders.filter((at) => now - at < per);
    if (stored >= names) this.#complain(now, `"names": there are certificates for ${stored} names already`, name);
    else if (this.#orders.length >= rate) this.#complain(now, `"rate": ${rate} in ${per / 1000} s`, name);
    else {
      this.#orders.push(now);
      return true;
    }
    return false;
  }

  #complain(now: number, limit: string, name: string): void {
    if (now - this.#complainedAt < COMPLAINT_MS) return;
    this.#complainedAt = now;
    this.#log.warn("on demand: a limit is reached, and some clients get no certificate", { limit, name });
  }

  async #ask(url: string, name: string): Promise<boolean> {
    const known = this.#answers.get(name);
    if (known !== undefined && performance.now() - known.at < ANSWER_MS) return known.isAllowed;
    if (this.#questions >= MOST_QUESTIONS) return false;
    this.#questions++;
    try {
      const asked = new URL(url);
      asked.searchParams.set("domain", name);
      const answer = await fetch(asked, { redirect: "manual", signal: AbortSignal.timeout(ASK_MS) });
      await answer.body?.cancel();
      const isAllowed = answer.status === 200;
      if (this.#answers.size >= MOST_ANSWERS) this.#answers.clear();
      this.#answers.set(name, { isAllowed, at: performance.now() });
      return isAllowed;
    } catch (thrown) {
      this.#log.warn('on demand: "ask" does not answer, so there is no certificate', {
        name,
        reason: (thrown as Error).message,
      });
      return false;
    } finally {
      this.#questions--;
    }
  }
}
