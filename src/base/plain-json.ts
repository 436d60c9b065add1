/** JSON that keeps Infinity, which limits that are off are. For what only this program reads. */

const INFINITY = "∞";

export const writeJson = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => (one === Infinity ? INFINITY : one));

/** @throws {SyntaxError} */
export const readJson = (text: string): unknown =>
  JSON.parse(text, (_, one: unknown) => (one === INFINITY ? Infinity : one)) as unknown;
