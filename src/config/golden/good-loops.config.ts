import { defineConfig, upstream } from "lintel";

const shop = upstream("shop", { endpoints: ["localhost:3000", "localhost:3001"], retries: 1 });

export default defineConfig({
  sites: ["de", "fr"].map((country) => ({
    hosts: `${country}.example.com`,
    routes: [{ match: "/shop/*", to: shop }, { use: [{ respond: { status: 404 } }] }],
  })),
});
