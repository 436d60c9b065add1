/**
 * From what a config file exports to plain data: upstream objects become names and entries of
 * `upstreams`; what is no data is reported with its path.
 */
import { formatPath, type Path } from "../../path.ts";
import { upstreamName } from "./define.ts";

export interface Flat {
  readonly tree: unknown;
  readonly problems: readonly FlatProblem[];
  /** Where upstream objects stood that are now in `upstreams`, by name. */
  readonly origins: Readonly<Record<string, string>>;
}

export interface FlatProblem {
  readonly path: string;
  readonly code: string;
  readonly message: string;
}

const DEEPEST = 100;

export function flatten(exported: unknown): Flat {
  const flattener = new Flattener();
  const tree = flattener.value(exported, []);
  return {
    tree: flattener.withUpstreams(tree),
    problems: flattener.problems,
    origins: Object.fromEntries(flattener.origins),
  };
}

class Flattener {
  readonly problems: FlatProblem[] = [];
  readonly origins = new Map<string, string>();
  readonly #upstreams = new Map<string, { value: object; plain: unknown }>();
  readonly #open = new Set<object>();

  value(value: unknown, path: Path): unknown {
    if (value === null || typeof value === "string" || typeof value === "boolean") return value;
    if (typeof value === "number") {
      return Number.isFinite(value)
        ? value
        : this.#refuse(path, "bad-value", `${value} is not a number a config can hold`);
    }
    if (typeof value !== "object")
      return this.#refuse(path, "not-data", `a config is plain data, and this is a ${typeof value}`);
    if (this.#open.has(value)) return this.#refuse(path, "not-data", "this object holds itself");
    if (path.length > DEEPEST) return this.#refuse(path, "not-data", `this is nested more than ${DEEPEST} deep`);
    this.#open.add(value);
    const plain = this.#object(value, path);
    this.#open.delete(value);
    return plain;
  }

  /** Adds the upstreams that routes hold to those that have an entry. */
  withUpstreams(tree: unknown): unknown {
    if (this.#upstreams.size === 0 || typeof tree !== "object" || tree === null) return tree;
    const root = tree as Record<string, unknown>;
    const upstreams = { ...(typeof root["upstreams"] === "object" ? root["upstreams"] : {}) } as Record<
      string,
      unknown
    >;
    for (const [name, { plain }] of this.#upstreams) {
      if (Object.hasOwn(upstreams, name)) {
        this.#refuse(
          ["upstreams", name],
          "duplicate-upstream",
          `there is another upstream ${JSON.stringify(name)}, made by upstream()`,
        );
        continue;
      }
      upstreams[name] = plain;
    }
    return { ...root, upstreams };
  }

  #object(value: object, path: Path): unknown {
    const name = upstreamName(value);
    if (name !== null) return this.#upstream(name, value, path);
    if (Array.isArray(value))
      return value.map((item, i) => (item === undefined ? null : this.value(item, [...path, i])));
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== null && Object.getPrototypeOf(prototype as object) !== null) {
      return this.#refuse(
        path,
        "not-data",
        `a config is plain data, and this is a ${value.constructor?.name ?? "class instance"}`,
      );
    }
    return this.#members(value, path);
  }

  #members(value: object, path: Path): Record<string, unknown> {
    const members = Object.entries(value).filter(([, item]) => item !== undefined);
    // An assignment would lose a member "__proto__", which is for the schema to refuse.
    return Object.fromEntries(members.map(([key, item]) => [key, this.value(item, [...path, key])]));
  }

  #upstream(name: string, value: object, path: Path): unknown {
    // As an entry of `upstreams` it is what it is; the key is its name.
    if (path.length === 2 && path[0] === "upstreams") {
      if (path[1] !== name)
        this.#refuse(
          path,
          "bad-name",
          `upstream ${JSON.stringify(name)} stands under the name ${JSON.stringify(path[1])}`,
        );
      return this.#members(value, path);
    }
    if (path.at(-1) !== "to") return this.#refuse(path, "bad-type", 'an upstream() belongs into "to" or "upstreams"');
    const known = this.#upstreams.get(name);
    if (known === undefined) {
      this.#upstreams.set(name, { value, plain: this.#members(value, path) });
      this.origins.set(name, formatPath(path));
    } else if (known.value !== value) {
      this.#refuse(
        path,
        "duplicate-upstream",
        `there is another upstream ${JSON.stringify(name)}, at ${this.origins.get(name)}`,
      );
    }
    return name;
  }

  #refuse(path: Path, code: string, message: string): null {
    this.problems.push({ path: formatPath(path), code, message });
    return null;
  }
}
