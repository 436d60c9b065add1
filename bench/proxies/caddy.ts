/** Caddy on one processor, with the defaults of its `reverse_proxy`, which set no X-Real-IP. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Contender, GROUP, isTls, type Setup, versionFrom } from "./contender.ts";

export const caddy: Contender = {
  name: "caddy",
  tuned: false,
  compiles: false,
  protocols: ["http", "https", "h2"],
  version: () => versionFrom(["caddy", "version"], /v?(\d\S*)/),
  prepare(setup) {
    const file = join(setup.directory, "Caddyfile");
    writeFileSync(file, configuration(setup));
    return {
      command: ["caddy", "run", "--config", file, "--adapter", "caddyfile"],
      environment: {
        GOMAXPROCS: "1",
        HOME: setup.directory,
        XDG_DATA_HOME: setup.directory,
        XDG_CONFIG_HOME: setup.directory,
      },
    };
  },
};

function configuration({ protocol, certificate, directory, port, originPort, prefixes, accessLog }: Setup): string {
  const to = `reverse_proxy 127.0.0.1:${originPort}`;
  const routes =
    prefixes.length === 0 ? `  ${to}` : prefixes.map((prefix) => `  handle ${prefix}/* {\n    ${to}\n  }`).join("\n");
  return `{
  admin off
  auto_https off
  grace_period 1s
  servers {
    protocols h1${protocol === "h2" ? " h2" : ""}
  }
}
${isTls(protocol) ? "https://" : ""}:${port} {
  bind 127.0.0.1
${isTls(protocol) ? `  tls ${certificate.cert} ${certificate.key} {\n    protocols tls1.3\n    curves ${GROUP.toLowerCase()}\n  }\n` : ""}${accessLog ? `  log {\n    output file ${join(directory, "access.log")}\n  }\n` : ""}${routes}
}
`;
}
