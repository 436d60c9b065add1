/**
 * Who may ask the admin listener what.
 *
 * - On a loopback address it answers for local names alone: a web page whose host name is made to
 *   point at 127.0.0.1 (DNS rebinding) would otherwise read it through a visitor's browser.
 * - A request that a page of another place makes a browser send is refused.
 * - With a token, /v1 needs it. Without one, who can open a unix socket may do everything, and over
 *   TCP nothing can be changed: everybody on the machine can connect to a loopback port.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Access } from "./operation.ts";
import { Problem } from "./problem.ts";

export class Guard {
  readonly #localOnly: boolean;
  readonly #isUnix: boolean;
  /** Digest of the token; null: none is set. */
  readonly #token: Uint8Array | null;

  /** @param host that is listened on; null: a unix socket */
  constructor(host: string | null, token: string | null) {
    this.#isUnix = host === null;
    this.#localOnly = host !== null && isLocalHost(host);
    this.#token = token === null ? null : digest(token);
  }

  /** @throws {Problem} unless the request is for a name of this listener */
  checkHost(request: Request): void {
    const host = request.headers.get("host") ?? "";
    if (!this.#localOnly || isLocalHost(host.replace(/:\d+$/, ""))) return;
    const detail = `the admin listener answers for local names only, not for ${JSON.stringify(host)}`;
    throw new Problem("misdirected", detail);
  }

  /** @throws {Problem} unless the request may do that */
  checkAccess(request: Request, access: Access): void {
    this.#checkOrigin(request);
    if (this.#token !== null) this.#checkToken(request, this.#token);
    else if (access !== "read" && !this.#isUnix) {
      const detail =
        access === "change"
          ? "over TCP nothing can be changed while no token is set"
          : "over TCP this is not shown while no token is set: it may have secrets in it";
      throw new Problem("no-token-set", detail, {
        hint: 'set one (admin: { token: "${LINTEL_TOKEN}" }), or use the unix socket in the state folder, as the lintel command does',
      });
    }
  }

  #checkOrigin(request: Request): void {
    const origin = request.headers.get("origin");
    const isForeign =
      request.headers.get("sec-fetch-site") === "cross-site" ||
      (origin !== null && hostOf(origin) !== request.headers.get("host"));
    if (!isForeign) return;
    throw new Problem("foreign-origin", `a page of ${origin ?? "another site"} may not ask the admin API`);
  }

  #checkToken(request: Request, token: Uint8Array): void {
    const fields = { "www-authenticate": 'Bearer realm="lintel"' };
    const given = /^Bearer +(.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
    const hint = "send Authorization: Bearer TOKEN with the admin.token of the config";
    if (given === undefined) throw new Problem("token-missing", "the request has no bearer token", { hint, fields });
    // Of digests: the comparison takes as long whatever is given, and tells nothing of the token's length.
    if (timingSafeEqual(digest(given), token)) return;
    throw new Problem("token-wrong", "the bearer token is not the one of the config", { hint, fields });
  }
}

const digest = (text: string): Uint8Array => createHash("sha256").update(text).digest();

/** `host` with IPv6 in brackets or not. */
function isLocalHost(host: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
}

function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}
