/** The origin server of all cases but the upload: nginx, which costs the least of what is at hand. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NGINX_HTTP, NGINX_MAIN } from "../proxies/nginx.ts";

/** Answers with the forwarded fields that reached it, to see that all proxies do that work. */
export const FIELDS_PATH = "/fields";

/** @returns the command that serves on 127.0.0.1:port */
export function nginxOrigin(directory: string, port: number): string[] {
  mkdirSync(join(directory, "temporary"), { recursive: true });
  mkdirSync(join(directory, "contents"), { recursive: true });
  writeFileSync(join(directory, "contents/64k"), Buffer.alloc(65_536, "64k "));
  writeFileSync(join(directory, "contents/1m"), Buffer.alloc(1_048_576, "1m  "));
  const file = join(directory, "nginx.conf");
  writeFileSync(file, configuration(port));
  return ["nginx", "-e", "stderr", "-p", directory, "-c", file];
}

function configuration(port: number): string {
  return `${NGINX_MAIN}
http {${NGINX_HTTP}
  access_log off;
  keepalive_timeout 300s;
  open_file_cache max=16 inactive=600s;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { return 200 "${"x".repeat(100)}"; }
    location = /64k { root contents; }
    location = /1m { root contents; }
    location = ${FIELDS_PATH} {
      return 200 "$http_host|$http_x_forwarded_for|$http_x_forwarded_proto|$http_x_forwarded_host";
    }
  }
}
`;
}
