import { describe, expect, test } from "bun:test";
import { createZone, openZone, type ZoneShape } from "./zone.ts";

const SHAPE: ZoneShape = { slots: 3, totals: 5, levels: 4, shared: 2, fingerprint: 0xdeadbeef };

/** A process of its own that maps the zone as slot `slot` and counts. */
function worker(fd: number, slot: number, times: number) {
  const code = `
    const { openZone } = await import(${JSON.stringify(`${import.meta.dir}/zone.ts`)});
    const zone = openZone(${JSON.stringify(SHAPE)}, 3);
    for (let i = 0; i < ${times}; i++) {
      zone.totals[${slot}][1] += 0.5;
      zone.levels[${slot}][2] += 1;
      Atomics.add(zone.shared, 0, 1);
    }`;
  const stdio = ["ignore", "inherit", "inherit", fd] as ["ignore", "inherit", "inherit", number];
  return Bun.spawn([process.execPath, "-e", code], { stdio });
}

describe("zone", () => {
  test("processes count into their own slots and into shared cells, and nothing is lost", async () => {
    const zone = createZone(SHAPE);
    const times = 300_000;
    const codes = await Promise.all([0, 1, 2].map((slot) => worker(zone.fd, slot, times).exited));
    expect(codes).toEqual([0, 0, 0]);
    expect(zone.total(1)).toBe(times * 1.5);
    expect(zone.level(2)).toBe(times * 3);
    expect(Atomics.load(zone.shared, 0)).toBe(times * 3);
    expect([zone.total(0), zone.level(0), Atomics.load(zone.shared, 1)]).toEqual([0, 0, 0]);
    zone.close();
  });

  test("a worker that takes a slot over goes on adding; its predecessor's levels can be zeroed", async () => {
    const zone = createZone(SHAPE);
    await worker(zone.fd, 1, 10).exited;
    zone.clearLevels(1);
    await worker(zone.fd, 1, 10).exited;
    expect(zone.total(1)).toBe(10);
    expect(zone.level(2)).toBe(10);
    zone.close();
  });

  test("a zone of another layout is not mapped", () => {
    const zone = createZone(SHAPE);
    expect(() => openZone({ ...SHAPE, fingerprint: 1 }, zone.fd)).toThrow("another layout");
    expect(() => openZone({ ...SHAPE, totals: 1000 }, zone.fd)).toThrow("another layout");
    zone.close();
  });

  test("a folder that is missing or has no room is skipped", () => {
    const zone = createZone(SHAPE, ["/nonexistent", "/proc", "/tmp"]);
    expect(zone.total(0)).toBe(0);
    zone.close();
    expect(() => createZone(SHAPE, ["/nonexistent"])).toThrow("no place for the shared zone (/nonexistent:");
  });
});
