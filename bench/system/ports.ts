/** Ports on the loopback interface: finding free ones, and waiting until one is answered. */
import { type Child, lastLines } from "./children.ts";

/**
 * So many different free ports. They are free when this returns, not reserved: nothing else should
 * be starting servers at that moment.
 */
export function freePorts(count: number): number[] {
  const listeners = Array.from({ length: count }, () =>
    Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } }),
  );
  const ports = listeners.map(({ port }) => port);
  for (const listener of listeners) listener.stop(true);
  return ports;
}

/** @throws if the port is not answered with an HTTP response in time, or the child ends first */
export async function answered(
  child: Child,
  port: number,
  path = "/",
  isTls = false,
  deadlineMs = 15_000,
): Promise<void> {
  for (const end = Date.now() + deadlineMs; Date.now() < end; ) {
    if (!child.running()) throw new Error(`${child.name} ended at its start:\n${lastLines(child)}`);
    try {
      const response = await fetch(`${isTls ? "https" : "http"}://127.0.0.1:${port}${path}`, {
        signal: AbortSignal.timeout(2000),
        tls: { rejectUnauthorized: false },
      });
      await response.arrayBuffer();
      return;
    } catch {
      await Bun.sleep(50);
    }
  }
  throw new Error(`${child.name} did not answer on port ${port} within ${deadlineMs} ms:\n${lastLines(child)}`);
}
