/**
 * What the schema cannot see within one upstream: settings that contradict each other, or say what
 * can never be. Works on the plain tree as written, like check.ts, and steps over wrong shapes.
 */
import { parseDuration } from "../base/option.ts";
import { readEndpointAddress } from "./address.ts";
import type { PlacedProblem } from "./issue.ts";
import type { Path } from "./path.ts";

type Map_ = Readonly<Record<string, unknown>>;

interface WrittenEndpoint {
  /** In its tidy form. */
  readonly address: string;
  /** Where the address stands. */
  readonly path: Path;
  /** Empty for one that is only an address. */
  readonly options: Map_;
}

/**
 * @param written   an entry of `upstreams`, or a `to` that is a list of addresses
 * @param title     `upstream "app"`
 * @param locality  that of the gateway
 */
export function checkUpstream(written: unknown, path: Path, title: string, locality: unknown): PlacedProblem[] {
  const options = isMap(written) ? written : {};
  const endpoints = isMap(written)
    ? endpointsOf(written["endpoints"], [...path, "endpoints"])
    : endpointsOf(written, path);
  const here = { options, endpoints, path, title, locality };
  return [
    missingEndpoints(here, written),
    ...duplicateEndpoints(here),
    endpointsAllAlike(here),
    unusedLocality(here),
    unusedQueue(here),
    ...unusedCheckPort(here),
    unusedHedge(here),
    ejectionOutOfOrder(here),
    ...weakSticky(here),
    unusedHost(here),
    plainBranding(here),
    unusedAuto(here),
    ...unusedStreams(here),
  ].filter((problem) => problem !== null);
}

interface Here {
  readonly options: Map_;
  readonly endpoints: readonly WrittenEndpoint[];
  readonly path: Path;
  readonly title: string;
  readonly locality: unknown;
}

/** They are written, or something finds them. */
function missingEndpoints({ options, path, title }: Here, written: unknown): PlacedProblem | null {
  if (!isMap(written) || options["endpoints"] !== undefined || discovers(options)) return null;
  const hint = 'give it "endpoints", or "discover" for what finds them';
  return { path, code: "missing-key", message: `${title} has no endpoints`, hint, severity: "error", at: "key" };
}

function duplicateEndpoints({ endpoints, title }: Here): PlacedProblem[] {
  const seen = new Set<string>();
  return endpoints.flatMap(({ address, path }) => {
    const isFirst = !seen.has(address);
    seen.add(address);
    const message = `${title} has endpoint ${JSON.stringify(address)} twice`;
    const hint = "a weight gives an endpoint a larger share";
    return isFirst ? [] : [warning(path, "duplicate-endpoint", message, hint, "value")];
  });
}

/** Discovered ones may be otherwise. */
function endpointsAllAlike({ options, endpoints, path, title }: Here): PlacedProblem | null {
  if (endpoints.length === 0 || discovers(options)) return null;
  const at = [...path, "endpoints"];
  if (endpoints.every((one) => Number(one.options["weight"] ?? 1) === 0)) {
    return warning(at, "no-weight", `no new client gets an endpoint of ${title}: all have weight 0`);
  }
  if (endpoints.every((one) => one.options["backup"] === true)) {
    const message = `every endpoint of ${title} is a backup, so none is`;
    return warning(at, "only-backups", message, 'remove "backup" from those that serve usually');
  }
  return null;
}

function unusedLocality({ endpoints, locality, title }: Here): PlacedProblem | null {
  const placed = endpoints.find((one) => one.options["locality"] !== undefined);
  if (locality !== undefined || placed === undefined) return null;
  const message = `an endpoint of ${title} has a locality, and the gateway has none: it makes no difference`;
  const at = [...placed.path.slice(0, -1), "locality"];
  return warning(at, "unused-locality", message, 'give the config its own "locality"');
}

function unusedQueue({ options, endpoints, path, title }: Here): PlacedProblem | null {
  const isLimited = (value: unknown) => value !== undefined && value !== "off";
  if (!isMap(options["queue"]) || discovers(options) || isLimited(options["maxInFlight"])) return null;
  if (endpoints.some((one) => isLimited(one.options["maxInFlight"]))) return null;
  const message = `no exchange ever waits in the queue of ${title}: no endpoint has a limit`;
  return warning([...path, "queue"], "unused-queue", message, 'give the upstream "maxInFlight"');
}

/** A unix socket has no port. */
function unusedCheckPort({ options, endpoints, path, title }: Here): PlacedProblem[] {
  const check = isMap(options["health"]) ? options["health"]["check"] : undefined;
  if (!isMap(check) || check["port"] === undefined) return [];
  const socket = endpoints.find(({ address }) => address.startsWith("unix:"));
  if (socket === undefined) return [];
  const message = `${JSON.stringify(socket.address)} of ${title} is checked at its own socket: it has no port`;
  return [warning([...path, "health", "check", "port"], "unused-port", message)];
}

