/** Results as text: aligned tables for a terminal, or the same tables in Markdown. */
import type { Case } from "./cases.ts";
import { DISTURBED, type Ratio, REFERENCE, type Results, summarise } from "./results.ts";

type Row = readonly string[];

export function render(results: Results, cases: readonly Case[], markdown: boolean): string {
  const parts = [preamble(results).join("\n")];
  for (const each of cases) {
    const rows = each.kind === "idle" ? idleRows(results, each) : loadRows(results, each);
    if (rows.length < 2) continue;
    const table = markdown ? inMarkdown(rows) : aligned(rows);
    parts.push(`${markdown ? `### ${each.name}: ` : `${each.name}: `}${each.title}${markdown ? "\n" : ""}\n${table}`);
  }
  const notes = remarks(results);
  if (notes.length > 0) parts.push(notes.map((note) => `- ${note}`).join("\n"));
  return `${parts.join("\n\n")}\n`;
}

function preamble({ startedAt, machine, pinning, seconds, rounds, versions }: Results): string[] {
  const pins =
    pinning.proxy === undefined
      ? "nothing pinned to cores"
      : `proxy on core ${pinning.proxy}, load generator on core ${pinning.load}, origin server on core ${pinning.origin}`;
  return [
    `${startedAt}: ${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}; ${pins}.`,
    `${rounds} ${rounds === 1 ? "round" : "rounds"} of ${seconds} s each, interleaved; medians over the rounds, ratio as median of the rounds' ratios.`,
    `${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}.`,
  ];
}

const loadHead = ({ unit, reference, p99Target }: Case): Row => [
  "proxy",
  `CPU µs/${unit}`,
  reference === "better" ? "of the better's" : `of ${REFERENCE}'s`,
  "target",
  unit === "MiB" ? "GB/s" : `${unit}s/s`,
  "p50 ms",
  "p99 ms",
  ...(p99Target === null ? [] : [`of ${REFERENCE}'s`, "target"]),
  "RSS MiB",
  "core used",
  "errors",
];

function loadRows(results: Results, each: Case): Row[] {
  const summaries = summarise(results, each);
  return [
    loadHead(each),
    ...summaries.map((summary) => [
      summary.proxy,
      summary.cpuPerRequest.toFixed(1),
      shown(summary.ratio),
      summary.proxy === "lintel" ? verdict(each.target, summary.ratio) : "",
      each.unit === "MiB"
        ? ((summary.perSecond * 2 ** 20) / 1e9).toFixed(2)
        : Math.round(summary.perSecond).toLocaleString("en-US"),
      summary.p50 === 0 ? "" : summary.p50.toFixed(2),
      summary.p99 === 0 ? "" : summary.p99.toFixed(2),
      ...(each.p99Target === null
        ? []
        : [shown(summary.p99Ratio), summary.proxy === "lintel" ? verdict(each.p99Target, summary.p99Ratio) : ""]),
      mebibytes(summary.rss),
      percent(summary.busy),
      String(summary.errors),
    ]),
  ];
}

function shown(ratio: Ratio | null): string {
  return ratio === null ? "" : `${ratio.median.toFixed(2)} (${ratio.least.toFixed(2)}–${ratio.most.toFixed(2)})`;
}

function verdict(target: number | null, ratio: Ratio | null): string {
  if (target === null) return "";
  const wanted = `≤ ${target.toFixed(2)}`;
  if (ratio === null) return wanted;
  return `${wanted} ${ratio.median <= target ? "met" : "missed"}`;
}

const IDLE_HEAD: Row = ["proxy", "RSS before MiB", "RSS after MiB", "KiB/connection", "core used", "open", "failed"];

function idleRows(results: Results, each: Case): Row[] {
  return [
    IDLE_HEAD,
    ...results.idle
      .filter((sample) => sample.case === each.name)
      .map(({ proxy, before, after, busy, open, failed }) => [
        proxy,
        mebibytes(before.rss),
        mebibytes(after.rss),
        ((after.rss - before.rss) / Math.max(open, 1) / 1024).toFixed(2),
        percent(busy),
        String(open),
        String(failed),
      ]),
  ];
}

function remarks({ leftOut, failures, samples, machine }: Results): string[] {
  const notes = [...leftOut, ...failures.map((failure) => `FAILED: ${failure}`)];
  const disturbed = samples.filter(({ strangers }) => strangers > DISTURBED).length;
  if (disturbed > 0) {
    notes.push(
      `in ${disturbed} of ${samples.length} windows other programs took more than ${percent(DISTURBED)} of a core: repeat on a quiet machine`,
    );
  }
  if (machine.load > 0.5) notes.push(`the load average was ${machine.load} when the run began`);
  return notes;
}

const mebibytes = (octets: number) => (octets / 2 ** 20).toFixed(1);
const percent = (part: number) => `${Math.round(part * 100)} %`;

function aligned(rows: readonly Row[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: Row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join("  ");
  return rows.map((row) => `  ${line(row)}`).join("\n");
}

function inMarkdown([head, ...rows]: readonly Row[]): string {
  const line = (row: Row) => `| ${row.join(" | ")} |`;
  return [line(head!), line(head!.map((_, column) => (column === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n");
}
