/**
 * What the schema cannot see: relations between parts of the config. Works on the plain tree as
 * written and steps over what has the wrong shape, so that these problems are reported together with
 * the schema's, not after them.
 */
import type { Catalog } from "./catalog.ts";
import { checkAutomatic, isAutomatic } from "./check-automatic.ts";
import { checkRelays } from "./check-relay.ts";
import { checkUpstream } from "./check-upstream.ts";
import type { PlacedProblem } from "./issue.ts";
import { suggestion } from "./nearest.ts";
import type { Path } from "./path.ts";
import { readHostPattern } from "./pattern.ts";

type Map_ = Readonly<Record<string, unknown>>;

/** A piece of the tree with its place. */
interface Placed<T> {
  readonly value: T;
  readonly path: Path;
}

export function check(tree: unknown, catalog: Catalog): PlacedProblem[] {
  if (!isMap(tree)) return [];
  return new Check(tree, catalog).run();
}

class Check {
  readonly #problems: PlacedProblem[] = [];
  readonly #tree: Map_;
  readonly #catalog: Catalog;
  readonly #upstreams: ReadonlySet<string>;
  readonly #used = new Set<string>();

  constructor(tree: Map_, catalog: Catalog) {
    this.#tree = tree;
    this.#catalog = catalog;
    this.#upstreams = new Set(isMap(tree["upstreams"]) ? Object.keys(tree["upstreams"]) : []);
  }

  run(): PlacedProblem[] {
    const listeners = this.#listeners();
    const sites = maps(this.#tree["sites"], ["sites"]);
    this.#unique(sites.flatMap(nameOf), "site", "duplicate-site");
    for (const site of sites) {
      this.#listenersOf(site, listeners);
      this.#routes(site);
    }
    this.#hosts(sites, listeners);
    this.#tls(sites);
    this.#http3();
    this.#problems.push(...checkAutomatic(this.#tree));
    this.#admin();
    this.#problems.push(...checkRelays(this.#tree, this.#upstreams, this.#used));
    for (const [name, written] of Object.entries(isMap(this.#tree["upstreams"]) ? this.#tree["upstreams"] : {})) {
      const title = `upstream ${JSON.stringify(name)}`;
      this.#problems.push(...checkUpstream(written, ["upstreams", name], title, this.#tree["locality"]));
      if (this.#used.has(name)) continue;
      this.#add(
        ["upstreams", name],
        "unused-upstream",
        `upstream ${JSON.stringify(name)} is not used by any route`,
        null,
        "warning",
        "key",
      );
    }
    return this.#problems;
  }

  /** A listener with TLS needs a certificate, and a site's TLS a listener. Which names a certificate has is only known once it is read. */
  #tls(sites: readonly Placed<Map_>[]): void {
    const hasTls = ({ value }: Placed<Map_>) => value["tls"] === true || isMap(value["tls"]);
    const listeners = maps(this.#tree["listeners"], ["listeners"]).filter(hasTls);
    const relays = maps(this.#tree["tcp"], ["tcp"]).filter(hasTls);
    const holders = [this.#tree["tls"], ...sites.map(({ value }) => value["tls"])];
    const any = holders.some((tls) => isMap(tls) && (isMap(tls["certificates"]) || hasItems(tls["certificates"])));
    for (const { value, path } of any || isAutomatic(this.#tree["tls"]) ? [] : [...listeners, ...relays]) {
      const message = `${title(path[0] === "tcp" ? "tcp" : "listener", { value, path })} has TLS, and there is no certificate`;
      const hint =
        'give the config, or a site, "tls: { certificates: [{ cert, key }] }", or let them come by "tls: { acme: { email } }"';
      this.#add([...path, "tls"], "no-certificate", message, hint, "error", "key");
    }
    const secure = new Set(listeners.map(({ value }) => value["name"] ?? value["address"]));
    for (const { value, path } of sites) {
      const own = Array.isArray(value["listeners"]) ? value["listeners"] : [...secure];
      if (value["tls"] === undefined || own.some((name) => secure.has(name))) continue;
      const message = `${title("site", { value, path })} has "tls", but none of its listeners does`;
      this.#add([...path, "tls"], "unused-tls", message, 'a listener has it with "tls: true"', "warning", "key");
    }
  }

  /** HTTP/3 has TLS in it, and a UDP port. */
  #http3(): void {
    for (const { value, path } of maps(this.#tree["listeners"], ["listeners"])) {
      if (value["http3"] !== true && !isMap(value["http3"])) continue;
      const who = title("listener", { value, path });
      if (value["tls"] !== true && !isMap(value["tls"]))
        this.#add(
          [...path, "http3"],
          "http3-without-tls",
          `${who} has HTTP/3, and no TLS`,
          'add "tls: true"',
          "error",
          "key",
        );
      else if (/^unix:/i.test(String(value["address"]))) {
        const message = `${who} has HTTP/3, and a unix socket: there are no datagrams to it`;
        this.#add([...path, "http3"], "http3-without-port", message, "give it an address with a port", "error", "key");
      }
    }
  }

  /** Whoever reaches a port of another machine's may ask; a socket file has a mode. */
  #admin(): void {
    const admin = this.#tree["admin"];
    const address = isMap(admin) ? admin["address"] : undefined;
    if (!isMap(admin) || typeof address !== "string" || admin["token"] !== undefined) return;
    if (/^(?:unix:|127\.|\[::1\]:|localhost:)/i.test(address) || !address.includes(":")) return;
    const message = `everyone who reaches ${JSON.stringify(address)} can see the upstreams and their traffic: it has no token`;
    const hint = 'give it a "token", or an address of this machine alone';
    this.#add(["admin", "address"], "open-admin", message, hint, "warning");
  }

  /** Names of the listeners. */
  #listeners(): string[] {
    const given = this.#tree["listeners"];
    if (!Array.isArray(given)) return ["http"];
    const items = given.map((value, i) => ({ value: value as unknown, path: ["listeners", i] as Path }));
    const addresses = items.flatMap(({ value, path }) => {
      if (typeof value === "string") return [{ value, path }];
      return isMap(value) && typeof value["address"] === "string"
        ? [{ value: value["address"], path: [...path, "address"] }]
        : [];
    });
    // Port 0 is another port each time.
    this.#unique(
      addresses.filter(({ value }) => !value.endsWith(":0")),
      "listener on",
      "duplicate-listener",
    );
    const named = items.flatMap((item) => (isMap(item.value) ? nameOf({ value: item.value, path: item.path }) : []));
    this.#unique(named, "listener", "duplicate-listener");
    return items.flatMap(({ value }) => {
      if (typeof value === "string") return [value];
      const name = isMap(value) ? (value["name"] ?? value["address"]) : null;
      return typeof name === "string" ? [name] : [];
    });
  }

  #listenersOf(site: Placed<Map_>, known: readonly string[]): void {
    for (const { value, path } of texts(site.value["listeners"], [...site.path, "listeners"])) {
      if (known.includes(value)) continue;
      const message = `${title("site", site)} names listener ${JSON.stringify(value)}, which is not defined`;
      this.#add(path, "unknown-listener", message, suggestion(value, [...new Set(known)], "listeners"));
    }
  }

  #routes(site: Placed<Map_>): void {
    this.#sometimes = false;
    const around = this.#chain(site.value["use"], [...site.path, "use"]);
    const outside = this.#sometimes;
    const routes = maps(site.value["routes"], [...site.path, "routes"]);
    this.#unique(routes.flatMap(nameOf), "route", "duplicate-route");
    this.#to(site, "site");
    for (const route of routes) {
      this.#to(route, "route");
      this.#sometimes = outside;
      this.#answered(route, "route", this.#chain(route.value["use"], [...route.path, "use"], around));
    }
    this.#sometimes = outside;
    // Routes may be fine each by itself; the site's own `to` is one more route.
    if (site.value["to"] !== undefined || !hasItems(site.value["routes"])) this.#answered(site, "site", around);
  }

