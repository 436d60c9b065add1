/** `lintel routes`: the route table in the order in which routes are tried. */
import { type ListedRoute, listRoutes } from "../../router/explain.ts";
import { type Command, UsageError } from "../command.ts";
import { CONFIG, configFile, usable } from "../prepare.ts";
import { plainRelays, relayTables } from "../relay-table.ts";
import { chain, type Destination, routeTable } from "../route-table.ts";
import { columns, type Terminal } from "../terminal.ts";

export const routes: Command = {
  name: "routes",
  summary: "Show the routes of each site, and of tcp and udp, in the order they are tried.",
  parameters: "",
  flags: [CONFIG, { name: "json", value: null, summary: "For other programs: one JSON document." }],
  examples: [
    { line: "lintel routes", does: "Shows the table of the config in this folder." },
    { line: "lintel routes --json | jq '.[].path'", does: "Lists the path patterns." },
  ],
  async run({ flags, rest, terminal }) {
    if (rest.length > 0) throw new UsageError(`routes takes no parameters: ${rest.join(" ")}`);
    const prepared = await usable({ file: configFile(flags) }, terminal);
    if (prepared === null) return 1;
    const { config } = prepared;
    const listed = listRoutes(routeTable(config));
    if (flags.has("json")) {
      terminal.out(`${JSON.stringify([...listed.map(plain), ...plainRelays(config)], null, 2)}\n`);
    } else {
      const parts = [...(listed.length === 0 ? [] : [table(listed, terminal)]), ...relayTables(config, terminal)];
      terminal.out(parts.join("\n"));
    }
    return 0;
  },
};

function table(listed: readonly ListedRoute<Destination>[], { paint }: Terminal): string {
  const sites = Map.groupBy(listed, ({ route }) => route.target.site);
  return [...sites]
    .map(([site, lines]) => {
      const hosts = site.hosts.length === 0 ? "every host" : site.hosts.join(", ");
      const rows = lines.map((line, i) => [
        String(i + 1),
        line.path ?? "*",
        line.conditions.join(", "),
        doing(line),
        line.route.name,
      ]);
      const [head, ...body] = columns([["", "PATH", "CONDITIONS", "DOES", "ROUTE"], ...rows], "  ").split(/(?<=\n)/);
      return `${paint.strong(`site ${site.name}`)}: ${hosts}, on ${site.listeners.join(", ")}\n${paint.faint(head!)}${body.join("")}`;
    })
    .join("\n");
}

/** "headers, rewrite → app" */
function doing({ route: { target } }: ListedRoute<Destination>): string {
  const names = chain(target).join(", ");
  const { to } = target.route;
  return to === null ? names : `${names}${names === "" ? "" : " "}→ ${to}`;
}

function plain({ site, hosts, path, conditions, route }: ListedRoute<Destination>) {
  const { target } = route;
  return {
    site,
    hosts,
    listeners: target.site.listeners,
    route: route.name,
    path,
    conditions,
    use: chain(target),
    to: target.route.to,
  };
}
