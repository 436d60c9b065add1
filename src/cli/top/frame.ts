/** One picture of `lintel top`, as lines. */
import type { Paint } from "../../config/diagnostic.ts";
import { shortTime } from "../endpoint-table.ts";
import type { ClientAnswer, EndpointRate, Rate, Rates, Sample, UpstreamRate } from "./rates.ts";

export type Order = "requests" | "errors" | "latency";

export interface View {
  /** Columns of the terminal. */
  readonly width: number;
  /** Rows of the terminal; null: as many as there is to show, up to `MOST_ROWS` a table. */
  readonly height: number | null;
  readonly order: Order;
  readonly paint: Paint;
}

/** Right-aligned columns after the name. */
interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly Row[];
  /** Instead of rows, where there are none. */
  readonly empty: string;
}

interface Row {
  readonly cells: readonly string[];
  readonly paint: (text: string) => string;
}

const MOST_ROWS = 10;
const HEADER_LINES = 4;
/** Title and an empty line. */
const TABLE_LINES = 2;
const WIDTHS = [10, 9, 9, 10, 8, 8];
const same = (text: string) => text;

export function frame(sample: Sample, rates: Rates, view: View): string[] {
  const tables = [endpointTable(rates, view), routeTable(rates, view), clientTable(sample, view)];
  const room = shares(
    tables.map(({ rows }) => Math.max(1, rows.length)),
    view.height === null ? null : view.height - HEADER_LINES - tables.length * TABLE_LINES - 1,
  );
  return [
    ...header(sample, rates, view),
    ...tables.flatMap((table, i) => ["", ...tableLines(table, room[i]!, view)]),
    ...(view.height === null ? [] : ["", view.paint.faint(keys(view.order))]),
  ].slice(0, view.height ?? undefined);
}

function header({ status }: Sample, rates: Rates, { width, paint }: View): string[] {
  const ready = status.workers.filter(({ state }) => state === "ready").length;
  const workers = `workers ${ready}/${status.workers.length}`;
  const version = status.config.version === null ? "" : ` (version ${status.config.version})`;
  const lines = [
    [`lintel ${status.version}`, `up ${spanText(status.uptimeSeconds)}`, `${status.config.origin}${version}`],
    [
      `requests ${perSecond(rates.requests)}/s`,
      `errors ${perSecond(rates.errors)}/s`,
      `in ${octetsText(rates.octetsIn)}/s`,
      `out ${octetsText(rates.octetsOut)}/s`,
    ],
    [
      `connections ${rates.connections} (${perSecond(rates.accepted)} new/s)`,
      `cpu ${Math.round(rates.cores * 100)}%`,
      `memory ${octetsText(rates.residentOctets)}`,
      workers,
    ],
  ].map((parts) => clipped(parts.map(printable).join("  "), width));
  if (ready < status.workers.length) lines[2] = lines[2]!.replace(workers, paint.error(workers));
  return [paint.strong(lines[0]!), ...lines.slice(1)];
}

function endpointTable({ upstreams }: Rates, view: View): Table {
  const cells = (name: string, state: string, one: UpstreamRate | EndpointRate) => [
    name,
    state,
    perSecond(one.requests),
    perSecond(one.errors),
    String(one.inFlight),
    timeText(one.p50),
    timeText(one.p99),
  ];
  const rows = [...upstreams].sort(by(view.order)).flatMap((upstream) => [
    { cells: cells(upstream.name, "", upstream), paint: view.paint.strong },
    ...[...upstream.endpoints].sort(by(view.order)).map((endpoint) => ({
      cells: cells(`  ${endpoint.name}`, endpoint.condition, endpoint),
      paint: paintOf(endpoint, view.paint),
    })),
  ]);
  const head = ["STATE", "REQ/S", "ERR/S", "IN FLIGHT", "P50", "P99"];
  return { title: "UPSTREAM, ENDPOINT", head, rows, empty: "there are no upstreams" };
}

function routeTable({ routes }: Rates, { order }: View): Table {
  const rows = [...routes].sort(by(order)).map((one) => ({
    cells: [
      one.name,
      perSecond(one.requests),
      perSecond(one.errors),
      octetsText(one.octetsOut),
      timeText(one.p50),
      timeText(one.p99),
    ],
    paint: same,
  }));
  return { title: "ROUTE", head: ["REQ/S", "ERR/S", "OUT/S", "P50", "P99"], rows, empty: "nothing was asked for yet" };
}

