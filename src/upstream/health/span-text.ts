/** "2 s", "1.5 s", "300 ms", "0.4 ms": a span of time for a log line. */
export function spanText(ms: number): string {
  if (ms >= 1000) return `${Math.round(ms / 100) / 10} s`;
  return `${ms >= 10 ? Math.round(ms) : Math.round(ms * 10) / 10} ms`;
}
