/** What the admin API answers with. Those with an `id` stand in the OpenAPI document under that name. */
import { z } from "zod";

const count = (description: string) => z.int().min(0).meta({ description });
const time = (description: string) => z.iso.datetime().meta({ description });

export const endpoint = z
  .strictObject({
    address: z.string(),
    source: z.string().meta({ description: '"config", "operator", or the name of the provider that named it.' }),
    condition: z
      .enum(["up", "down", "ejected", "draining", "disabled", "unchecked"])
      .meta({ description: "Only one that is up gets new exchanges." }),
    weight: z.int().min(0).max(1000),
    backup: z.boolean(),
    priority: count("Lower ones go first."),
    locality: z.string().nullable(),
    maxInFlight: count("Exchanges at one time, over all workers; null: no limit.").nullable(),
    inFlight: count("Exchanges at it right now."),
    ejectedForMs: z.number().min(0).nullable().meta({ description: "Until it is tried again; null: not ejected." }),
    failuresInRow: count("Attempts that failed since the last one that did not."),
    check: z
      .strictObject({ passed: z.boolean(), reason: z.string().nullable(), at: z.string() })
      .nullable()
      .meta({ description: "The last active check; null: there is none." }),
    drainUntil: time("When what is bound to it goes elsewhere.").nullable(),
    responses: z
      .record(z.string().regex(/^[1-5]xx$/), z.int().min(0))
      .meta({ description: "Attempts answered since the start, by class of status." }),
    latencyMs: z
      .strictObject({ p50: z.number(), p90: z.number(), p99: z.number() })
      .nullable()
      .meta({ description: "To the first octet of a response, since the start; upper bounds. null: none yet." }),
    recentLatencyMs: z.number().nullable().meta({ description: "Moving average; null: none yet." }),
  })
  .meta({ id: "Endpoint" });

export const upstream = z
  .strictObject({
    name: z.string(),
    balance: z.string().meta({ description: "How an endpoint is picked." }),
    sticky: z
      .boolean()
      .meta({ description: "Exchanges may be bound to an endpoint: one that drains gets those still." }),
    endpoints: z.array(endpoint),
  })
  .meta({ id: "Upstream" });

export const worker = z
  .strictObject({
    slot: count("Place of the worker, from 0."),
    pid: z.int().nullable(),
    state: z.enum(["starting", "ready", "draining", "waiting", "ended"]),
    restarts: count("Times it was started again after it died."),
  })
  .meta({ id: "Worker" });

export const configStatus = z
  .strictObject({
    origin: z.string(),
    file: z.string().nullable().meta({ description: "null: the command line." }),
    generation: count("Configs that were put in force since the program began."),
    version: z.int().nullable().meta({ description: "Number of the kept version; null: none are kept." }),
    hash: z.string(),
    since: time("When it was put in force."),
    lastFailure: z
      .strictObject({ at: time("When."), reason: z.string() })
      .nullable()
      .meta({ description: "The last reload if it changed nothing because something was wrong." }),
  })
  .meta({ id: "ConfigStatus" });

export const status = z
  .strictObject({
    version: z.string().meta({ description: "Of Lintel." }),
    pid: z.int(),
    startedAt: time("When this program began; an upgrade begins anew."),
    uptimeSeconds: z.number().min(0),
    workers: z.array(worker),
    listeners: z.array(z.strictObject({ name: z.string(), url: z.string() })),
    config: configStatus,
  })
  .meta({ id: "Status" });

export const diagnostic = z
  .strictObject({
    file: z.string(),
    line: z.int().nullable(),
    column: z.int().nullable(),
    length: z.int(),
    severity: z.enum(["error", "warning"]),
    code: z.string(),
    message: z.string(),
    hint: z.string().nullable(),
    path: z.string(),
    excerpt: z.string().nullable(),
  })
  .meta({ id: "Diagnostic", description: "Something to say about a place in the config." });

export const reloaded = z
  .strictObject({
    outcome: z
      .enum(["applied", "unchanged"])
      .meta({ description: "`unchanged`: the config says what is served already." }),
    generation: z.int(),
    version: z.int().nullable(),
    changes: z.array(z.string()).meta({ description: "One line for each thing that is different now." }),
    diagnostics: z.array(diagnostic).meta({ description: "Warnings." }),
    tookMs: z.number().min(0),
  })
  .meta({ id: "Reloaded" });

const versionShape = {
  number: z.int().min(1),
  at: time("When it was put in force."),
  trigger: z.string().meta({ description: 'Why, such as "start", "SIGHUP" or "rollback to 3".' }),
  origin: z.string(),
  hash: z.string(),
  current: z.boolean().meta({ description: "The one in force." }),
};