function clientTable({ clients }: Sample, { order }: View): Table {
  const head = ["REQ/S", "ERR/S", "OUT/S"];
  if (typeof clients === "string") return { title: "CLIENT", head, rows: [], empty: clients };
  const value = (one: ClientAnswer) => (order === "errors" ? one.errorsPerSecond : one.requestsPerSecond);
  const rows = [...clients]
    .sort((a, b) => value(b) - value(a))
    .map((one) => ({
      cells: [
        one.client === "" ? "(unix socket)" : one.client,
        perSecond(one.requestsPerSecond),
        perSecond(one.errorsPerSecond),
        octetsText(one.octetsPerSecond),
      ],
      paint: same,
    }));
  return { title: "CLIENT", head, rows, empty: "nobody asked within the last second" };
}

function tableLines({ title, head, rows, empty }: Table, room: number, { width, paint }: View): string[] {
  const widths = WIDTHS.slice(-head.length);
  const nameWidth = Math.max(8, width - widths.reduce((sum, one) => sum + one, 0));
  const line = ([name, ...cells]: readonly string[]) =>
    clipped(
      clipped(printable(name!), nameWidth - 1).padEnd(nameWidth) +
        cells.map((cell, i) => printable(cell).padStart(widths[i]!)).join(""),
      width,
    ).trimEnd();
  const shown = rows.slice(0, room);
  const counted = shown.length < rows.length ? `${title} (${shown.length} of ${rows.length})` : title;
  return [
    paint.faint(line([counted, ...head])),
    ...(rows.length === 0 ? [clipped(printable(empty), width)] : shown.map((row) => row.paint(line(row.cells)))),
  ];
}

/** Rows of each table: all get the same, and what one does not need goes to the others. */
function shares(wanted: readonly number[], room: number | null): number[] {
  if (room === null) return wanted.map((want) => Math.min(want, MOST_ROWS));
  const given = wanted.map(() => 0);
  for (let left = room; left > 0; ) {
    const before = left;
    for (const [i, want] of wanted.entries()) {
      if (left === 0 || given[i]! >= want) continue;
      given[i]!++;
      left--;
    }
    if (left === before) break;
  }
  return given;
}

function by(order: Order): (a: Rate, b: Rate) => number {
  const value = (rate: Rate) => (order === "latency" ? (rate.p99 ?? -1) : rate[order]);
  return (a, b) => value(b) - value(a) || b.requests - a.requests || (a.name < b.name ? -1 : 1);
}

function paintOf({ condition, errors }: EndpointRate, paint: Paint): (text: string) => string {
  if (condition === "down" || condition === "ejected") return paint.error;
  return condition !== "up" || errors > 0 ? paint.warning : same;
}

const keys = (order: Order): string =>
  ["r requests", "e errors", "l latency"].map((key) => (key.endsWith(order) ? `[${key}]` : ` ${key} `)).join(" ") +
  "   q quit";

/** Text from elsewhere cannot steer the terminal. */
const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");

const clipped = (text: string, width: number): string => (text.length <= width ? text : `${text.slice(0, width - 1)}…`);

const timeText = (ms: number | null): string => (ms === null ? "-" : shortTime(ms));

function perSecond(rate: number): string {
  if (rate === 0) return "0";
  if (rate < 10) return rate.toFixed(1);
  if (rate < 10_000) return String(Math.round(rate));
  return rate < 1e6 ? `${(rate / 1000).toFixed(1)}k` : `${(rate / 1e6).toFixed(1)}M`;
}

function octetsText(octets: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; octets >= 1024 && unit < units.length - 1; unit++) octets /= 1024;
  return `${unit === 0 || octets >= 100 ? Math.round(octets) : octets.toFixed(1)} ${units[unit]}`;
}

function spanText(seconds: number): string {
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (days > 0) return `${days}d ${hours}h`;
  if (hours > 0) return `${hours}h ${minutes}m`;
  return minutes > 0 ? `${minutes}m ${Math.floor(seconds % 60)}s` : `${Math.floor(seconds)}s`;
}
