/**
 * An origin server and the gateway in front of it, shared by the tests of one file; each test
 * starts with the origin's default script and no client left over.
 */
import { afterAll, afterEach, beforeAll } from "bun:test";
import { Gateway, type GatewayOptions, type TestConfig } from "./gateway.ts";
import { Origin } from "./origin.ts";
import { closeClients } from "./raw.ts";

export interface Pair {
  readonly origin: Origin;
  readonly gateway: Gateway;
}

/** @param config what differs from one site sending everything to the upstream "app", the origin */
export function pair(config: (origin: Origin) => TestConfig = () => ({}), options: GatewayOptions = {}): Pair {
  let origin: Origin;
  let gateway: Gateway;
  beforeAll(async () => {
    origin = await Origin.start();
    gateway = await Gateway.start(
      { upstreams: { app: origin.address }, sites: [{ to: "app" }], ...config(origin) },
      options,
    );
  });
  afterEach(() => {
    origin.clear();
    closeClients();
  });
  afterAll(async () => {
    await gateway?.stop();
    origin?.stop();
  });
  return {
    get origin() {
      return origin;
    },
    get gateway() {
      return gateway;
    },
  };
}
