/**
 * Runs the load generators that are programs of ours: `bun PROGRAM SECONDS PORT …`. Each prints its
 * result as one line of JSON.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Children, lastLines } from "../system/children.ts";
import type { Load } from "./wrk.ts";

/** @throws if it fails or says nothing */
export async function runProgram(
  children: Children,
  directory: string,
  name: string,
  port: number,
  rest: readonly (string | number)[],
  seconds: number,
  cpu: number | undefined,
): Promise<Load> {
  const output = join(directory, `${name}.json`);
  writeFileSync(output, "");
  const program = join(import.meta.dir, `${name}.ts`);
  const command = [process.execPath, program, String(seconds), String(port), ...rest.map(String)];
  const child = children.start({ name, command, cpu, output, log: join(directory, `${name}.log`) });
  const code = await children.finish(child, (seconds + 20) * 1000);
  const text = readFileSync(output, "utf8");
  if (code !== 0 || text === "") throw new Error(`${name} ended with code ${code}:\n${lastLines(child)}`);
  return { ...(JSON.parse(text) as Omit<Load, "cpuMicroseconds">), cpuMicroseconds: child.cpuMicroseconds() };
}
