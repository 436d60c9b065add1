/** One window of load on one port, by the generator of the case. */
import type { Case } from "../cases.ts";
import { isTls } from "../proxies/contender.ts";
import type { Children } from "../system/children.ts";
import { runH2load } from "./h2load.ts";
import { runProgram } from "./program.ts";
import { type Load, runWrk, writeScript } from "./wrk.ts";

export interface Generators {
  readonly children: Children;
  /** For their files. */
  readonly directory: string;
  readonly cpu: number | undefined;
}

export function generate(
  { children, directory, cpu }: Generators,
  each: Case,
  port: number,
  seconds: number,
): Promise<Load> {
  const { generator, protocol, connections, streams, path } = each;
  const url = baseOf(each, port) + path;
  const program = (name: string, ...rest: (string | number)[]) =>
    runProgram(children, directory, name, port, rest, seconds, cpu);
  if (generator === "wrk") return runWrk(children, writeScript(directory, each), url, each, seconds, cpu);
  if (generator === "h2load") return runH2load(children, directory, url, each, seconds, cpu);
  if (generator === "handshakes") return program("handshakes", connections);
  if (generator === "http3") return program("http3", connections, streams);
  return program("tunnels", connections, protocol, path);
}

export const baseOf = ({ protocol }: Case, port: number): string =>
  `${isTls(protocol) ? "https" : "http"}://127.0.0.1:${port}`;
