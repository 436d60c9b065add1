/** The program of a worker process. */
import { Slices } from "../net/slices.ts";
import { Gateway } from "./gateway.ts";
import { ConfigUnpacker } from "./packed-config.ts";
import { runWorker } from "./worker-process.ts";

const unpacker = new ConfigUnpacker();

runWorker({
  readConfig: ({ config }, before) => unpacker.unpack(config, before, new Slices()),
  createGateway: (options) => new Gateway(options),
});
