/** Creates every middleware once and drops it: some problems (a missing file) show only then. */
import { SILENT } from "../base/log.ts";
import type { Problem } from "../config/diagnostic.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { Scope } from "../http/define.ts";
import { middlewares } from "../middleware/index.ts";

/** @returns problems with the path of the entry in `use` */
export function tryMiddlewares(
  { sites }: GatewayConfig,
  directory: string,
): { readonly path: string; readonly problem: Problem }[] {
  const disposals: (() => void)[] = [];
  const scope = { log: SILENT, directory, onDispose: (dispose: () => void) => void disposals.push(dispose) };
  const entries = sites.flatMap((site) => [...site.use, ...site.routes.flatMap((route) => route.use)]);
  // What is written the same has the same options (config/schema/entry.ts), and so the same outcome: of 10,000 routes most are.
  const outcomes = new Map<string, Map<unknown, string | null>>();
  const problems: { path: string; problem: Problem }[] = [];
  for (const { name, options, path } of entries) {
    let known = outcomes.get(name);
    if (known === undefined) {
      known = new Map();
      outcomes.set(name, known);
    }
    let message = known.get(options);
    if (message === undefined) {
      message = outcomeOf(name, options, scope);
      known.set(options, message);
    }
    if (message !== null) problems.push({ path, problem: { code: "middleware-failed", message } });
  }
  for (const dispose of disposals) dispose();
  return problems;
}

/** @returns what is wrong; null if nothing is */
function outcomeOf(name: string, options: unknown, scope: Scope): string | null {
  try {
    middlewares.find((definition) => definition.name === name)?.create(options, scope);
    return null;
  } catch (thrown) {
    return `middleware ${JSON.stringify(name)}: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
  }
}
