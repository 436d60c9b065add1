/** What a config may say of variables: judged when it is read, so that `lintel check` knows what a worker would refuse. */
import { compileTemplate, nearestVariable, readerFor } from "./variable.ts";

/**
 * First parts of names of what has not happened, or is not decided, when a route is chosen: as a
 * condition it would always be empty.
 */
const LATER: ReadonlySet<string> = new Set([
  "site",
  "route",
  "param",
  "upstream",
  "attempts",
  "response",
  "grpc",
  "outcome",
  "duration-ms",
]);

export const variables = {
  /** @returns what is wrong with a template, or null */
  judgeTemplate(text: string): string | null {
    return problemOf(() => compileTemplate(text));
  },

  /** @returns what is wrong with a variable's name in the `match` of a route, or null */
  judgeCondition(name: string): { problem: string; hint: string | null } | null {
    const bare = /^\{(.*)\}$/.exec(name)?.[1];
    const shown = JSON.stringify(name);
    if (bare !== undefined)
      return {
        problem: `${shown} is not the name of a variable`,
        hint: `write it without braces: ${JSON.stringify(bare)}`,
      };
    const problem = problemOf(() => readerFor(name));
    if (problem?.startsWith("there is no variable"))
      return {
        problem: `there is no variable ${shown}`,
        hint: `did you mean ${JSON.stringify(nearestVariable(name))}?`,
      };
    if (problem !== null) return { problem, hint: null };
    if (!LATER.has(name.split(".", 1)[0]!)) return null;
    const why = `variable ${shown} can be no condition: it is not known when a route is chosen`;
    return { problem: why, hint: 'variables of "client", "request", "tls" and "time" are' };
  },
};

function problemOf(run: () => unknown): string | null {
  try {
    run();
    return null;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}
