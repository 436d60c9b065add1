/** What a `lintel.config.ts` is written with. Its types are in src/index.ts. */

/** Marks an object made by `upstream`; a route's `to` may hold one. Shared by every copy of the package. */
export const UPSTREAM = Symbol.for("lintel.upstream");

/** The config itself; here for its types. */
export function identity<T>(config: T): T {
  return config;
}

/** Options with the name they are defined by, which does not count as an option. */
export function named<T extends object>(name: string, options: T): T {
  return Object.defineProperty({ ...options }, UPSTREAM, { value: name });
}

/** The name given to `upstream`, or null for any other value. */
export function upstreamName(value: object): string | null {
  const name = (value as { [UPSTREAM]?: unknown })[UPSTREAM];
  return typeof name === "string" ? name : null;
}
