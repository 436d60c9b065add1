/** Reads the profiles that Bun and Node.js write with --cpu-prof. */

export interface CpuProfile {
  readonly nodes: readonly {
    readonly hitCount: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
}

export interface SelfTime {
  readonly name: string;
  /** file:line; empty for native code. */
  readonly place: string;
  readonly samples: number;
}

/** Samples in each function itself, over all ways it was called; the most first. */
export function selfTimes({ nodes }: CpuProfile): SelfTime[] {
  const byPlace = new Map<string, { name: string; place: string; samples: number }>();
  for (const { hitCount, callFrame } of nodes) {
    if (hitCount === 0) continue;
    const name = callFrame.functionName || "(anonymous)";
    const place = callFrame.url === "" ? "" : `${callFrame.url}:${callFrame.lineNumber + 1}`;
    const key = `${name} ${place}`;
    const known = byPlace.get(key);
    if (known === undefined) byPlace.set(key, { name, place, samples: hitCount });
    else known.samples += hitCount;
  }
  return [...byPlace.values()].sort((a, b) => b.samples - a.samples);
}
