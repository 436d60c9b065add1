/** What this process uses, into the metrics once a second. */
import type { GatewayMetrics } from "./metrics.ts";

const EVERY_MS = 1000;

/** CPU seconds that are counted already: under other metrics too, if the config was another one then. */
let before = 0;

/** @returns stops it */
export function startProcessSampling(metrics: GatewayMetrics): () => void {
  const sample = () => {
    const { user, system } = process.cpuUsage();
    const seconds = (user + system) / 1e6;
    metrics.cpuSeconds.add(seconds - before);
    before = seconds;
    try {
      metrics.residentMemory.set(process.memoryUsage.rss());
    } catch {
      // It opens a file for that, and there is no descriptor left: the last value stays.
    }
  };
  sample();
  const timer = setInterval(sample, EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
