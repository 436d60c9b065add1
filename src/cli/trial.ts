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
  // What is written the same has the same outcome: of 10,000 routes most are.
  const outcomes = new Map<string, string | null>();
  const problems = entries.flatMap(({ name, options, written, path }) => {
    const text = `${name} ${JSON.stringify(written ?? {})}`;
    let message = outcomes.get(text);
    if (message === undefined) {
      message = outcomeOf(name, options, scope);
      outcomes.set(text, message);
    }
    return message === null ? [] : [{ path, problem: { code: "middleware-failed", message } }];
  });
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
