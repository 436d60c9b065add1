/** What this program can do: the catalog every command reads configs with. */
import { type Catalog, catalogOf } from "../config/catalog.ts";
import { variables } from "../http/variable-rules.ts";
import { middlewares } from "../middleware/index.ts";
import { balancers } from "../upstream/balancers/index.ts";
import { providers } from "../upstream/discovery/index.ts";
import { checks } from "../upstream/health/checks/index.ts";

export const catalog: Catalog = catalogOf({ middlewares, balancers, providers, checks, variables });
