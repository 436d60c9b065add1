/** Creates every middleware once and drops it: some problems (a missing file) show only then. */
import { SILENT } from "../base/log.ts";
import type { Problem } from "../config/diagnostic.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { middlewares } from "../middleware/index.ts";

/** @returns problems with the path of the entry in `use` */
export function tryMiddlewares(
  { sites }: GatewayConfig,
  directory: string,
): { readonly path: string; readonly problem: Problem }[] {
  const disposals: (() => void)[] = [];
  const scope = { log: SILENT, directory, onDispose: (dispose: () => void) => void disposals.push(dispose) };
  const entries = sites.flatMap((site) => [...site.use, ...site.routes.flatMap((route) => route.use)]);
  const problems = entries.flatMap(({ name, options, path }) => {
    try {
      middlewares.find((definition) => definition.name === name)?.create(options, scope);
      return [];
    } catch (thrown) {
      const message = `middleware ${JSON.stringify(name)}: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
      return [{ path, problem: { code: "middleware-failed", message } }];
    }
  });
  for (const dispose of disposals) dispose();
  return problems;
}
