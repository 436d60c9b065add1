/**
 * A new version for some: whoever has the cookie gets it, and one in ten of the others by the
 * weights of the upstream. In TypeScript, since the list of services makes the routes.
 */
import { defineConfig, upstream } from "lintel";

const address = (name: string, fallback: `${string}:${string}`) =>
  (process.env[name] ?? fallback) as `${string}:${string}`;

const stable = address("STABLE", "localhost:3000");
const canary = address("CANARY", "localhost:3001");

const all = upstream("all", {
  endpoints: [
    { address: stable, weight: 9 },
    { address: canary, weight: 1 },
  ],
});
const early = upstream("early", { endpoints: canary });

const services = ["cart", "search", "account"];

export default defineConfig({
  listeners: [address("LISTEN", "127.0.0.1:8080")],
  admin: { address: address("ADMIN", "127.0.0.1:2020") },
  sites: [
    {
      name: "shop",
      routes: [
        ...services.map((service) => ({
          name: `${service}-early`,
          match: { path: `/${service}/*`, cookie: { early: "yes" } },
          to: early,
        })),
        ...services.map((service) => ({ name: service, match: `/${service}/*`, to: all })),
        { name: "rest", use: [{ respond: { status: 404 } }] },
      ],
    },
  ],
});
