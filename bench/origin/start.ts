/** The origin servers of the bench, started and answering. */
import { join } from "node:path";
import type { Case } from "../cases.ts";
import type { Child, Children } from "../system/children.ts";
import { answered, freePorts } from "../system/ports.ts";
import { nginxOrigin } from "./nginx-origin.ts";

export interface Origins {
  readonly port: number;
  /** Of the one that reads content. */
  readonly uploadPort: number;
  /** Of the one at the end of tunnels. */
  readonly tunnelPort: number;
  readonly children: readonly Child[];
}

export async function startOrigins(children: Children, directory: string, cpu: number | undefined): Promise<Origins> {
  const [port, uploadPort, tunnelPort] = freePorts(3) as [number, number, number];
  const log = join(directory, "origin.log");
  const command = nginxOrigin(join(directory, "origin"), port);
  const nginx = children.start({ name: "origin server", command, cpu, log });
  const own = (name: string, program: string, ofPort: number) => {
    const command = [process.execPath, join(import.meta.dir, program), String(ofPort)];
    return children.start({ name, command, cpu, log });
  };
  const reader = own("upload origin server", "upload-origin.ts", uploadPort);
  const tunnels = own("origin server of tunnels", "tunnel-origin.ts", tunnelPort);
  await answered(nginx, port);
  await answered(reader, uploadPort);
  await answered(tunnels, tunnelPort);
  return { port, uploadPort, tunnelPort, children: [nginx, reader, tunnels] };
}

export function originPortOf({ group, generator, upload }: Case, { port, uploadPort, tunnelPort }: Origins): number {
  if (group === "tunnels" && generator !== "wrk") return tunnelPort;
  return upload > 0 ? uploadPort : port;
}
