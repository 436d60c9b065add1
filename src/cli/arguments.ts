/** Reads flags: `--name VALUE`, `--name=VALUE`, `-n VALUE`; `--` ends them. */
import { nearest } from "../config/nearest.ts";
import { UsageError } from "./command.ts";

export interface FlagSpec {
  /** Without dashes. */
  readonly name: string;
  /** One letter, if there is a short form. */
  readonly short?: string;
  /** What its value is, such as "FILE"; null for a switch. */
  readonly value: string | null;
  readonly summary: string;
  /** May be given more than once. */
  readonly many?: boolean;
}

/** Values by flag name; a switch has the value "". */
export class Flags {
  readonly #values = new Map<string, string[]>();

  add(name: string, value: string): void {
    const values = this.#values.get(name);
    if (values === undefined) this.#values.set(name, [value]);
    else values.push(value);
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  get(name: string): string | null {
    return this.#values.get(name)?.[0] ?? null;
  }

  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }
}

export const HELP: FlagSpec = { name: "help", short: "h", value: null, summary: "Show this help." };

/** @throws {UsageError} on an unknown flag, a missing or a surplus value, a flag given twice */
export function parseArguments(words: readonly string[], specs: readonly FlagSpec[]): { flags: Flags; rest: string[] } {
  const flags = new Flags();
  const rest: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === "--") {
      rest.push(...words.slice(i + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      rest.push(word);
      continue;
    }
    const equals = word.startsWith("--") ? word.indexOf("=") : -1;
    const given = equals < 0 ? word : word.slice(0, equals);
    const spec = find(given, specs);
    if (flags.has(spec.name) && spec.many !== true) throw new UsageError(`${given} is given twice`);
    if (spec.value === null) {
      if (equals >= 0) throw new UsageError(`${given} takes no value`);
      flags.add(spec.name, "");
      continue;
    }
    const value = equals >= 0 ? word.slice(equals + 1) : words[++i];
    if (value === undefined) throw new UsageError(`${given} needs a value: ${given} ${spec.value}`);
    flags.add(spec.name, value);
  }
  return { flags, rest };
}

function find(given: string, specs: readonly FlagSpec[]): FlagSpec {
  const all = [...specs, HELP];
  const found = all.find(
    (spec) => given === `--${spec.name}` || (spec.short !== undefined && given === `-${spec.short}`),
  );
  if (found !== undefined) return found;
  const near = nearest(
    given.replace(/^-+/, ""),
    all.map((spec) => spec.name),
  );
  throw new UsageError(`there is no flag ${given}`, near === null ? null : `did you mean --${near}?`);
}
