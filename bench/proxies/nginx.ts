/**
 * nginx with one worker. `nginx` has its defaults but for what a reverse proxy needs (HTTP/1.1 and
 * kept connections to the origin, forwarded fields); `nginx-tuned` relays uploads as they come and
 * has large buffers, which is what someone who serves large contents would set.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CIPHER, type Contender, GROUP, isTls, type Setup, versionFrom } from "./contender.ts";

/** Debian's package libnginx-mod-stream. */
const STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";

export const nginx: Contender = nginxWith("nginx", false);
export const nginxTuned: Contender = nginxWith("nginx-tuned", true);

function nginxWith(name: string, tuned: boolean): Contender {
  return {
    name,
    tuned,
    compiles: false,
    protocols: ["http", "https", "h2", "websocket", ...(existsSync(STREAM_MODULE) ? (["tcp"] as const) : [])],
    version: () => versionFrom(["nginx", "-v"], /nginx\/(\S+)/),
    prepare(setup) {
      const file = join(setup.directory, "nginx.conf");
      mkdirSync(join(setup.directory, "temporary"), { recursive: true });
      writeFileSync(file, setup.protocol === "tcp" ? relay(setup) : configuration(setup, tuned));
      return { command: ["nginx", "-e", "stderr", "-p", setup.directory, "-c", file] };
    },
  };
}

/** Settings of every nginx here, also of the origin server. */
export const NGINX_MAIN = `
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
error_log stderr error;
pid nginx.pid;
events {
  worker_connections 20000;
}`;

export const NGINX_HTTP = `
  client_body_temp_path temporary/client;
  proxy_temp_path temporary/proxy;
  fastcgi_temp_path temporary/fastcgi;
  uwsgi_temp_path temporary/uwsgi;
  scgi_temp_path temporary/scgi;
  default_type text/plain;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;`;

function configuration(setup: Setup, tuned: boolean): string {
  const { protocol, port, originPort, prefixes, accessLog } = setup;
  const locations =
    prefixes.length === 0
      ? "    location / { proxy_pass http://origin; }"
      : prefixes.map((prefix) => `    location ${prefix}/ { proxy_pass http://origin; }`).join("\n");
  return `${NGINX_MAIN}
http {${NGINX_HTTP}
  access_log ${accessLog ? "access.log combined buffer=64k flush=1s" : "off"};
  upstream origin {
    server 127.0.0.1:${originPort};
    keepalive 512;
    keepalive_requests 100000000;
  }
  server {
    listen 127.0.0.1:${port}${isTls(protocol) ? " ssl" : ""}${protocol === "h2" ? " http2" : ""} backlog=4096;
${isTls(protocol) ? tls(setup) : ""}    keepalive_timeout 300s;
    client_max_body_size 100m;
    proxy_http_version 1.1;
${protocol === "websocket" ? UPGRADES : '    proxy_set_header Connection "";\n'}    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Real-IP $remote_addr;
${tuned ? TUNED : ""}${locations}
  }
}
`;
}

const tls = ({ certificate }: Setup) => `    ssl_certificate ${certificate.cert};
    ssl_certificate_key ${certificate.key};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites ${CIPHER};
    ssl_ecdh_curve ${GROUP};
`;

const UPGRADES = `    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
    proxy_read_timeout 300s;
`;

const relay = ({ port, originPort }: Setup) => `load_module ${STREAM_MODULE};${NGINX_MAIN}
stream {
  server {
    listen 127.0.0.1:${port} backlog=4096;
    proxy_pass 127.0.0.1:${originPort};
  }
}
`;

const TUNED = `    proxy_request_buffering off;
    client_body_buffer_size 128k;
    proxy_buffer_size 16k;
    proxy_buffers 8 64k;
    proxy_busy_buffers_size 128k;
    proxy_max_temp_file_size 0;
`;
