/**
 * Identity branding: an external origin (a shop, a CMS) works under our own host name. Requests
 * carry the origin's authority; what it says about itself in `Location`, `Content-Location`,
 * `Refresh` and the `Domain` and `Secure` of its cookies is turned back into ours.
 */
import type { Exchange } from "../http/exchange.ts";
import { Field } from "../http/field-name.ts";
import type { HttpResponse } from "../http/message.ts";
import { hostOf } from "../http/target.ts";

export class Branding {
  /** Authority the origin server knows itself by. */
  readonly authority: string;
  readonly #scheme: string;
  readonly #host: string;
  /** `scheme://authority` of the origin, at the start of a value, whatever its scheme. */
  readonly #origin: RegExp;

  /** @param as "https://shop.vendor.example", with a port if it is not the scheme's own */
  constructor(as: string) {
    const url = new URL(as);
    this.authority = url.host;
    this.#scheme = url.protocol;
    this.#host = url.hostname;
    this.#origin = new RegExp(
      `^(?:https?:)?//${url.host.replaceAll(/[.[\]]/g, "\\$&")}(?::(?:80|443))?(?=[/?#]|$)`,
      "i",
    );
  }

  /** The browser's view of itself must fit the origin's: `Origin` and `Referer` are translated too. */
  prepare(exchange: Exchange): void {
    const { request } = exchange;
    const ours = `${request.scheme}://${request.authority}`;
    const origin = request.fields.get("origin");
    if (origin === ours) request.fields.set("origin", `${this.#scheme}//${this.authority}`);
    const referer = request.fields.get("referer");
    if (referer?.startsWith(`${ours}/`))
      request.fields.set("referer", `${this.#scheme}//${this.authority}${referer.slice(ours.length)}`);
  }

  rewrite(response: HttpResponse, exchange: Exchange): void {
    const { fields } = response;
    const ours = `${exchange.request.scheme}://${exchange.request.authority}`;
    for (const name of ["location", "content-location"]) {
      const value = fields.get(name);
      if (value !== undefined && this.#origin.test(value)) fields.set(name, value.replace(this.#origin, ours));
    }
    const refresh = fields.get("refresh");
    if (refresh !== undefined) {
      fields.set(
        "refresh",
        refresh.replace(
          /(;\s*url=["']?)(.*)$/i,
          (_all, before: string, url: string) => before + url.replace(this.#origin, ours),
        ),
      );
    }
    const cookies = fields.getAll("set-cookie");
    if (cookies.length === 0) return;
    fields.deleteKnown(Field["set-cookie"]);
    for (const cookie of cookies) fields.append("set-cookie", this.#cookie(cookie, exchange));
  }

  /** `Domain` of the origin or a parent of it becomes host-only; `Secure` (and `SameSite=None`, which needs it) go when we speak http. */
  #cookie(cookie: string, exchange: Exchange): string {
    const [pair, ...attributes] = cookie.split(";");
    const kept = attributes.filter((attribute) => {
      const [name = "", value = ""] = attribute.trim().toLowerCase().split("=");
      if (name === "domain") return !this.#covers(value);
      if (exchange.request.scheme === "https") return true;
      return name !== "secure" && !(name === "samesite" && value === "none");
    });
    return [pair, ...kept].join(";");
  }

  #covers(domain: string): boolean {
    const bare = domain.startsWith(".") ? domain.slice(1) : domain;
    const host = hostOf(this.#host);
    return host === bare || host.endsWith(`.${bare}`);
  }
}
