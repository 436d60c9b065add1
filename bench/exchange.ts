/**
 * What one relayed exchange costs in this program alone: both HTTP/1 engines, routing, forwarding
 * and recording, over connections that are not there. No system call is made, so the figure is
 * steady enough to see 50 ns. Prints ns per exchange: best and median of the rounds.
 *
 *   bun bench/exchange.ts [--rounds 15] [--fields browser] [--new-connections]
 */
import { putText } from "../src/base/buffer.ts";
import { SILENT } from "../src/base/log.ts";
import { catalog } from "../src/cli/catalog.ts";
import { loadConfig } from "../src/config/load.ts";
import type { ClientInfo, Exchange } from "../src/http/exchange.ts";
import type { Connection, ConnectionHandler } from "../src/net/connection.ts";
import type { ExchangeHooks } from "../src/protocol/exchange-hooks.ts";
import { Http1ServerConnection } from "../src/protocol/http1/server.ts";
import { engineSettings } from "../src/server/door.ts";
import { staticSets, zoneSizes } from "../src/server/endpoint-places.ts";
import { Generation } from "../src/server/generation.ts";
import { Upstreams } from "../src/server/upstreams.ts";
import { Sequence } from "../src/state/placement.ts";
import { createZone } from "../src/state/zone.ts";
import { GatewayMetrics } from "../src/telemetry/metrics.ts";
import { ExchangeRecorder } from "../src/telemetry/record.ts";

const nobody: ConnectionHandler = { onOctets() {}, onRoom() {}, onPeerEnd() {}, onLost() {}, onFault() {} };

/** Writes as a real one does up to the system call. */
class NoConnection implements Connection {
  handler: ConnectionHandler = nobody;
  readonly full = false;
  readonly open = true;
  readonly unsent = 0;
  octetsIn = 0;
  octetsOut = 0;
  readonly #out = Buffer.allocUnsafeSlow(65536);
  #length = 0;

  write(octets: Uint8Array): void {
    this.#out.set(octets, this.#length);
    this.#length += octets.length;
  }
  writeText(text: string): void {
    this.#length = putText(this.#out, this.#length, text);
  }
  writeUnseen(): void {}
  flush(): void {
    this.octetsOut += this.#length;
    this.#length = 0;
  }
  isQuiet(): boolean {
    return true;
  }
  pause(): void {}
  resume(): void {}
  endWriting(): void {}
  close(): void {}
  destroy(): void {}
}

const argument = (name: string, fallback: string) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : process.argv[at + 1]!;
};

const loaded = await loadConfig(
  { tree: { sites: [{ to: "127.0.0.1:9" }], telemetry: { accessLog: "off" } }, origin: "bench" },
  catalog,
  {},
);
const config = loaded.config!;
const zone = createZone({ ...zoneSizes(config, 1), slots: 1 });
const placement = new Sequence();
const metrics = GatewayMetrics.of(config, placement);
metrics.registry.attach(zone, 0);
const recorder = new ExchangeRecorder(metrics, null);
const upstreams = new Upstreams({ zone, slot: 0, workers: 1, log: SILENT });
const prepared = await upstreams.prepare(config, staticSets(config, placement, 1), metrics);
prepared.commit();
const generation = await Generation.build({
  config,
  directory: ".",
  upstreams: prepared.upstreams,
  log: SILENT,
  covers: () => false,
});
const [endpoint] = prepared.upstreams.get("127.0.0.1:9")!.endpoints;

const upstreamConnection = new NoConnection();
const client = endpoint!.pool.adopt(upstreamConnection);
endpoint!.pool.idle(client);

const info = (): ClientInfo => ({
  listener: config.listeners[0]!.name,
  peer: "127.0.0.1",
  peerPort: 1,
  localAddress: "",
  localPort: 80,
  tls: null,
});
let finished = 0;
const hooks: ExchangeHooks = {
  handle: generation.handle,
  draining: false,
  finish(exchange: Exchange) {
    finished++;
    recorder.record(exchange);
    generation.finished();
  },
  malformed(_client, failure) {
    throw failure;
  },
  closed() {},
  fault(thrown) {
    throw thrown;
  },
};
const downstream = new NoConnection();
const settings = engineSettings(config, "http").http1;
const accept = () => new Http1ServerConnection(downstream, info(), settings, hooks);
let server = accept();
const isNewEach = process.argv.includes("--new-connections");

const BROWSER = `User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r
Accept-Language: en-US,en;q=0.5\r
Accept-Encoding: gzip, deflate, br, zstd\r
Referer: http://127.0.0.1/catalogue/chairs?page=2\r
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1\r
Upgrade-Insecure-Requests: 1\r
Sec-Fetch-Dest: document\r
Sec-Fetch-Mode: navigate\r
Sec-Fetch-Site: same-origin\r
Priority: u=0, i\r
`;
const request = Buffer.from(
  `GET /some/path HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n${argument("--fields", "few") === "browser" ? BROWSER : ""}${process.argv.includes("--new-connections") ? "Connection: close\r\n" : ""}\r\n`,
);
const response = Buffer.from(
  `HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 12:36:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 100\r\nConnection: keep-alive\r\n\r\n${"x".repeat(100)}`,
);

function exchanges(count: number): void {
  for (let i = 0; i < count; i++) {
    if (isNewEach) server = accept();
    server.onOctets(request, request.length);
    upstreamConnection.flush();
    client.onOctets(response, response.length);
    downstream.flush();
  }
}

exchanges(200_000);
const rounds = Number(argument("--rounds", "15"));
const figures: number[] = [];
for (let round = 0; round < rounds; round++) {
  const start = Bun.nanoseconds();
  exchanges(100_000);
  figures.push((Bun.nanoseconds() - start) / 100_000);
}
figures.sort((a, b) => a - b);
console.log(
  `${figures[0]!.toFixed(0)} ns per exchange at best, ${figures[rounds >> 1]!.toFixed(0)} in the median of ${rounds} rounds`,
);
if (finished !== 200_000 + rounds * 100_000) throw new Error(`${finished} exchanges finished`);
process.exit(0);
