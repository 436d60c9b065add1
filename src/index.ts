export { identity as defineConfig, named as upstream } from "./config/adapters/typescript/define.ts";
