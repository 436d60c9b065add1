/** What the schema cannot see of `tcp` and `udp`. Works on the plain tree as written, like check.ts. */
import { checkUpstream } from "./check-upstream.ts";
import type { PlacedProblem } from "./issue.ts";
import { suggestion } from "./nearest.ts";
import type { Path } from "./path.ts";

type Map_ = Readonly<Record<string, unknown>>;

interface Entry {
  readonly value: Map_;
  readonly path: Path;
  /** `tcp "db"` */
  readonly title: string;
  readonly name: string;
  readonly addresses: readonly { readonly text: string; readonly path: Path }[];
}

/**
 * @param upstreams  names of those that are defined
 * @param used  gets the names of those that are sent to
 */
export function checkRelays(tree: Map_, upstreams: ReadonlySet<string>, used: Set<string>): PlacedProblem[] {
  const [tcp, udp] = [entriesOf(tree, "tcp"), entriesOf(tree, "udp")];
  const problems: PlacedProblem[] = [];
  if (!hasItems(tree["sites"]) && !hasItems(tree["tcp"]) && !hasItems(tree["udp"])) {
    const hint = 'what is served by host, or "tcp" or "udp" for what is only relayed';
    problems.push(problem([], "missing-key", 'the config needs "sites"', hint));
  }
  problems.push(...clashes(tree, tcp, udp));
  problems.push(...uselessForDatagrams(tree, udp));
  for (const entry of [...tcp, ...udp]) {
    const routes = mapsOf(entry.value["routes"], [...entry.path, "routes"]);
    if (entry.value["to"] === undefined && !hasItems(entry.value["routes"])) {
      const message = `${entry.title} sends to nothing: it has neither "to" nor routes`;
      problems.push(problem(entry.path, "no-answer", message, 'give it "to", the name of an upstream or an address'));
    }
    const names = routes.flatMap(({ value, path }) =>
      typeof value["name"] === "string" ? [{ text: value["name"], path: [...path, "name"] }] : [],
    );
    problems.push(...repeated(names, "route", "duplicate-route"));
    for (const [i, { value, path }] of routes.entries()) {
      const title = typeof value["name"] === "string" ? `route ${JSON.stringify(value["name"])}` : `route ${i + 1}`;
      problems.push(...destination(value["to"], [...path, "to"], `${title} of ${entry.title}`, tree, upstreams, used));
    }
    problems.push(...destination(entry.value["to"], [...entry.path, "to"], entry.title, tree, upstreams, used));
  }
  return problems;
}

/** An upstream's TLS and PROXY headers are for connections: whoever relies on them should know. */
function uselessForDatagrams(tree: Map_, udp: readonly Entry[]): PlacedProblem[] {
  const upstreams = isMap(tree["upstreams"]) ? tree["upstreams"] : {};
  return udp.flatMap(({ value, path, title }) => {
    const places = [
      { to: value["to"], at: [...path, "to"] },
      ...mapsOf(value["routes"], [...path, "routes"]).map((route) => ({
        to: route.value["to"],
        at: [...route.path, "to"],
      })),
    ];
    return places.flatMap(({ to, at }): PlacedProblem[] => {
      const upstream = typeof to === "string" ? upstreams[to] : undefined;
      if (!isMap(upstream)) return [];
      const keys = ["tls", "proxyProtocol"].filter((key) => upstream[key] !== undefined && upstream[key] !== false);
      if (keys.length === 0) return [];
      const message = `${title} sends datagrams to upstream ${JSON.stringify(to)}: its ${keys.map((key) => JSON.stringify(key)).join(" and ")} is for connections only`;
      return [
        {
          path: at,
          code: "unused-option",
          message,
          hint: "give datagrams an upstream of their own",
          severity: "warning",
          at: "value",
        },
      ];
    });
  });
}

