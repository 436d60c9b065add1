/** The two origin servers of the bench, started and answering. */
import { join } from "node:path";
import type { Child, Children } from "../system/children.ts";
import { answered, freePorts } from "../system/ports.ts";
import { nginxOrigin } from "./nginx-origin.ts";

export interface Origins {
  readonly port: number;
  /** Of the one that reads content. */
  readonly uploadPort: number;
  readonly children: readonly Child[];
}

export async function startOrigins(children: Children, directory: string, cpu: number | undefined): Promise<Origins> {
  const [port, uploadPort] = freePorts(2) as [number, number];
  const log = join(directory, "origin.log");
  const command = nginxOrigin(join(directory, "origin"), port);
  const nginx = children.start({ name: "origin server", command, cpu, log });
  const reader = children.start({
    name: "upload origin server",
    command: [process.execPath, join(import.meta.dir, "upload-origin.ts"), String(uploadPort)],
    cpu,
    log,
  });
  await answered(nginx, port);
  await answered(reader, uploadPort);
  return { port, uploadPort, children: [nginx, reader] };
}
