/**
 * HAProxy with one thread; a thousand routes are one map, looked up by prefix in a tree. Its check
 * that two descriptors per connection are to be had is off: idle connections need only one.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CIPHER, type Contender, GROUP, isTls, type Setup, versionFrom } from "./contender.ts";

export const haproxy: Contender = {
  name: "haproxy",
  tuned: false,
  compiles: false,
  protocols: ["http", "https", "h2", "websocket", "tcp"],
  version: () => versionFrom(["haproxy", "-v"], /version (\S+)/),
  prepare(setup) {
    const file = join(setup.directory, "haproxy.cfg");
    const map = join(setup.directory, "routes.map");
    writeFileSync(map, setup.prefixes.map((prefix) => `${prefix}/ origin\n`).join(""));
    writeFileSync(file, configuration(setup, map));
    return {
      command: ["haproxy", "-f", file],
      ...(setup.accessLog ? { output: join(setup.directory, "access.log") } : {}),
    };
  },
};

function configuration(setup: Setup, map: string): string {
  const { protocol, port, originPort, prefixes, accessLog } = setup;
  if (protocol === "tcp") return relay(setup);
  return `
global
  nbthread 1
  maxconn 15000
  no strict-limits
${accessLog ? "  log stdout format raw local0 info\n" : ""}
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 60s
  timeout http-keep-alive 300s
  timeout tunnel 300s
  option forwardfor
  http-reuse always
${accessLog ? "  log global\n  option httplog\n" : ""}
frontend bench
  bind 127.0.0.1:${port} backlog 4096${isTls(protocol) ? tls(setup) : ""}
  http-request set-header X-Forwarded-Proto ${isTls(protocol) ? "https" : "http"}
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Real-IP %[src]
${prefixes.length === 0 ? "  default_backend origin" : `  use_backend %[path,map_beg(${map},none)]`}

backend origin
  server origin 127.0.0.1:${originPort}

backend none
  http-request deny deny_status 404
`;
}

const tls = ({ protocol, certificate }: Setup) =>
  ` ssl crt ${certificate.both} ssl-min-ver TLSv1.3 ciphersuites ${CIPHER} curves ${GROUP} alpn ${protocol === "h2" ? "h2" : "http/1.1"}`;

const relay = ({ port, originPort }: Setup) => `
global
  nbthread 1
  maxconn 15000
  no strict-limits

defaults
  mode tcp
  timeout connect 5s
  timeout client 300s
  timeout server 300s

listen bench
  option splice-auto
  bind 127.0.0.1:${port} backlog 4096
  server origin 127.0.0.1:${originPort}
`;
