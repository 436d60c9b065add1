/** Every command, in the order the help shows them. */
import type { Command } from "../command.ts";
import { cert } from "./cert.ts";
import { check } from "./check.ts";
import { config } from "./config.ts";
import { disable, drain, enable } from "./duty.ts";
import { explain } from "./explain.ts";
import { reload } from "./reload.ts";
import { routes } from "./routes.ts";
import { run } from "./run.ts";
import { schema } from "./schema.ts";
import { top } from "./top.ts";
import { trust } from "./trust.ts";
import { upgrade } from "./upgrade.ts";
import { upstreams } from "./upstreams.ts";
import { version } from "./version.ts";

export const commands: readonly Command[] = [
  run,
  check,
  routes,
  explain,
  top,
  upstreams,
  cert,
  trust,
  drain,
  enable,
  disable,
  reload,
  config,
  upgrade,
  schema,
  version,
];
