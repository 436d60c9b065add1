/**
 * The metrics as Prometheus reads them: text format 0.0.4. One scrape adds up the cells of all
 * workers.
 *
 * Counters with labels appear once they have counted something, as with the client libraries:
 * a config of 10,000 sites does not make a scrape of 100,000 zeros.
 */
import type { Zone } from "../state/zone.ts";
import {
  BUCKETS,
  type Dimensions,
  type Family,
  HISTOGRAM_CELLS,
  type Labels,
  type Registry,
  type Series,
} from "./registry.ts";

export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** @param slotName value of the `worker` label for a slot */
export function renderMetrics(registry: Registry, zone: Zone, slotName: (slot: number) => string = String): string {
  let text = "";
  for (const family of registry.families) {
    text += `# HELP ${family.name} ${escapeHelp(family.help)}\n# TYPE ${family.name} ${family.kind}\n`;
    for (const series of family.series) text += renderSeries(family, series, zone, slotName);
  }
  return text;
}

function renderSeries(family: Family, series: Series, zone: Zone, slotName: (slot: number) => string): string {
  const { name } = family;
  switch (series.in) {
    case "text":
      return sample(name, series.labels, 1);
    case "reading":
      return sample(name, series.labels, series.read());
    case "levels":
      return sample(name, series.labels, zone.level(series.cell));
    case "slots":
      return zone.totals
        .map((cells, slot) => sample(name, { ...series.labels, worker: slotName(slot) }, cells[series.cell]!))
        .join("");
    case "histogram":
      return renderHistogram(name, series.labels, zone, series.cell);
    case "totals":
      return combinations(series.dimensions)
        .map((more, i) => {
          const value = zone.total(series.cell + i);
          const labels = { ...series.labels, ...more };
          const silent = value === 0 && family.kind === "counter" && Object.keys(labels).length > 0;
          return silent ? "" : sample(name, labels, value);
        })
        .join("");
  }
}

function renderHistogram(name: string, labels: Labels, zone: Zone, cell: number): string {
  let count = 0;
  let text = "";
  for (let i = 0; i <= BUCKETS.length; i++) {
    count += zone.total(cell + i);
    text += sample(`${name}_bucket`, { ...labels, le: i < BUCKETS.length ? String(BUCKETS[i]!) : "+Inf" }, count);
  }
  if (count === 0) return "";
  const sum = zone.total(cell + HISTOGRAM_CELLS - 1);
  return `${text}${sample(`${name}_sum`, labels, sum)}${sample(`${name}_count`, labels, count)}`;
}

/** Every combination of values, the last dimension changing fastest; one without labels if there is no dimension. */
function combinations(dimensions: Dimensions): Labels[] {
  let rows: Labels[] = [{}];
  for (const [name, values] of Object.entries(dimensions)) {
    rows = rows.flatMap((row) => values.map((value) => ({ ...row, [name]: value })));
  }
  return rows;
}

function sample(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}\n`;
}

const escapeLabel = (text: string): string => text.replace(/[\\"\n]/g, (char) => (char === "\n" ? "\\n" : `\\${char}`));
const escapeHelp = (text: string): string => text.replace(/[\\\n]/g, (char) => (char === "\n" ? "\\n" : "\\\\"));
