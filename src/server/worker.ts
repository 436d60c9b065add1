/** The program of a worker process. */
import { Slices } from "../net/slices.ts";
import { Gateway } from "./gateway.ts";
import { unpackConfig } from "./packed-config.ts";
import { runWorker } from "./worker-process.ts";

runWorker({
  readConfig: ({ config }) => unpackConfig(config, new Slices()),
  createGateway: (options) => new Gateway(options),
});
