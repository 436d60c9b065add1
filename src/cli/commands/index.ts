/** Every command, in the order the help shows them. */
import type { Command } from "../command.ts";
import { check } from "./check.ts";
import { explain } from "./explain.ts";
import { routes } from "./routes.ts";
import { run } from "./run.ts";
import { schema } from "./schema.ts";
import { version } from "./version.ts";

export const commands: readonly Command[] = [run, check, routes, explain, schema, version];
