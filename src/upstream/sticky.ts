/**
 * Clients that come back to the endpoint that served them first. Each endpoint has an id, which the
 * client keeps in a cookie or sends in a field; who brings no id of ours is balanced and given one.
 *
 * The id is nginx's `sticky cookie`: the MD5 of the address, so clients that nginx has bound stay
 * bound. With a secret it is an HMAC under it, which nobody can compute or turn into an address.
 *
 * The cookie is sent on to the origin server, as nginx, Caddy and Traefik do: taking it out would mean
 * rewriting the Cookie field of every request, to hide something that harms nobody.
 */
import { createHash, createHmac } from "node:crypto";
import type { StickyConfig, StickyCookieConfig } from "../config/gateway-config.ts";
import { cookie } from "../http/cookie.ts";
import type { Exchange } from "../http/exchange.ts";
import { Field } from "../http/field-name.ts";
import type { HttpResponse, Scheme } from "../http/message.ts";
import type { Endpoint } from "./endpoint.ts";
import { Status } from "./endpoint-state.ts";

/** Octets of the HMAC that make an id: 128 bits. */
const ID_OCTETS = 16;

/** What is said to clients of one endpoint, made once. */
interface Binding {
  readonly endpoint: Endpoint;
  readonly id: string;
  /** Values of Set-Cookie; "" where a field carries the id. */
  readonly setCookie: Readonly<Record<Scheme, string>>;
}

export class Sticky {
  readonly #config: StickyConfig;
  #bindings: ReadonlyMap<Endpoint, Binding> = new Map();
  readonly #byId = new Map<string, Binding>();

  constructor(config: StickyConfig) {
    this.#config = config;
  }

  update(endpoints: readonly Endpoint[]): void {
    const before = this.#bindings;
    this.#bindings = new Map(endpoints.map((endpoint) => [endpoint, before.get(endpoint) ?? this.#binding(endpoint)]));
    this.#byId.clear();
    for (const binding of this.#bindings.values()) this.#byId.set(binding.id, binding);
  }

  /** The endpoint the request names, usable or not; null if it names none of ours. */
  find(exchange: Exchange): Endpoint | null {
    const id = this.#idOf(exchange);
    return id === undefined ? null : (this.#byId.get(id)?.endpoint ?? null);
  }

  /** Adds to the response what brings the client back, if it does not have it already. */
  bind(exchange: Exchange, response: HttpResponse, endpoint: Endpoint): void {
    const binding = this.#bindings.get(endpoint);
    // One that is being drained keeps its clients, but not for longer than they would have stayed.
    if (binding === undefined || (endpoint.state.status & (Status.draining | Status.disabled)) !== 0) return;
    const { cookie: jar, field } = this.#config;
    if (field !== null) response.fields.set(field, binding.id);
    else if (jar!.ttl !== null || this.#idOf(exchange) !== binding.id) {
      const value = binding.setCookie[exchange.request.scheme];
      response.fields.appendTrusted(Field["set-cookie"], "Set-Cookie", value);
    }
  }

  #idOf({ request }: Exchange): string | undefined {
    const { cookie: jar, field } = this.#config;
    return jar === null ? request.fields.get(field!) : cookie(request.fields, jar.name);
  }

  #binding(endpoint: Endpoint): Binding {
    const { secret, cookie: jar } = this.#config;
    const id = idOf(endpoint.address, secret);
    const setCookie =
      jar === null ? { http: "", https: "" } : { http: write(jar, id, "http"), https: write(jar, id, "https") };
    return { endpoint, id, setCookie };
  }
}

function idOf(address: string, secret: string | null): string {
  if (secret === null) return createHash("md5").update(address).digest("hex");
  return createHmac("sha256", secret).update(address).digest().subarray(0, ID_OCTETS).toString("base64url");
}

/** A Set-Cookie value (RFC 6265 §4.1). */
function write(jar: StickyCookieConfig, id: string, scheme: Scheme): string {
  const secure = jar.secure === "auto" ? scheme === "https" : jar.secure;
  let text = `${jar.name}=${id}; Path=${jar.path}`;
  if (jar.domain !== null) text += `; Domain=${jar.domain}`;
  if (jar.ttl !== null) text += `; Max-Age=${Math.ceil(jar.ttl / 1000)}`;
  if (jar.httpOnly) text += "; HttpOnly";
  if (secure) text += "; Secure";
  // Browsers drop a cookie with SameSite=None that is not Secure.
  if (jar.sameSite !== "none" || secure) text += `; SameSite=${SAME_SITE[jar.sameSite]}`;
  return text;
}

const SAME_SITE = { strict: "Strict", lax: "Lax", none: "None" } as const;
