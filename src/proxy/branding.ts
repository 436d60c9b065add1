/**
 * Identity branding: an external origin (a shop, a CMS) works under our own host name. Requests
 * carry the origin's authority; what it says about itself in `Location`, `Content-Location`,
 * `Refresh` and in the `Domain`, `Path` and `Secure` of its cookies is turned back into ours.
 *
 * If a rewrite moved the path on its way (`/shop/cart` → `/cart`), paths are moved back as well.
 *
 * RFC 9110 §8.7 (Content-Location), §10.2.2 (Location); RFC 6265 §5.2 (Set-Cookie).
 */
import type { Exchange } from "../http/exchange.ts";
import { Field } from "../http/field-name.ts";
import type { HttpResponse } from "../http/message.ts";
import { hostOf, pathOf } from "../http/target.ts";

export class Branding {
  /** Authority the origin server knows itself by. */
  readonly authority: string;
  /** Of `authority`, without the port. */
  readonly host: string;
  readonly #scheme: string;
  /** `scheme://authority` of the origin, at the start of a value, whatever its scheme. */
  readonly #origin: RegExp;

  /** @param as "https://shop.vendor.example", with a port if it is not the scheme's own */
  constructor(as: string) {
    const url = new URL(as);
    this.authority = url.host;
    this.#scheme = url.protocol;
    this.host = hostOf(url.hostname);
    this.#origin = new RegExp(
      `^(?:https?:)?//${url.host.replaceAll(/[.[\]]/g, "\\$&")}(?::(?:80|443))?(?=[/?#"']|$)`,
      "i",
    );
  }

  /** The browser's view of itself must fit the origin's: `Origin` and `Referer` are translated too. */
  prepare(exchange: Exchange): void {
    const { fields } = exchange.request;
    const ours = originOf(exchange);
    if (ours === "") return;
    const theirs = `${this.#scheme}//${this.authority}`;
    if (fields.get("origin") === ours) fields.set("origin", theirs);
    const referer = fields.get("referer");
    if (referer?.startsWith(`${ours}/`)) fields.set("referer", theirs + referer.slice(ours.length));
  }

  rewrite(response: HttpResponse, exchange: Exchange): void {
    const { fields } = response;
    const moved = moveOf(exchange);
    for (const name of ["location", "content-location"]) {
      const value = fields.get(name);
      if (value !== undefined) fields.set(name, this.#reference(value, exchange, moved));
    }
    const refresh = fields.get("refresh");
    if (refresh !== undefined) {
      const translate = (_all: string, before: string, url: string) => before + this.#reference(url, exchange, moved);
      fields.set("refresh", refresh.replace(/^([\d.\s]*[;,]\s*(?:url\s*=\s*)?["']?)(.*)$/i, translate));
    }
    const cookies = fields.getAll("set-cookie");
    if (cookies.length === 0) return;
    fields.deleteKnown(Field["set-cookie"]);
    for (const cookie of cookies) fields.append("set-cookie", this.#cookie(cookie, exchange, moved));
  }

  /** A URI reference; one that leads elsewhere, or is relative to the current path, stays as it is. */
  #reference(value: string, exchange: Exchange, moved: Move | null): string {
    const origin = this.#origin.exec(value)?.[0];
    if (origin === undefined) return value.startsWith("//") ? value : movedBack(value, moved);
    return originOf(exchange) + movedBack(value.slice(origin.length), moved) || "/";
  }

  /** `Domain` of the origin or a parent of it becomes host-only; `Secure`, and what needs it, goes when we speak http. */
  #cookie(cookie: string, exchange: Exchange, moved: Move | null): string {
    const [pair, ...attributes] = cookie.split(";");
    let text = pair!;
    for (const attribute of attributes) {
      const [name = "", value = ""] = attribute.split("=", 2).map((part) => part.trim());
      switch (name.toLowerCase()) {
        case "domain":
          if (this.#covers(value.toLowerCase())) continue;
          break;
        case "path":
          if (moved === null) break;
          text += `; Path=${cookiePath(value, moved)}`;
          continue;
        case "secure":
        case "partitioned":
          if (exchange.request.scheme === "http") continue;
          break;
        case "samesite":
          if (exchange.request.scheme === "http" && value.toLowerCase() === "none") continue;
      }
      text += `;${attribute}`;
    }
    return text;
  }

  #covers(domain: string): boolean {
    const bare = domain.startsWith(".") ? domain.slice(1) : domain;
    return this.host === bare || this.host.endsWith(`.${bare}`);
  }
}

/** Our origin as the client sees it; "" if it named no authority (HTTP/1.0), which leaves a path. */
function originOf({ request }: Exchange): string {
  return request.authority === "" ? "" : `${request.scheme}://${request.authority}`;
}

/** Where the client says `ours`, the origin server says `theirs`: prefixes without "/" at their end. */
interface Move {
  readonly ours: string;
  readonly theirs: string;
}

/** What a rewrite did to the path: the rest, in whole segments, is the same. null: nothing that can be turned back. */
function moveOf(exchange: Exchange): Move | null {
  const client = pathOf(exchange.clientTarget);
  const sent = pathOf(exchange.request.target);
  if (client === sent) return null;
  let shared = 0;
  for (let i = 1; i <= client.length && client.at(-i) === sent.at(-i); i++) if (client.at(-i) === "/") shared = i;
  if (shared === 0) return null;
  return { ours: client.slice(0, client.length - shared), theirs: sent.slice(0, sent.length - shared) };
}

/** @param path what follows an authority: path, query and fragment */
function movedBack(path: string, moved: Move | null): string {
  if (moved === null || !path.startsWith("/") || !path.startsWith(moved.theirs)) return path;
  const rest = path.slice(moved.theirs.length);
  return rest === "" || /^[/?#]/.test(rest) ? moved.ours + rest : path;
}

function cookiePath(path: string, moved: Move): string {
  // Without "/" at its end it covers the prefix itself, too (RFC 6265 §5.1.4).
  if (path === "/") return moved.theirs === "" ? moved.ours : path;
  return movedBack(path, moved) || "/";
}
