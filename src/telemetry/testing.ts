/** Exchanges and configs for the tests of this room. */
import type { GatewayConfig } from "../config/gateway-config.ts";
import { NO_BODY } from "../http/body.ts";
import { type ClientInfo, Exchange } from "../http/exchange.ts";
import { FieldSection } from "../http/field-section.ts";
import { HttpRequest, HttpResponse } from "../http/message.ts";

export const CLIENT: ClientInfo = {
  listener: "web",
  peer: "192.0.2.17",
  peerPort: 50_000,
  localAddress: "192.0.2.1",
  localPort: 8080,
  tls: null,
};

export function sampleExchange(target = "/shop?id=1", fields: Record<string, string> = {}, status = 200): Exchange {
  const request = new HttpRequest("GET", "http", "example.com:8080", target, FieldSection.of(fields), NO_BODY);
  const exchange = new Exchange(CLIENT, "HTTP/1.1", request, 1000);
  exchange.site = "main";
  exchange.route = "shop";
  exchange.upstream = "app";
  exchange.response = new HttpResponse(status);
  exchange.responseOctets = 12;
  exchange.phase = "done";
  return exchange;
}

/** Only what the metrics look at. */
export const SAMPLE_CONFIG = {
  listeners: [{ name: "web" }, { name: "inner" }],
  sites: [{ name: "main", routes: [{ name: "shop" }, { name: "rest" }] }],
  tcp: [],
  udp: [],
  upstreams: [{ name: "app", endpoints: [{ address: "10.0.0.1:80" }, { address: "10.0.0.2:80" }] }],
} as unknown as GatewayConfig;
