import { defineConfig } from "lintel";

function port(): string {
  throw new TypeError("no port today");
}

export default defineConfig({ sites: [{ to: `localhost:${port()}` }] });
