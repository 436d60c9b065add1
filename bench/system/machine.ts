/** What the numbers were measured on, which cores are used for what, and who else was busy. */
import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";

export interface Pinning {
  readonly proxy: number | undefined;
  readonly load: number | undefined;
  readonly origin: number | undefined;
}

/** The proxy alone on the first core; load generator and origin share the second, or have one each. */
export function choosePinning(): Pinning {
  const cores = cpus().length;
  if (cores < 2 || Bun.which("taskset") === null) return { proxy: undefined, load: undefined, origin: undefined };
  return { proxy: 0, load: 1, origin: cores > 2 ? 2 : 1 };
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  /** Over the last minute, when the run began. */
  readonly load: number;
}

export function machine(): Machine {
  const cores = cpus();
  return {
    cpu: cores[0]?.model.trim() ?? "unknown",
    cores: cores.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    load: Math.round(loadavg()[0]! * 100) / 100,
  };
}

export interface Usage {
  /** CPU time of all programs since boot, microseconds. */
  readonly programs: number;
  /** Of interrupts and network processing, which are charged to no program. */
  readonly interrupts: number;
}

/** Of one core, or of all. */
export function usage(core?: number): Usage {
  const label = core === undefined ? "cpu" : `cpu${core}`;
  for (const line of readFileSync("/proc/stat", "latin1").split("\n")) {
    const [name, ...ticks] = line.split(/ +/);
    if (name !== label) continue;
    const [user, nice, system, , , irq, softirq] = ticks.map(Number);
    return { programs: (user! + nice! + system!) * 10_000, interrupts: (irq! + softirq!) * 10_000 };
  }
  return { programs: 0, interrupts: 0 };
}