export const version = z.strictObject(versionShape).meta({ id: "Version" });
export const versionText = z
  .strictObject({ ...versionShape, text: z.string().meta({ description: "May have secrets in it." }) })
  .meta({ id: "VersionText" });

const byClass = z.record(z.string(), z.number());
const durations = z
  .strictObject({ counts: z.array(z.number()), sumMs: z.number() })
  .meta({ id: "Durations", description: "By size, one for each of `bucketsMs` and one beyond; not cumulative." });

export const stats = z
  .strictObject({
    at: time("When they were read."),
    bucketsMs: z.array(z.number()).meta({ description: "Upper bounds of the sizes of durations." }),
    listeners: z.array(z.strictObject({ listener: z.string(), accepted: z.number(), active: z.number() })),
    routes: z.array(
      z.strictObject({
        site: z.string(),
        route: z.string(),
        responses: byClass,
        requestOctets: z.number(),
        responseOctets: z.number(),
        durations,
      }),
    ),
    upstreams: z.array(
      z.strictObject({
        upstream: z.string(),
        failures: byClass,
        durations,
        endpoints: z.array(
          z.strictObject({
            endpoint: z.string(),
            responses: byClass,
            connections: z.strictObject({ opened: z.number(), active: z.number(), idle: z.number() }),
            durations,
          }),
        ),
      }),
    ),
    failures: byClass.meta({ description: "Exchanges that failed, by code." }),
    processes: z.array(z.strictObject({ residentOctets: z.number(), cpuSeconds: z.number() })),
  })
  .meta({ id: "Stats", description: "Counters since the start, over all workers." });

export const clientRate = z
  .strictObject({
    client: z.string(),
    requestsPerSecond: z.number(),
    errorsPerSecond: z.number(),
    octetsPerSecond: z.number(),
  })
  .meta({ id: "ClientRate" });

export const certificate = z
  .strictObject({
    names: z.array(z.string()).meta({ description: "Those it is used for." }),
    kind: z.enum(["ecdsa", "rsa"]),
    source: z.string().meta({ description: '"file", or who got it.' }),
    origin: z.string().meta({ description: "Where it is from, such as its files." }),
    site: z.string().nullable().meta({ description: "Whose it is alone; null: anybody's." }),
    subject: z.string(),
    issuer: z.string(),
    fingerprint: z.string().meta({ description: "SHA-256, hexadecimal." }),
    notBefore: z.iso.datetime(),
    notAfter: z.iso.datetime(),
    renewal: z.iso.datetime().nullable().meta({ description: "When who got it renews it; null: nobody has said." }),
    problem: z.string().nullable().meta({ description: "Why what its files hold now is not used." }),
  })
  .meta({ id: "Certificate" });

export const missingCertificate = z
  .strictObject({
    name: z.string(),
    source: z.string().meta({ description: "Who is to get it." }),
    failures: z.int().meta({ description: "In a row." }),
    lastFailure: z.string().nullable(),
    nextTry: z.iso.datetime().meta({ description: "In the past: it is being got." }),
  })
  .meta({ id: "MissingCertificate" });

export const certificatesFor = z
  .strictObject({
    name: z.string(),
    listeners: z.array(
      z.strictObject({
        listener: z.string(),
        answer: z.enum(["certificate", "default", "on-demand", "refused"]).meta({
          description: "One for the name, the default one, one that is got for the first who asks, or an alert.",
        }),
        certificates: z.array(certificate).meta({ description: "A client gets the first it can use." }),
        site: z.string().nullable().meta({ description: "Whose requests these are." }),
        minVersion: z.enum(["TLSv1.2", "TLSv1.3"]),
        maxVersion: z.enum(["TLSv1.2", "TLSv1.3"]),
        clientCertificate: z.enum(["none", "optional", "required"]),
      }),
    ),
    notes: z.array(z.string()).meta({ description: "How it stands with certificates that are got." }),
  })
  .meta({ id: "CertificatesFor", description: "What clients are shown who ask for a name." });

export const problem = z
  .strictObject({
    type: z.string().meta({ description: "urn:lintel:problem: and the kind." }),
    title: z.string(),
    status: z.int(),
    detail: z.string().meta({ description: "What is wrong." }),
    hint: z.string().nullable().meta({ description: "What to do." }),
    errors: z
      .array(
        z.strictObject({
          detail: z.string(),
          pointer: z.string().meta({ description: 'JSON pointer into the content, or "?name" of the query.' }),
          hint: z.string().nullable(),
        }),
      )
      .optional()
      .meta({ description: "All that is wrong with the request." }),
    diagnostics: z.array(diagnostic).optional().meta({ description: "All that is wrong with the config." }),
  })
  .meta({ id: "Problem", description: "Problem details (RFC 9457)." });
