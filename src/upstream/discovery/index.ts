/** The providers, by the name a config uses in `discover`. */
import type { ProviderDefinition } from "./provider.ts";

export const providers: readonly ProviderDefinition[] = [];
