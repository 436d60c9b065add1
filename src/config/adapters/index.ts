/** The config languages. */
import type { Adapter } from "../adapter.ts";
import { json } from "./json/json.ts";
import { typescript } from "./typescript/typescript.ts";
import { yaml } from "./yaml/yaml.ts";

export const adapters: readonly Adapter[] = [typescript, yaml, json];

/** The adapter for a file name, or null. */
export function adapterFor(file: string): Adapter | null {
  return adapters.find((adapter) => adapter.extensions.some((extension) => file.endsWith(extension))) ?? null;
}
