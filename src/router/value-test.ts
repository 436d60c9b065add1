/** Conditions on named values: fields, query parameters, cookies, variables. */
import type { ValueMatch } from "../config/gateway-config.ts";
import { compileRegex, isRegex } from "../config/pattern.ts";
import type { Exchange } from "../http/exchange.ts";
import { type Matcher, orList } from "./matcher.ts";

/** How the values of one name are read from an exchange. */
export interface ValueReader {
  /** The value if there is just one, the one that stands for all if there are more, undefined if there is none. */
  first(exchange: Exchange): string | undefined;
  /** Each value. */
  all(exchange: Exchange): readonly string[];
}

/** Several names, all of which must hold. Of a name with several values, one is enough. */
export function valuesMatcher(
  noun: string,
  conditions: Readonly<Record<string, ValueMatch>>,
  readerOf: (name: string) => ValueReader,
): Matcher {
  const tests = Object.entries(conditions).map(([name, match]) => new ValueTest(noun, name, match, readerOf(name)));
  const text = tests.map((test) => test.text).join(" and ");
  return {
    specificity: tests.length,
    matches(exchange) {
      for (const test of tests) if (!test.holds(exchange)) return false;
      return true;
    },
    describe: () => text,
    found: (exchange) => tests.find((test) => !test.holds(exchange))?.found(exchange) ?? "all of them",
  };
}

class ValueTest {
  readonly text: string;
  readonly #label: string;
  readonly #reader: ValueReader;
  /** null: the value does not matter, only whether there is one. */
  readonly #accepts: ((value: string) => boolean) | null;
  readonly #wantsAbsent: boolean;

  constructor(noun: string, name: string, match: ValueMatch, reader: ValueReader) {
    this.#label = `${noun} ${/^[\w.-]+$/.test(name) ? name : JSON.stringify(name)}`;
    this.#reader = reader;
    this.#wantsAbsent = match === false;
    this.#accepts = typeof match === "boolean" ? null : valueSet(match);
    if (typeof match === "boolean") this.text = match ? this.#label : `no ${this.#label}`;
    else this.text = `${this.#label} ${orList(match.map((value) => JSON.stringify(value)))}`;
  }

  holds(exchange: Exchange): boolean {
    const value = this.#reader.first(exchange);
    if (value === undefined) return this.#wantsAbsent;
    if (this.#accepts === null) return !this.#wantsAbsent;
    return this.#accepts(value) || this.#reader.all(exchange).some(this.#accepts);
  }

  found(exchange: Exchange): string {
    const value = this.#reader.first(exchange);
    return value === undefined ? `no ${this.#label}` : JSON.stringify(value);
  }
}

/** A function that knows the values of a list; one that begins with "~" is a regex. */
export function valueSet(values: readonly string[]): (value: string) => boolean {
  const exact = new Set(values.filter((value) => !isRegex(value)));
  const regexes = values.filter(isRegex).map(compileRegex);
  if (regexes.length === 0) return (value) => exact.has(value);
  return (value) => exact.has(value) || regexes.some((regex) => regex.test(value));
}