  /** A route needs somebody who answers, and only one. */
  #answered(route: Placed<Map_>, noun: "route" | "site", responder: Placed<string> | null): void {
    const { to } = route.value;
    if (to === undefined && responder === null && !this.#sometimes && !this.#isUnclear(route.value["use"])) {
      const responders = [...this.#catalog.middlewares.values()]
        .filter((one) => one.responds === true)
        .map((one) => one.name);
      const hint = `give it "to"${noun === "site" ? ", routes," : ""} or a middleware that responds (${responders.join(", ")})`;
      this.#add(
        route.path,
        "no-answer",
        `${title(noun, route)} has nothing that answers: no "to", and no middleware that responds`,
        hint,
        "error",
        "key",
      );
    }
    if (to !== undefined && responder !== null) {
      const message = `${title(noun, route)} never sends to its "to": middleware ${JSON.stringify(responder.value)} answers before`;
      this.#add([...route.path, "to"], "unreachable-to", message, null, "warning", "key");
    }
  }

  /** A middleware in the chain last looked at answers some requests and hands on others. */
  #sometimes = false;

  /** The first middleware that responds, `around` if it does, or null. The first one after it is reported. */
  #chain(use: unknown, path: Path, around: Placed<string> | null = null): Placed<string> | null {
    let responder = around;
    if (!Array.isArray(use)) return responder;
    for (const [i, entry] of use.entries()) {
      const keys = isMap(entry) ? Object.keys(entry) : [];
      const name = typeof entry === "string" ? entry : keys[0];
      if (name === undefined) continue;
      const at = typeof entry === "string" ? [...path, i] : [...path, i, name];
      if (responder !== null) {
        const message = `middleware ${JSON.stringify(name)} is never reached: ${JSON.stringify(responder.value)} answers before`;
        this.#add(at, "unreachable-middleware", message, null, "warning", "key");
        break;
      }
      const definition = this.#catalog.middlewares.get(name);
      if (definition?.responds !== true) continue;
      if (definition.mayHandOn?.(isMap(entry) ? entry[name] : undefined) !== true)
        responder = { value: name, path: at };
      else this.#sometimes = true;
    }
    return responder;
  }

  /** A `use` that the schema refuses may hold a responder under a misspelt name. */
  #isUnclear(use: unknown): boolean {
    if (!Array.isArray(use)) return use !== undefined;
    return !use.every((entry) => {
      const name = typeof entry === "string" ? entry : isMap(entry) ? Object.keys(entry)[0] : undefined;
      return name !== undefined && this.#catalog.middlewares.has(name);
    });
  }

  #to(owner: Placed<Map_>, noun: "route" | "site"): void {
    const { to } = owner.value;
    if (Array.isArray(to)) {
      const at = [...owner.path, "to"];
      this.#problems.push(...checkUpstream(to, at, `the upstream of ${title(noun, owner)}`, this.#tree["locality"]));
    }
    if (typeof to !== "string") return;
    this.#used.add(to);
    // A ":" makes it an address; what is neither is the schema's business.
    if (!/^(?!\d+$)[A-Za-z0-9_][\w.-]*$/.test(to) || this.#upstreams.has(to)) return;
    const message = `${title(noun, owner)} sends to upstream ${JSON.stringify(to)}, which is not defined`;
    this.#add([...owner.path, "to"], "unknown-upstream", message, suggestion(to, [...this.#upstreams], "upstreams"));
  }

  /** The same host twice on one listener: which site would be meant? */
  #hosts(sites: readonly Placed<Map_>[], listeners: readonly string[]): void {
    const seen = new Map<string, Placed<Map_>>();
    for (const site of sites) {
      const own = texts(site.value["listeners"], []).map(({ value }) => value);
      const here = Array.isArray(site.value["listeners"]) ? own : listeners;
      const all = site.value["hosts"] === undefined;
      const hosts = all ? [{ value: "*", path: site.path }] : texts(site.value["hosts"], [...site.path, "hosts"]);
      const mine = new Set<string>();
      for (const { value, path } of hosts) {
        const reading = readHostPattern(value);
        const host = "text" in reading ? reading.text : value;
        const shown = host === "*" ? "every host" : `host ${JSON.stringify(host)}`;
        if (mine.has(host))
          this.#add(path, "duplicate-host", `${title("site", site)} names ${shown} twice`, null, "warning");
        mine.add(host);
        for (const listener of here) {
          const key = `${listener}\n${host}`;
          const first = seen.get(key);
          if (first === undefined) seen.set(key, site);
          else if (first !== site) {
            const message = `${title("site", site)} takes ${shown} on listener ${JSON.stringify(listener)}, which ${title("site", first)} takes already`;
            this.#add(
              path,
              "duplicate-host",
              message,
              "give each its own hosts or listeners",
              "error",
              all ? "key" : "value",
            );
            break;
          }
        }
      }
    }
  }

  #unique(names: readonly Placed<string>[], noun: string, code: string): void {
    const seen = new Set<string>();
    for (const { value, path } of names) {
      if (seen.has(value)) this.#add(path, code, `there is another ${noun} ${JSON.stringify(value)} before this one`);
      seen.add(value);
    }
  }

  #add(
    path: Path,
    code: string,
    message: string,
    hint: string | null = null,
    severity: "error" | "warning" = "error",
    at: "key" | "value" = "value",
  ): void {
    this.#problems.push({ path, code, message, hint, severity, at });
  }
}

const isMap = (value: unknown): value is Map_ => typeof value === "object" && value !== null && !Array.isArray(value);

const hasItems = (value: unknown) => Array.isArray(value) && value.length > 0;

function maps(value: unknown, path: Path): Placed<Map_>[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item: unknown, i) => (isMap(item) ? [{ value: item, path: [...path, i] }] : []));
}

function texts(value: unknown, path: Path): Placed<string>[] {
  if (typeof value === "string") return [{ value, path }];
  if (!Array.isArray(value)) return [];
  return value.flatMap((item: unknown, i) => (typeof item === "string" ? [{ value: item, path: [...path, i] }] : []));
}

function nameOf({ value, path }: Placed<Map_>): Placed<string>[] {
  const { name } = value;
  return typeof name === "string" ? [{ value: name, path: [...path, "name"] }] : [];
}

/** `route "shop"`, or by its number. */
function title(noun: string, { value, path }: Placed<Map_>): string {
  const { name } = value;
  if (typeof name === "string") return `${noun} ${JSON.stringify(name)}`;
  const [first] = noun === "site" ? texts(value["hosts"], []) : [];
  return first === undefined ? `${noun} ${Number(path.at(-1)) + 1}` : `${noun} ${JSON.stringify(first.value)}`;
}
