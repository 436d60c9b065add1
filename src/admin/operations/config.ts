/** Operations on the config and the program. */
import { z } from "zod";
import type { ReloadResult, VersionView } from "../../server/control.ts";
import { operation } from "../operation.ts";
import { Problem } from "../problem.ts";
import { reloaded, version, versionText } from "../schemas.ts";
import { isoTime } from "./status.ts";

const TRIGGER = "admin API";

const number = (description: string) => z.coerce.number<string>().int().min(1).meta({ description });

export const reload = operation({
  id: "reload",
  method: "POST",
  path: "/v1/reload",
  summary: "Reads the config again and serves it. If something is wrong with it nothing changes.",
  access: "change",
  result: reloaded,
  problems: ["config-refused"],
  run: async ({ control }) => told(await control.reload(TRIGGER)),
});

export const listVersions = operation({
  id: "listVersions",
  method: "GET",
  path: "/v1/config/versions",
  summary: "Configs that were put in force, newest first.",
  access: "read",
  result: z.strictObject({ versions: z.array(version) }),
  run: ({ control }) => ({ versions: control.versions().map(dated) }),
});

export const getVersion = operation({
  id: "getVersion",
  method: "GET",
  path: "/v1/config/versions/{number}",
  summary: "What a version says.",
  access: "private",
  params: z.strictObject({ number: number("Of the version.") }),
  result: versionText,
  problems: ["unknown-version"],
  run: ({ control, params }) => dated(control.versionText(params.number)),
});

export const diffVersions = operation({
  id: "diffVersions",
  method: "GET",
  path: "/v1/config/diff",
  summary: "What is different between two versions.",
  access: "private",
  query: z.strictObject({ from: number("The older one."), to: number("The newer one.") }),
  result: z.strictObject({ diff: z.string().meta({ description: 'A unified diff; "" if they say the same.' }) }),
  problems: ["unknown-version"],
  run: ({ control, query }) => ({ diff: control.diff(query.from, query.to) }),
});

export const rollback = operation({
  id: "rollback",
  method: "POST",
  path: "/v1/config/rollback",
  summary: "Serves what a version said, as a new version. The config file stays as it is.",
  access: "change",
  content: z.strictObject({ version: z.int().min(1) }),
  result: reloaded,
  problems: ["unknown-version", "config-refused"],
  run: async ({ control, content }) => told(await control.rollback(content.version, `rollback to ${content.version}`)),
});

export const upgrade = operation({
  id: "upgrade",
  method: "POST",
  path: "/v1/upgrade",
  summary: "Lets the program on the disk take over the listeners. Done once /v1/status has another `startedAt`.",
  access: "change",
  status: 202,
  result: z.strictObject({ version: z.string().meta({ description: "Of the program that takes over." }) }),
  problems: ["upgrade-refused"],
  run: ({ control }) => control.upgrade(TRIGGER),
});

function told(result: ReloadResult) {
  if (result.outcome === "refused") {
    const { reason, diagnostics } = result;
    throw new Problem("config-refused", reason, {
      hint: "nothing has changed: the config before is still served",
      diagnostics,
    });
  }
  return result.outcome === "applied" ? result : { ...result, changes: [], diagnostics: [], tookMs: 0 };
}

const dated = <View extends VersionView>(view: View) => ({ ...view, at: isoTime(view.at) });
