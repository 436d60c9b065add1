import { describe, expect, test } from "bun:test";
import { Allocation, Noting, type Placement, Sequence, Told } from "../state/placement.ts";
import { createZone } from "../state/zone.ts";
import { renderMetrics } from "./exposition.ts";
import { BUCKETS, Registry } from "./registry.ts";

/** The same registrations as each process makes; attached to a slot when there is a zone. */
function sample(placement: Placement = new Sequence()) {
  const registry = new Registry(placement);
  return {
    registry,
    plain: registry.counter("plain_total", "Plain."),
    labelled: registry.counter("labelled_total", 'Has a "label".\nTwo lines, one \\.', { path: 'a"b\\c\nd' }),
    row: registry.counters("row_total", "A row.", { site: "s" }, { listener: ["a", "b"], code: ["2xx", "4xx"] }),
    level: registry.level("open", "Open ones."),
    gauge: registry.gauge("set", "Set."),
    memory: registry.gaugePerWorker("memory_bytes", "Memory."),
    duration: registry.histogram("duration_seconds", "Duration.", { route: "r" }),
  };
}

function pair() {
  const placement = new Sequence();
  const one = sample(placement);
  const two = sample();
  const zone = createZone({ ...placement.sizes, slots: 2 });
  one.registry.attach(zone, 0);
  two.registry.attach(zone, 1);
  return { one, two, zone, lines: () => renderMetrics(one.registry, zone).split("\n") };
}

describe("registry", () => {
  test("one rendering adds up all slots", () => {
    const { one, two, lines } = pair();
    one.plain.add(2);
    two.plain.add(0.5);
    one.level.up();
    two.level.up();
    two.level.up();
    one.level.down();
    one.row.add(2, 7); // listener b, 2xx
    one.gauge.set(3);
    expect(lines()).toContain("plain_total 2.5");
    expect(lines()).toContain("open 2");
    expect(lines()).toContain("set 3");
    expect(lines()).toContain('row_total{site="s",listener="b",code="2xx"} 7');
  });

  test("what is shown for each worker is not added up", () => {
    const { one, two, lines } = pair();
    one.memory.set(10);
    two.memory.set(20);
    expect(lines()).toContain('memory_bytes{worker="0"} 10');
    expect(lines()).toContain('memory_bytes{worker="1"} 20');
  });

  test("labels and help are escaped (text format 0.0.4)", () => {
    const { one, lines } = pair();
    one.labelled.add(1);
    expect(lines()).toContain('# HELP labelled_total Has a "label".\\nTwo lines, one \\\\.');
    expect(lines()).toContain("# TYPE labelled_total counter");
    expect(lines()).toContain('labelled_total{path="a\\"b\\\\c\\nd"} 1');
  });

  test("a labelled counter appears once it has counted, one without labels at once", () => {
    const { lines } = pair();
    expect(lines()).toContain("plain_total 0");
    expect(lines().filter((line) => /^(labelled|row|duration)/.test(line))).toEqual([]);
  });

  test.each([
    [0, "0.0005"],
    [0.5, "0.0005"],
    [0.51, "0.001"],
    [1, "0.001"],
    [3, "0.004"],
    [65_536, "65.536"],
    [65_537, "+Inf"],
    [1e12, "+Inf"],
  ])("a duration of %d ms falls into the bucket up to %s s", (ms, le) => {
    const { one, lines } = pair();
    one.duration.observe(ms);
    const bounds = [...BUCKETS.map(String), "+Inf"];
    for (const [i, bound] of bounds.entries()) {
      const count = i < bounds.indexOf(le) ? 0 : 1;
      expect(lines()).toContain(`duration_seconds_bucket{route="r",le="${bound}"} ${count}`);
    }
    expect(lines()).toContain('duration_seconds_count{route="r"} 1');
    expect(lines()).toContain(`duration_seconds_sum{route="r"} ${ms / 1000}`);
  });

  test("a worker's death zeroes its levels and gauges, not its counters", () => {
    const { one, zone, lines } = pair();
    one.plain.add(1);
    one.level.up();
    one.gauge.set(5);
    one.memory.set(5);
    one.registry.clear(zone, 0);
    expect(lines()).toEqual(expect.arrayContaining(["plain_total 1", "open 0", "set 0", 'memory_bytes{worker="0"} 0']));
  });

  test("a process that is told the places counts where the other one does", () => {
    const noting = new Noting(new Sequence({ totals: 7, levels: 3 }));
    const one = sample(noting);
    const two = sample(new Told(noting.places));
    const zone = createZone({ totals: 200, levels: 10, shared: 0, times: 0, slots: 2 });
    one.registry.attach(zone, 0);
    two.registry.attach(zone, 1);
    two.plain.add(2);
    two.duration.observe(1);
    expect(renderMetrics(one.registry, zone)).toBe(renderMetrics(two.registry, zone));
    expect(renderMetrics(one.registry, zone)).toContain("plain_total 2\n");
  });

  test("under another config the same series keep their cells, others get cells of their own", () => {
    const zone = createZone({ totals: 12, levels: 0, shared: 0, times: 0, slots: 1 });
    const allocation = new Allocation(zone.shape, (area, first, cells) => zone.clear(area, first, cells));
    const under = (...routes: string[]) => {
      const registry = new Registry(allocation);
      const counters = routes.map((route) =>
        registry.counters("requests_total", "Requests.", { route }, { code: ["2xx", "4xx"] }),
      );
      registry.attach(zone, 0);
      return { counters, text: () => renderMetrics(registry, zone) };
    };
    under("a", "b").counters.forEach((row, i) => {
      row.add(0, i + 1);
    });
    const after = under("b", "c");
    expect(after.text()).toContain('requests_total{route="b",code="2xx"} 2\n');
    expect(after.text()).not.toContain('route="c"');
  });

  test("what is registered and dropped while we run is shown as long as it is there", () => {
    const { one, two, lines } = pair();
    const labels = { endpoint: "10.0.0.1:80" };
    const add = (registry: Registry) =>
      registry.within(new Sequence({ totals: 0 }), () => registry.counter("late_total", "Late.", labels));
    add(one.registry);
    add(two.registry).add(3);
    expect(lines()).toContain('late_total{endpoint="10.0.0.1:80"} 3');
    one.registry.drop(labels);
    expect(lines().join()).not.toContain("10.0.0.1");
  });

  test("counting before there is a zone does nothing", () => {
    const { registry, plain, level, duration } = sample();
    plain.add(1);
    level.up();
    duration.observe(1);
    expect([...registry.families].length).toBeGreaterThan(0);
  });
});
