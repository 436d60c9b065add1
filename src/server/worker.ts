/** The program of a worker process. */
import { catalogOf } from "../config/catalog.ts";
import { loadConfig } from "../config/load.ts";
import { middlewares } from "../middleware/index.ts";
import { balancers } from "../upstream/balancers/index.ts";
import { providers } from "../upstream/discovery/index.ts";
import { checks } from "../upstream/health/checks/index.ts";
import { Gateway } from "./gateway.ts";
import { runWorker } from "./worker-process.ts";

runWorker({
  async readConfig({ tree, origin }) {
    // Variables are resolved in the tree already: no environment.
    const { config, diagnostics } = await loadConfig(
      { tree, origin },
      catalogOf({ middlewares, balancers, providers, checks }),
      {},
    );
    if (config !== null) return config;
    throw new Error(`the config cannot be read again: ${diagnostics.map(({ message }) => message).join("; ")}`);
  },
  createGateway: (options) => new Gateway(options),
});
