/** An origin server of gRPC in a process of its own (e2e/grpc-origin.mjs: @grpc/grpc-js under Node.js). */
import { join } from "node:path";

export interface GrpcOrigin extends Disposable {
  /** "127.0.0.1:port" */
  readonly address: string;
  stop(): void;
}

/** @param pair files of a certificate and its key; without, it has no TLS */
export async function startGrpcOrigin(pair?: { readonly cert: string; readonly key: string }): Promise<GrpcOrigin> {
  const program = join(import.meta.dir, "../e2e/grpc-origin.mjs");
  const child = Bun.spawn(["node", program, ...(pair === undefined ? [] : [pair.cert, pair.key])], {
    stdin: "pipe",
    stdout: "pipe",
  });
  for await (const piece of child.stdout) {
    const port = Number(Buffer.from(piece).toString());
    if (!Number.isInteger(port)) break;
    const stop = () => child.kill();
    return { address: `127.0.0.1:${port}`, stop, [Symbol.dispose]: stop };
  }
  child.kill();
  throw new Error("the origin server of gRPC did not start");
}
