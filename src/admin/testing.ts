/** For tests: a supervisor that is not there, and a judge of answers by the OpenAPI document. */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import type { CertificateView } from "../server/certificate-view.ts";
import type { Control, VersionView } from "../server/control.ts";
import { ControlError } from "../server/control.ts";
import type { EndpointView } from "../server/endpoint-view.ts";
import { DirectoryError, type UpstreamView } from "../server/upstream-directory.ts";
import { openApiDocument } from "./openapi.ts";
import { operations } from "./operations/operations.ts";
import { findOperation } from "./router.ts";

export function endpointView(address: string, facts: Partial<EndpointView> = {}): EndpointView {
  return {
    address,
    source: "config",
    condition: "up",
    weight: 1,
    backup: false,
    priority: 0,
    locality: null,
    maxInFlight: null,
    inFlight: 0,
    ejectedForMs: null,
    failuresInRow: 0,
    check: null,
    drainUntil: null,
    responses: {},
    latencyMs: null,
    recentLatencyMs: null,
    ...facts,
  };
}

export function certificateView(facts: Partial<CertificateView> = {}): CertificateView {
  return {
    names: ["a.example", "*.a.example"],
    kind: "ecdsa",
    source: "file",
    origin: "a.pem + a.key",
    site: null,
    subject: "CN=a.example",
    issuer: "CN=An Authority",
    fingerprint: "ab".repeat(32),
    notBefore: Date.UTC(2026, 0, 1),
    notAfter: Date.UTC(2026, 3, 1),
    renewal: null,
    problem: null,
    ...facts,
  };
}

/** What was asked of it, as "method argument argument …". */
export interface FakeControl extends Control {
  readonly asked: string[];
}

/** Has one upstream, `app`, with these endpoints; notes every change and makes none but `add`. */
export function fakeControl(parts: Partial<Control> = {}, endpoints = [endpointView("10.0.0.1:80")]): FakeControl {
  const asked: string[] = [];
  const note =
    (name: string) =>
    (...args: unknown[]) =>
      void asked.push([name, ...args.map((one) => (typeof one === "object" ? JSON.stringify(one) : one))].join(" "));
  const list = [...endpoints];
  const view = (name: string): UpstreamView => {
    if (name !== "app") throw new DirectoryError("unknown-upstream", `there is no upstream "${name}"; there are app`);
    return { name, balance: "round-robin", sticky: false, endpoints: list };
  };
  const noVersion = (number: number): never => {
    throw new ControlError("unknown-version", `there is no version ${number}`, "there are 1 to 2");
  };
  return {
    asked,
    version: "1.2.3",
    startedAt: Date.UTC(2026, 0, 1),
    workers: () => [{ slot: 0, pid: 100, state: "ready", restarts: 0 }],
    listeners: () => [{ name: "web", url: "http://0.0.0.0:80" }],
    config: () => ({
      origin: "lintel.yaml",
      file: "/etc/lintel/lintel.yaml",
      generation: 2,
      version: 2,
      hash: "abc",
      since: Date.UTC(2026, 0, 1),
      lastFailure: { at: Date.UTC(2026, 0, 2), reason: "bad" },
    }),
    metrics: () => "lintel_workers 2\n",
    stats: () => ({
      at: Date.UTC(2026, 0, 1),
      bucketsMs: [0.5, 1],
      listeners: [],
      routes: [],
      upstreams: [],
      failures: {},
      processes: [],
    }),
    clients: () => [{ client: "10.0.0.9", requestsPerSecond: 2.5, errorsPerSecond: 0, octetsPerSecond: 10 }],
    certificates: () => [certificateView()],
    missingCertificates: () => [
      { name: "new.example", source: "acme", failures: 1, lastFailure: "no address", nextTry: 1_700_000_000_000 },
    ],
    certificatesFor: (name) => ({
      name,
      listeners: [
        {
          listener: "secure",
          answer: "certificate",
          certificates: [certificateView()],
          site: "a.example",
          minVersion: "TLSv1.2",
          maxVersion: "TLSv1.3",
          clientCertificate: "none",
        },
      ],
      notes: [],
    }),
    upstreams: {
      views: () => [view("app")],
      view,
      add: (name, spec, persist) => {
        note("add")(name, spec.address, spec.weight, persist);
        list.push(endpointView(spec.address));
      },
      remove: note("remove"),
      restore: note("restore"),
      weigh: note("weigh"),
      setDuty: note("setDuty"),
    },
    reload: async () => ({ outcome: "unchanged", generation: 2, version: 2 }),
    versions: () => [versionView(2, true), versionView(1)],
    versionText: (number) =>
      number > 2 ? noVersion(number) : { ...versionView(number, number === 2), text: "a: 1\n" },
    diff: (from, to) => (Math.max(from, to) > 2 ? noVersion(Math.max(from, to)) : "-a: 1\n+a: 2\n"),
    rollback: async (number) =>
      number > 2
        ? noVersion(number)
        : { outcome: "applied", generation: 3, version: 3, changes: ["x"], diagnostics: [], tookMs: 1.5 },
    upgrade: async () => ({ version: "1.2.4" }),
    ...parts,
  };
}

export function versionView(number: number, current = false): VersionView {
  return {
    number,
    at: Date.UTC(2026, 0, number),
    trigger: "start",
    origin: "lintel.yaml",
    hash: `h${number}`,
    current,
  };
}

/** Judges answers of the admin API by its document. */
export class DocumentJudge {
  readonly document = JSON.parse(JSON.stringify(openApiDocument(operations, "0"))) as Document;
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  readonly #validators = new Map<string, ValidateFunction>();
  /** Operations that were asked, with the statuses they answered. */
  readonly seen = new Set<string>();

  constructor() {
    this.#ajv.addSchema(this.document, "https://lintel.invalid/document");
  }

  /** @throws {Error} if the document says otherwise. @returns the content */
  async check(method: string, url: string, response: Answer): Promise<unknown> {
    const { operation } = findOperation(operations, method, new URL(url).pathname);
    const where = [operation.path, operation.method.toLowerCase(), "responses", String(response.status)];
    const type = (response.headers.get("content-type") ?? "").replace(/;.*/, "");
    const content: unknown = await response.json();
    const described = this.document.paths[where[0]!]?.[where[1]!]?.responses[where[3]!]?.content[type];
    if (described === undefined) throw new Error(`the document has no ${where.join(" ")} as ${type}`);
    const pointer = ["paths", ...where, "content", type, "schema"]
      .map((step) => step.replaceAll("~", "~0").replaceAll("/", "~1"))
      .map(encodeURIComponent)
      .join("/");
    const validate = this.#validator(`https://lintel.invalid/document#/${pointer}`);
    if (!validate(content)) {
      const wrong = this.#ajv.errorsText(validate.errors);
      throw new Error(`${where.join(" ")} is not as described: ${wrong}\n${JSON.stringify(content, null, 2)}`);
    }
    this.seen.add(`${operation.id} ${response.status}`);
    return content;
  }

  #validator(ref: string): ValidateFunction {
    const made = this.#validators.get(ref) ?? this.#ajv.compile({ $ref: ref });
    this.#validators.set(ref, made);
    return made;
  }
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DescribedOperation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

interface DescribedOperation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, { readonly content: Readonly<Record<string, unknown>> }>>;
}

/** What is looked at of a `Response`. */
interface Answer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  json(): Promise<unknown>;
}
