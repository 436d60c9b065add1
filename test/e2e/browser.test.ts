/**
 * A real page in a real browser, with a certificate of the local CA. Chromium believes it for one reason: its user
 * has imported the root as `lintel trust` says. Pictures show what its user sees.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { needs } from "../../src/base/testing.ts";
import { Authority } from "../../src/tls/testing.ts";
import { HAS_CHROMIUM, type Visit, type Visited, visit } from "../support/chromium.ts";
import { Gateway } from "../support/gateway.ts";
import { Origin } from "../support/origin.ts";
import { until } from "../support/until.ts";

/** Of the page, by the protocol it has come over. */
const COLOURS: Readonly<Record<string, string>> = { h2: "#0050b0", h3: "#00803c" };
const SQUARE = "#ff8000";
/** Before its scripts have run. */
const WAITING = "#b00020";

/** A document, a style sheet, a picture and a script of their own, and content sent to the origin server. */
const FILES: Readonly<Record<string, { readonly type: string; readonly text: string }>> = {
  "/": {
    type: "text/html",
    text: `<!doctype html><html lang="en"><title>Lintel</title><link rel="stylesheet" href="/page.css">
      <img src="/square.svg" alt=""><h1>Waiting</h1><pre></pre><script src="/page.js"></script></html>`,
  },
  "/page.css": {
    type: "text/css",
    text: `body { margin: 0; padding: 120px; background: ${WAITING}; color: white; font: 20px sans-serif }
      img { position: absolute; left: 0; top: 0; width: 100px; height: 100px }
      ${Object.entries(COLOURS)
        .map(([name, colour]) => `.${name} { background: ${colour} }`)
        .join("\n")}`,
  },
  "/square.svg": {
    type: "image/svg+xml",
    text: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect width="1" height="1" fill="${SQUARE}"/></svg>`,
  },
  "/page.js": {
    type: "text/javascript",
    text: `(async () => {
      const page = performance.getEntriesByType("navigation")[0].nextHopProtocol;
      const posted = await (await fetch("/posted", { method: "POST", body: "x".repeat(500000) })).text();
      const used = () => [...new Set(performance.getEntriesByType("resource").map((entry) => entry.nextHopProtocol))];
      const until = new URLSearchParams(location.search).get("until");
      for (let i = 0; until !== null && i < 100 && !used().includes(until); i++) await (await fetch("/later?" + i)).text();
      const last = performance.getEntriesByType("resource").at(-1).nextHopProtocol;
      document.body.className = last;
      document.querySelector("h1").textContent = "Lintel, " + last;
      document.querySelector("pre").textContent = JSON.stringify({ page, posted, used: used() });
    })();`,
  },
};

const stranger = new Authority().cert;

needs({ what: "chromium and certutil", isMet: HAS_CHROMIUM }).describe("Chromium", () => {
  let origin: Origin;
  let gateway: Gateway;
  let place: Pick<Visit, "host" | "port">;
  let root: string;

  beforeAll(async () => {
    origin = await Origin.start();
    gateway = await Gateway.start({
      workers: 1,
      listeners: [{ name: "web", address: "127.0.0.1:0", tls: true, http3: true }],
      tls: { local: true, storage: "certificates" },
      upstreams: { app: { endpoints: `127.0.0.1:${origin.port}` } },
      sites: [{ hosts: "app.test", to: "app" }],
    });
    place = { host: "app.test", port: Number(new URL(gateway.url("listener=web")).port) };
    root = JSON.parse(readFileSync(join(gateway.directory, "certificates/local/root"), "utf8")).cert as string;
    origin.script = async (request) => {
      const { octets } = await request.content();
      const [path = ""] = request.target.split("?");
      const file = FILES[path];
      if (file !== undefined) return request.reply({ fields: { "Content-Type": file.type }, content: file.text });
      // So many times a little while is long enough for a handshake.
      if (path === "/later") await Bun.sleep(100);
      if (path === "/later" || path === "/posted") return request.reply({ content: String(octets.length) });
      return request.reply({ status: 404, reason: "Not Found" });
    };
  }, 40_000);

  afterEach(() => origin.requests.splice(0));

  afterAll(async () => {
    await gateway?.stop();
    origin?.stop();
  });

  /** What the page has found out. */
  const said = ({ document }: Visited): unknown => JSON.parse(/<pre>(\{.*?\})<\/pre>/.exec(document)?.[1] ?? "{}");

  function expectToShow({ picture }: Visited, protocol: string): void {
    if (picture === null) throw new Error("there is no page");
    expect([picture.at(50, 50), picture.at(150, 50), picture.at(picture.width - 5, picture.height - 5)]).toEqual([
      SQUARE,
      COLOURS[protocol]!,
      COLOURS[protocol]!,
    ]);
    // And its text on it, of which something is wholly white.
    const shares = picture.shares();
    expect(shares.get(COLOURS[protocol]!)).toBeGreaterThan(0.5);
    expect(shares.get("#ffffff")).toBeGreaterThan(0);
    expect(shares.get("#ffffff")).toBeLessThan(0.2);
  }

  test("shows a page over HTTP/2", async () => {
    const visited = await visit({ ...place, path: "/", trust: root });
    expect(said(visited)).toEqual({ page: "h2", posted: "500000", used: ["h2"] });
    expectToShow(visited, "h2");
  }, 120_000);

  test("shows a page over HTTP/3", async () => {
    const visited = await visit({ ...place, path: "/", trust: root, quic: "at once" });
    expect(said(visited)).toEqual({ page: "h3", posted: "500000", used: ["h3"] });
    expectToShow(visited, "h3");
  }, 120_000);

  test("begins with HTTP/2, and goes on over HTTP/3 since Alt-Svc says so (RFC 7838)", async () => {
    const visited = await visit({ ...place, path: "/?until=h3", trust: root, quic: "if told" });
    expect(said(visited)).toEqual({ page: "h2", posted: "500000", used: ["h2", "h3"] });
    expectToShow(visited, "h3");
  }, 120_000);

  test("shows nothing to a user who trusts another CA, and tells Lintel why", async () => {
    const refusals = async (): Promise<number> => {
      const counted = [...(await gateway.metrics())].filter(
        ([name]) => name.startsWith("lintel_tls_handshake_failures_total{") && name.includes("refused-by-client"),
      );
      return counted.reduce((sum, [, count]) => sum + count, 0);
    };
    const before = await refusals();
    expect(await visit({ ...place, path: "/", trust: stranger })).toEqual({ document: "", picture: null });
    await until(async () => (await refusals()) > before, "a refusal");
    expect(origin.requests).toHaveLength(0);
  }, 120_000);

  test("shows nothing to such a user over HTTP/3 either", async () => {
    const visited = await visit({ ...place, path: "/", trust: stranger, quic: "at once" });
    expect(visited).toEqual({ document: "", picture: null });
    expect(origin.requests).toHaveLength(0);
  }, 120_000);
});
