import { defineConfig, upstream } from "lintel";

const shop = upstream("shop", { endpoints: "localhost" as "localhost:1" });
const other = upstream("shop", { endpoints: "localhost:1" });

export default defineConfig({
  workers: 0,
  timeouts: { head: "soon" as "30s" },
  sites: [
    {
      routes: [
        { match: "/a", to: shop },
        { match: "/b", to: other },
        { match: "/c", to: "shpo" },
        { match: "/d", use: [{ respond: (() => "hello") as never }] },
        { match: "/e", to: new Map() as never },
      ],
    },
  ],
});
