/** Requests as a browser sends them: twelve fields, to random paths of the thousand routes. */
import { ROUTES, routePrefix } from "../cases.ts";

const FIELDS = [
  "Host: shop.example.com",
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
  "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
  "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
  "Accept-Encoding: gzip, deflate, br",
  "Referer: https://shop.example.com/area-00/service-00/overview?page=1",
  "Connection: keep-alive",
  "Cookie: session=5f2c8a9e41d7b6033c9d; consent=all; theme=dark; last_seen=1718123456; basket=3",
  "Upgrade-Insecure-Requests: 1",
  "Sec-Fetch-Dest: document",
  "Sec-Fetch-Mode: navigate",
  "Sec-Fetch-Site: same-origin",
];

/** The same ones at every call, so that all proxies get the same mixture. */
export function browserRequests(count: number): string[] {
  let state = 20_231;
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const tail = FIELDS.map((field) => `${field}\r\n`).join("");
  return Array.from({ length: count }, () => {
    const path = `${routePrefix(random(ROUTES))}/items/${random(100_000)}?page=${random(50)}`;
    return `GET ${path} HTTP/1.1\r\n${tail}\r\n`;
  });
}
