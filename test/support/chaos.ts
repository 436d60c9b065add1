/** What the chaos tests share: one gateway of two workers with an upstream for each case, and its log. */
import { expect } from "bun:test";
import { Gateway, type LogLine } from "./gateway.ts";
import { until } from "./until.ts";

/** How late things may be: the machine may be busy. */
export const LATE_MS = 15_000;

/** What clients see when the gateway says 503. */
export const PAGE = "<!doctype html><title>Back soon</title>";

/**
 * Each upstream is reached below /its-name/.
 * @param more of the config
 */
export function chaosGateway(
  upstreams: Readonly<Record<string, object>>,
  more: Readonly<Record<string, unknown>> = {},
  files: Readonly<Record<string, string>> = {},
): Promise<Gateway> {
  const routes = Object.keys(upstreams).map((name) => ({ match: `/${name}/*`, to: name }));
  const use = [{ "error-pages": { pages: { "503": { body: PAGE, contentType: "text/html" } } } }];
  return Gateway.start({ workers: 2, upstreams, sites: [{ use, routes }], ...more }, { files });
}

/** A line of the program's log. */
export interface Event {
  /** Unix time in ms. */
  readonly at: number;
  readonly message: string;
  readonly facts: Readonly<Record<string, string>>;
}

/** What the program has said of an upstream so far. */
export function eventsOf(gateway: Gateway, upstream: string, message?: string): Event[] {
  return gateway.output
    .split("\n")
    .filter((line) => line.includes(`upstream=${upstream} `) || line.endsWith(`upstream=${upstream}`))
    .map(readEvent)
    .filter((event) => message === undefined || event.message === message);
}

function readEvent(line: string): Event {
  const facts: Record<string, string> = {};
  const [head] = line.split(/ [a-z]+=/, 1);
  for (const [, name, quoted, plain] of line.slice(head!.length).matchAll(/ ([a-z]+)=(?:("(?:[^"\\]|\\.)*")|(\S*))/g))
    facts[name!] = quoted === undefined ? plain! : (JSON.parse(quoted) as string);
  const [, time, message] = /^(\S+) \w+ +(.*)$/.exec(head!) ?? [];
  return { at: Date.parse(time ?? ""), message: message ?? "", facts };
}

/** Waits until the program has said so for so many times. @returns the last of them */
export async function event(gateway: Gateway, upstream: string, message: string, count = 1): Promise<Event> {
  const find = () => eventsOf(gateway, upstream, message);
  await until(
    () => find().length >= count,
    () => `"${message}" of ${upstream}, ${count} times; it said:\n${eventLines(gateway, upstream)}`,
    LATE_MS,
  );
  return find()[count - 1]!;
}

const eventLines = (gateway: Gateway, upstream: string): string =>
  eventsOf(gateway, upstream)
    .map(({ at, message, facts }) => `${at} ${message} ${JSON.stringify(facts)}`)
    .join("\n");

/** A counter or a gauge over all its series with these labels; 0 if there is none. */
export async function metric(
  gateway: Gateway,
  name: string,
  labels: Readonly<Record<string, string>>,
): Promise<number> {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  let sum = 0;
  for (const [series, value] of await gateway.metrics())
    if (series.startsWith(`${name}{`) && wanted.every((label) => series.includes(label))) sum += value;
  return sum;
}

/** Whatever happened, nothing is counted as in flight that is not. */
export async function nothingInFlight(gateway: Gateway): Promise<void> {
  const held = async () => {
    const samples = await gateway.metrics();
    const held = [...samples].filter(
      ([series, value]) => series.startsWith("lintel_upstream_in_flight{") && value !== 0,
    );
    return { held, known: [...samples.keys()].some((series) => series.startsWith("lintel_upstream_in_flight{")) };
  };
  await until(async () => (await held()).held.length === 0, "no exchange in flight", LATE_MS).catch(() => {});
  expect(await held()).toEqual({ held: [], known: true });
}

/** What came of each attempt of an exchange: a status or the code of a failure. */
export function triesOf(line: LogLine): (string | number | null)[] {
  const tries = (line["tries"] ?? []) as { endpoint: string; status: number | null; code: string | null }[];
  return tries.map(({ status, code }) => code ?? status);
}
