/** `tcp` and `udp`: connections and datagrams that are relayed as they are. */
import { z } from "zod";
import { duration, oneOrMany } from "../../base/option.ts";
import { type Reading, readCidr, readListenAddress } from "../address.ts";
import { readHostPattern } from "../pattern.ts";
import { listenAddress } from "./listener.ts";
import { label, orOff, span, textOption, wholeNumber } from "./text.ts";
import { proxyProtocol, relayTls } from "./tls.ts";
import { to } from "./upstream.ts";

const serverName = oneOrMany(
  textOption("bad-host", readServerName, {
    description: "A name.",
    examples: ["db.example.com", "*.example.com", ".example.com"],
  }),
).meta({
  description:
    "Names a client may ask for in its TLS handshake (SNI): exact, `*.` for one label, a leading `.` for any depth below. TLS is not ended for that.",
});

const client = oneOrMany(
  textOption("bad-cidr", readCidr, { description: "A block of addresses.", examples: ["10.0.0.0/8"] }),
).meta({ description: "Address blocks the client is in, seen past a PROXY header." });

const name = label("Name in logs and metrics. Default: its first address.").optional();
const routeName = label("Name in logs and metrics. Default: the name of the entry and the route's number.").optional();

const listen = oneOrMany(listenAddress("Address to listen on; `:5432` is every address of the machine.")).meta({
  description: "Address to listen on, or a list of them.",
});

const toRest = to.optional().meta({
  description: "Where clients go that no route takes: the name of an upstream, an address, or a list of addresses.",
});

const maxPerClient = (what: string) =>
  orOff(what, wholeNumber(1, 10_000_000, what))
    .transform((value) => value ?? Number.POSITIVE_INFINITY)
    .prefault("off");

const tcpRoute = z
  .strictObject({
    name: routeName,
    match: z
      .strictObject({ serverName: serverName.optional(), client: client.optional() })
      .prefault({})
      .meta({ title: "TCP match", description: "All that are given must hold; of a list, any one." }),
    to,
  })
  .meta({ title: "TCP route", description: "Where the connections go that it matches." });

const tcpEntry = z
  .strictObject({
    name,
    listen,
    proxyProtocol,
    tls: relayTls.prefault(false),
    routes: z.array(tcpRoute).default([]).meta({ description: "Which connections go where." }),
    to: toRest,
    maxConnections: wholeNumber(
      1,
      10_000_000,
      "Open connections over all workers; more wait until one closes.",
    ).prefault(10_000),
    maxPerClient: maxPerClient("Open connections of one client address, in each worker; more are reset. `off`: any."),
    backlog: wholeNumber(1, 65_535, "Connections the system keeps waiting to be accepted.").prefault(4096),
    timeouts: z
      .strictObject({
        hello: duration("For the ClientHello, where a route needs its server name.", "5s"),
        idle: duration("Without an octet in either direction.", "1h"),
        halfClosed: duration("Without an octet, once one side has ended; `off`: as `idle`.", "1m"),
      })
      .prefault({})
      .meta({ title: "TCP timeouts", description: "How long each part may take; `off` for no limit." }),
  })
  .meta({ title: "TCP", description: "Connections to some addresses, relayed to an upstream." });

export const tcp = z
  .array(tcpEntry)
  .default([])
  .meta({ description: "TCP connections that are relayed without a look at what they carry (layer 4)." });

const udpRoute = z
  .strictObject({
    name: routeName,
    match: z
      .strictObject({ client: client.optional() })
      .prefault({})
      .meta({ title: "UDP match", description: "All that are given must hold; of a list, any one." }),
    to,
  })
  .meta({ title: "UDP route", description: "Where the sessions go that it matches." });

const udpEntry = z
  .strictObject({
    name,
    listen: oneOrMany(
      textOption("bad-address", readDatagramAddress, {
        description: "Address to listen on; `:53` is every address of the machine.",
        examples: [":53", "127.0.0.1:5060", "[::1]:53"],
      }),
    ).meta({ description: "Address to listen on, or a list of them." }),
    routes: z.array(udpRoute).default([]).meta({ description: "Which clients go where." }),
    to: toRest,
    maxSessions: wholeNumber(
      1,
      10_000_000,
      "Sessions at one time over all workers. At the bound the oldest one that nobody has answered makes room for a new one; if there is none, its datagrams are dropped.",
    ).prefault(10_000),
    maxPerClient: maxPerClient(
      "Sessions of one client address, in each worker; datagrams that would begin more are dropped. `off`: any.",
    ),
    responses: orOff(
      "A session is over when so many datagrams have come back from the endpoint, such as 1 for DNS; `off`: only silence ends it.",
      wholeNumber(1, 1_000_000, "Datagrams from the endpoint."),
    ).prefault("off"),
    timeouts: z
      .strictObject({ idle: span("Without a datagram in either direction.", "1m", 10) })
      .prefault({})
      .meta({ title: "UDP timeouts", description: "How long each part may take." }),
  })
  .meta({ title: "UDP", description: "Datagrams to some addresses, relayed to an upstream." });

export const udp = z
  .array(udpEntry)
  .default([])
  .meta({ description: "UDP datagrams that are relayed, each client's to one endpoint (layer 4)." });

export type ParsedTcp = z.output<typeof tcpEntry>;
export type ParsedUdp = z.output<typeof udpEntry>;

function readServerName(text: string): Reading {
  const reading = readHostPattern(text);
  if (!("text" in reading) || !/^(?:~|\*$|\[)/.test(reading.text)) return reading;
  return {
    problem: `${JSON.stringify(text)} is not a server name: write a host name, "*." and one, or "." and one`,
  };
}

function readDatagramAddress(text: string): Reading {
  if (text.startsWith("unix:"))
    return { problem: `${JSON.stringify(text)} is not an address for datagrams: write ":port" or "host:port"` };
  return readListenAddress(text);
}
