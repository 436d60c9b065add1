/** For tests: looks at a Lintel that is not there. */
import { endpointView } from "../../admin/testing.ts";
import type { Sample } from "./rates.ts";

export interface Traffic {
  /** Requests since the start, each of 1 KiB of response; one in ten is a 500. */
  readonly requests: number;
  readonly atMs: number;
}

/** One upstream `app` with two endpoints, the second one down; two routes, of which `old` is at rest. */
export function sample({ requests, atMs }: Traffic, parts: Partial<Sample> = {}): Sample {
  const responses = { "2xx": requests * 0.9, "5xx": requests * 0.1 };
  const durations = { counts: [0, requests * 0.9, requests * 0.1, 0], sumMs: requests };
  const endpoints = [endpointView("10.0.0.1:80", { inFlight: 3 }), endpointView("10.0.0.2:80", { condition: "down" })];
  const at = new Date(atMs).toISOString();
  return {
    status: {
      version: "1.2.3",
      pid: 1,
      startedAt: at,
      uptimeSeconds: 93_784,
      workers: [{ slot: 0, pid: 2, state: "ready", restarts: 0 }],
      listeners: [],
      config: {
        origin: "lintel.yaml",
        file: null,
        generation: 1,
        version: 7,
        hash: "",
        since: at,
        lastFailure: null,
      },
    },
    stats: {
      at,
      bucketsMs: [1, 2, 1024],
      listeners: [{ listener: "web", accepted: requests, active: 12 }],
      routes: [
        { site: "main", route: "old", responses: { "2xx": 5 }, requestOctets: 0, responseOctets: 0, durations: NONE },
        { site: "main", route: "api", responses, requestOctets: 0, responseOctets: requests * 1024, durations },
      ],
      upstreams: [
        {
          upstream: "app",
          failures: { "connect-refused": requests * 0.1 },
          durations,
          endpoints: [
            { endpoint: "10.0.0.1:80", responses, connections: { opened: 1, active: 1, idle: 0 }, durations },
          ],
        },
      ],
      failures: {},
      processes: [{ residentOctets: 50 * 1024 ** 2, cpuSeconds: atMs / 2000 }],
    },
    upstreams: [
      {
        name: "app",
        balance: "round-robin",
        sticky: false,
        endpoints: endpoints.map((one) => ({ ...one, drainUntil: null })),
      },
    ] as Sample["upstreams"],
    clients: [{ client: "192.0.2.7", requestsPerSecond: 120, errorsPerSecond: 1.5, octetsPerSecond: 2048 }],
    ...parts,
  };
}

const NONE = { counts: [0, 0, 0, 0], sumMs: 0 };