/** Names are unique over everything that listens; two that listen on one port of one protocol exclude each other. */
function clashes(tree: Map_, tcp: readonly Entry[], udp: readonly Entry[]): PlacedProblem[] {
  const listeners = Array.isArray(tree["listeners"]) ? (tree["listeners"] as unknown[]) : [];
  const taken = listeners.flatMap((one) => {
    const text = isMap(one) ? one["address"] : one;
    return typeof text === "string" ? [text] : [];
  });
  const listenerNames = listeners.flatMap((one) => {
    const text = isMap(one) ? (one["name"] ?? one["address"]) : one;
    return typeof text === "string" ? [text] : [];
  });
  const isFixed = ({ text }: { text: string }) => !text.endsWith(":0");
  const all = [...tcp, ...udp];
  // Names that were not given are addresses, of which there are no two.
  const given = all.filter(({ value }) => value["name"] !== undefined);
  const others = all.filter(({ value }) => value["name"] === undefined).map(({ name }) => name);
  const names = given.map(({ name, path }) => ({ text: name, path: [...path, "name"] }));
  return [
    ...repeated(tcp.flatMap(({ addresses }) => addresses).filter(isFixed), "listener on", "duplicate-listener", taken),
    ...repeated(udp.flatMap(({ addresses }) => addresses).filter(isFixed), "listener on", "duplicate-listener"),
    ...repeated(names, "listener", "duplicate-listener", [...listenerNames, ...others]),
  ];
}

function destination(
  to: unknown,
  path: Path,
  title: string,
  tree: Map_,
  upstreams: ReadonlySet<string>,
  used: Set<string>,
): PlacedProblem[] {
  if (Array.isArray(to)) return checkUpstream(to, path, `the upstream of ${title}`, tree["locality"]);
  if (typeof to !== "string") return [];
  used.add(to);
  if (!/^(?!\d+$)[A-Za-z0-9_][\w.-]*$/.test(to) || upstreams.has(to)) return [];
  const message = `${title} sends to upstream ${JSON.stringify(to)}, which is not defined`;
  return [problem(path, "unknown-upstream", message, suggestion(to, [...upstreams], "upstreams"), "value")];
}

function repeated(
  list: readonly { readonly text: string; readonly path: Path }[],
  noun: string,
  code: string,
  before: readonly string[] = [],
): PlacedProblem[] {
  const seen = new Set(before);
  return list.flatMap(({ text, path }) => {
    if (seen.has(text)) {
      const message = `there is another ${noun} ${JSON.stringify(text)} before this one`;
      return [problem(path, code, message, null, "value")];
    }
    seen.add(text);
    return [];
  });
}

function entriesOf(tree: Map_, key: "tcp" | "udp"): Entry[] {
  return mapsOf(tree[key], [key]).map(({ value, path }) => {
    const { listen } = value;
    const at = [...path, "listen"];
    const addresses = Array.isArray(listen)
      ? listen.flatMap((text: unknown, i) => (typeof text === "string" ? [{ text, path: [...at, i] }] : []))
      : typeof listen === "string"
        ? [{ text: listen, path: at }]
        : [];
    const first = `${addresses[0]?.text ?? ""}${key === "udp" ? "/udp" : ""}`;
    const name = typeof value["name"] === "string" ? value["name"] : first;
    const number = Number(path.at(-1)) + 1;
    const title = typeof value["name"] === "string" ? `${key} ${JSON.stringify(name)}` : `${key} ${number}`;
    return { value, path, title, name, addresses };
  });
}

function mapsOf(value: unknown, path: Path): { value: Map_; path: Path }[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item: unknown, i) => (isMap(item) ? [{ value: item, path: [...path, i] }] : []));
}

function problem(
  path: Path,
  code: string,
  message: string,
  hint: string | null,
  at: "key" | "value" = "key",
): PlacedProblem {
  return { path, code, message, hint, severity: "error", at };
}

const isMap = (value: unknown): value is Map_ => typeof value === "object" && value !== null && !Array.isArray(value);

const hasItems = (value: unknown): boolean => Array.isArray(value) && value.length > 0;
