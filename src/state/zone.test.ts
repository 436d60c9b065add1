import { describe, expect, test } from "bun:test";
import { closeSync, openSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { createZone, openZone, type ZoneShape } from "./zone.ts";

const SHAPE: ZoneShape = { slots: 3, totals: 5, levels: 4, shared: 3, times: 2 };

/** A process of its own that maps the zone as slot `slot` and counts. */
function worker(fd: number, slot: number, times: number) {
  const code = `
    const { openZone } = await import(${JSON.stringify(`${import.meta.dir}/zone.ts`)});
    const zone = openZone(3);
    for (let i = 0; i < ${times}; i++) {
      zone.totals[${slot}][1] += 0.5;
      zone.levels[${slot}][2] += 1;
      Atomics.add(zone.shared, 0, 1);
    }
    zone.times[1] = 0.25;`;
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
    expect([...zone.times]).toEqual([0, 0.25]);
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

  test("whoever inherits it finds its shape in it", () => {
    const zone = createZone(SHAPE);
    expect(openZone(zone.fd).shape).toEqual(SHAPE);
    zone.close();
  });

  test("cells that are cleared are zero in every slot, and their neighbours stay", () => {
    const zone = createZone(SHAPE);
    for (const slot of zone.totals) slot.fill(7);
    zone.shared.fill(7);
    zone.clear("totals", 1, 2);
    zone.clear("shared", 0, 2);
    for (const slot of zone.totals) expect([...slot]).toEqual([7, 0, 0, 7, 7]);
    expect([...zone.shared]).toEqual([0, 0, 7]);
    zone.close();
  });

  test("a file that is no zone is not mapped", () => {
    const path = `${tmpdir()}/lintel-no-zone-${crypto.randomUUID()}`;
    writeFileSync(path, "x".repeat(4096));
    const fd = openSync(path, "r+");
    expect(() => openZone(fd)).toThrow("of another program");
    closeSync(fd);
    unlinkSync(path);
  });

  test("a folder that is missing or has no room is skipped", () => {
    const zone = createZone(SHAPE, ["/nonexistent", "/proc", "/tmp"]);
    expect(zone.total(0)).toBe(0);
    zone.close();
    expect(() => createZone(SHAPE, ["/nonexistent"])).toThrow("no place for the shared zone (/nonexistent:");
  });
});
