/** What this program can do: the catalog every command reads configs with. */
import { type Catalog, catalogOf } from "../config/catalog.ts";
import { middlewares } from "../middleware/index.ts";

export const catalog: Catalog = catalogOf(middlewares);
