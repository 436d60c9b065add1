/** The providers, by the name a config uses in `discover`. A new one is a folder beside this file and its line here. */

import { dns } from "./dns/dns.ts";
import { dnsSrv } from "./dns-srv/dns-srv.ts";
import { file } from "./file/file.ts";
import type { ProviderDefinition } from "./provider.ts";

export const providers: readonly ProviderDefinition[] = [dns, dnsSrv, file];