/** The second attempt goes to another endpoint. */
function unusedHedge({ options, endpoints, path, title }: Here): PlacedProblem | null {
  if (!isMap(options["hedge"]) || endpoints.length !== 1 || discovers(options)) return null;
  const message = `${title} has one endpoint, so "hedge" is not used: a second attempt goes to another one`;
  return warning([...path, "hedge"], "unused-hedge", message, "add an endpoint, or remove it");
}

function ejectionOutOfOrder({ options, path, title }: Here): PlacedProblem | null {
  const passive = isMap(options["health"]) ? options["health"]["passive"] : undefined;
  if (!isMap(passive)) return null;
  const first = parseDuration(String(passive["ejectFor"] ?? "10s"));
  const longest = parseDuration(String(passive["ejectMax"] ?? "5m"));
  if (first === null || longest === null || first <= longest || first === Number.POSITIVE_INFINITY) return null;
  const message = `the first ejection of ${title} is longer than the longest, "ejectMax"`;
  return warning([...path, "health", "passive"], "bad-ejection", message);
}

function weakSticky({ options, path }: Here): PlacedProblem[] {
  const { sticky } = options;
  if (!isMap(sticky)) return [];
  const problems: PlacedProblem[] = [];
  const { secret, cookie } = sticky;
  if (typeof secret === "string" && secret.length > 0 && secret.length < 16) {
    const message = `a secret of ${secret.length} characters can be guessed`;
    problems.push(warning([...path, "sticky", "secret"], "weak-secret", message, "use 16 or more", "value"));
  }
  if (isMap(cookie) && cookie["sameSite"] === "none" && cookie["secure"] === false) {
    const message = 'browsers refuse a cookie with "sameSite: none" that is not secure';
    problems.push(warning([...path, "sticky", "cookie", "sameSite"], "refused-cookie", message));
  }
  return problems;
}

/** Branding says which Host the origin server gets, so another one would never be sent. */
function unusedHost({ options, path, title }: Here): PlacedProblem | null {
  if (options["host"] === undefined || !isMap(options["branding"])) return null;
  const message = `${title} has branding, which sets Host: "host" is not used`;
  return warning([...path, "host"], "unused-host", message, 'remove "host", or the branding');
}

/** What the origin server believes it is says nothing about how it is reached; `tls: false` says that plain is meant. */
function plainBranding({ options, path, title }: Here): PlacedProblem | null {
  const { branding, tls } = options;
  const as = isMap(branding) ? branding["as"] : undefined;
  if (typeof as !== "string" || !/^https:/i.test(as) || tls !== undefined) return null;
  const message = `${title} is reached without TLS, and believes that it is ${JSON.stringify(as)}`;
  return warning(
    [...path, "branding", "as"],
    "branding-without-tls",
    message,
    'add "tls: true", or "tls: false" if something in front of it has the TLS',
    "value",
  );
}

/** Without TLS nobody says which protocol it is. */
function unusedAuto({ options, path, title }: Here): PlacedProblem | null {
  if (options["protocol"] !== "auto" || isMap(options["tls"]) || options["tls"] === true) return null;
  const message = `${title} has no TLS, where alone endpoints say which protocol they speak: "auto" is "http1"`;
  return warning(
    [...path, "protocol"],
    "unused-auto",
    message,
    'add "tls", or write "http2" if they speak it',
    "value",
  );
}

function unusedStreams({ options, path, title }: Here): PlacedProblem[] {
  const { pool, protocol = "http1" } = options;
  if (!isMap(pool) || protocol !== "http1") return [];
  return ["streams", "connections"]
    .filter((key) => pool[key] !== undefined)
    .map((key) => {
      const message = `"${key}" is for connections of HTTP/2, and ${title} is spoken to in HTTP/1.1`;
      return warning([...path, "pool", key], "unused-streams", message, 'write "protocol: http2" or "auto"');
    });
}

function warning(
  path: Path,
  code: string,
  message: string,
  hint: string | null = null,
  at: "key" | "value" = "key",
): PlacedProblem {
  return { path, code, message, hint, severity: "warning", at };
}

const discovers = ({ discover }: Map_) => discover !== undefined && [discover].flat().length > 0;

const isMap = (value: unknown): value is Map_ => typeof value === "object" && value !== null && !Array.isArray(value);

function endpointsOf(written: unknown, path: Path): WrittenEndpoint[] {
  if (Array.isArray(written)) return written.flatMap((item: unknown, i) => endpointOf(item, [...path, i]));
  return endpointOf(written, path);
}

function endpointOf(written: unknown, path: Path): WrittenEndpoint[] {
  const options = isMap(written) ? written : {};
  const text = isMap(written) ? written["address"] : written;
  if (typeof text !== "string") return [];
  const reading = readEndpointAddress(text);
  if ("problem" in reading) return [];
  return [{ address: reading.text, path: isMap(written) ? [...path, "address"] : path, options }];
}
