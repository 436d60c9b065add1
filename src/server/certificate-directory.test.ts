import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog } from "../base/log.ts";
import { catalog } from "../cli/catalog.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { loadConfig } from "../config/load.ts";
import { until } from "../net/testing.ts";
import { Authority } from "../tls/testing.ts";
import { materialCertificate, type TlsMaterial } from "../tls/tls-material.ts";
import { CertificateDirectory, type CertificateSource, type Published } from "./certificate-directory.ts";

setDefaultTimeout(30_000);
const authority = new Authority();
const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanUp.splice(0).reverse()) clean();
});

/** A source that publishes when it is told to. */
class Source implements CertificateSource {
  readonly name = "elsewhere";
  publish!: (published: Published) => Promise<void>;
  readonly obtained: string[] = [];
  stopped = false;
  obtain = async (name: string): Promise<void> => void this.obtained.push(name);

  use(_: GatewayConfig, __: string, publish: (published: Published) => Promise<void>): void {
    this.publish = publish;
  }

  stop(): void {
    this.stopped = true;
  }
}

async function create(tls: object = { certificates: { cert: "a.pem", key: "a.key" } }) {
  const folder = mkdtempSync(join(tmpdir(), "lintel-directory-"));
  cleanUp.push(() => rmSync(folder, { recursive: true }));
  const put = (name: string, names: readonly string[] = ["a.test"]) => {
    const { cert, key } = authority.issue(names);
    writeFileSync(join(folder, `${name}.pem`), cert);
    writeFileSync(join(folder, `${name}.key`), key);
  };
  put("a");
  const said: string[] = [];
  const source = new Source();
  const log = createLog({ level: "info", format: "text", write: (line) => said.push(line) });
  const directory = new CertificateDirectory({ log, sources: [source], everyMs: 5 });
  cleanUp.push(() => directory.stop());
  const told: TlsMaterial[] = [];
  directory.follow((material) => told.push(material));
  const read = async (more: object): Promise<GatewayConfig> => {
    const tree = {
      listeners: [{ name: "secure", address: ":443", tls: true }],
      tls: more,
      sites: [{ hosts: "a.test", to: "localhost:1" }],
    };
    return (await loadConfig({ tree, origin: "test" }, catalog, {})).config!;
  };
  const config = await read(tls);
  directory.prepare(config, folder).commit();
  await directory.use(config, folder);
  return { directory, source, folder, put, said, told, read, config };
}

const origins = ({ certificates }: TlsMaterial) => certificates.map(({ origin }) => origin);
const certificate = (name: string) =>
  materialCertificate({ source: "elsewhere", origin: `one of ${name}`, ...authority.issue([name]) });

test("what files hold and what sources publish is one material, told whole at each change", async () => {
  const { directory, source, told } = await create();
  expect(told.map(origins)).toEqual([["a.pem + a.key"]]);
  void source.publish({ certificates: [certificate("b.test")], tokens: { t: "t.key" }, onDemand: [".c.test"] });
  expect(origins(directory.material)).toEqual(["a.pem + a.key", "one of b.test"]);
  expect(told.at(-1)).toBe(directory.material);
  expect([directory.material.tokens, directory.material.onDemand]).toEqual([{ t: "t.key" }, [".c.test"]]);
  void source.publish({});
  expect(origins(directory.material)).toEqual(["a.pem + a.key"]);
  expect(directory.material.tokens).toEqual({});
});

test("a publication settles when every process has it in use, or has ended", async () => {
  const { directory, source } = await create();
  directory.inUse("worker 0", directory.version);
  directory.inUse("worker 1", directory.version);
  let settled = false;
  const published = source.publish({ certificates: [certificate("b.test")] }).then(() => {
    settled = true;
  });
  directory.inUse("worker 0", directory.version);
  await Promise.resolve();
  expect(settled).toBe(false);
  directory.gone("worker 1");
  await published;
});

test("with nobody to serve yet there is nobody to wait for", async () => {
  const { source } = await create();
  await source.publish({});
});

test("files that change are told; a config that is given up is not followed", async () => {
  const { directory, folder, put, read, told } = await create();
  put("b", ["b.test"]);
  const other = directory.prepare(await read({ certificates: { cert: "b.pem", key: "b.key" } }), folder);
  expect(origins(other.material)).toEqual(["b.pem + b.key"]);
  other.abort();
  const before = told.length;
  put("b", ["b.test"]);
  put("a");
  while (told.length === before) await Bun.sleep(5);
  expect(told.slice(before).every((one) => origins(one)[0] === "a.pem + a.key")).toBe(true);
});

test("what is published while another config is prepared is told after it", async () => {
  const { directory, source, folder, put, read, told } = await create();
  put("b", ["b.test"]);
  const other = directory.prepare(await read({ certificates: { cert: "b.pem", key: "b.key" } }), folder);
  void source.publish({ certificates: [certificate("c.test")] });
  expect(origins(told.at(-1)!)).toEqual(["a.pem + a.key", "one of c.test"]);
  other.commit();
  expect(origins(told.at(-1)!)).toEqual(["b.pem + b.key", "one of c.test"]);
});

test("what cannot be served is refused, and nothing has changed", async () => {
  const { directory, folder, read, told } = await create();
  const nowhere = await read({ certificates: { cert: "no.pem", key: "no.key" } });
  expect(() => directory.prepare(nowhere, folder)).toThrow("no.pem: there is no such file");
  const config = await read({ certificates: { cert: "a.pem", key: "a.key" } });
  const [listener] = config.listeners;
  const custom = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3", ciphers: ["NO-SUCH"], groups: null } as const;
  const odd = {
    ...config,
    listeners: [{ ...listener!, tls: { ...listener!.tls!, profile: "custom" as const, custom } }],
  };
  expect(() => directory.prepare(odd, folder)).toThrow("no cipher of the list is known");
  expect(told).toHaveLength(1);
});

test("a name is asked for once at a time, and a source that fails is no fault", async () => {
  const { directory, source, said } = await create();
  const { promise, resolve } = Promise.withResolvers<void>();
  source.obtain = (name) => {
    source.obtained.push(name);
    return promise;
  };
  const both = [directory.obtain("b.test"), directory.obtain("b.test")];
  expect(source.obtained).toEqual(["b.test"]);
  resolve();
  await Promise.all(both);
  source.obtain = () => Promise.reject(new Error("the CA says no"));
  await directory.obtain("b.test");
  expect(said.join("")).toContain('reason="the CA says no"');
  directory.stop();
  expect(source.stopped).toBe(true);
});

test("sources are told of one config after the other, in their order, also after one that failed", async () => {
  const { directory, source, folder, config, said } = await create();
  const first = Promise.withResolvers<void>();
  const told: string[] = [];
  source.use = (_, where) => {
    told.push(where);
    return where === "first" ? first.promise : Promise.resolve();
  };
  const all = ["first", "second", "third"].map((where) => directory.use(config, where));
  await Promise.resolve();
  await directory.obtain("b.test");
  expect(told).toEqual(["first"]);
  first.reject(new Error("the disk is broken"));
  await Promise.all(all);
  expect(told).toEqual(["first", "second", "third"]);
  expect(said.join("")).toContain("the disk is broken");
  const late = directory.use(config, folder);
  directory.stop();
  await late;
  expect(told).toHaveLength(3);
});

test("a certificate that should have been renewed is warned of", async () => {
  const { source, put, said, told, folder } = await create();
  expect(said.join("")).not.toContain("a certificate ends soon");
  const { cert, key } = authority.issue(["a.test"], { from: -80, until: 3 });
  writeFileSync(join(folder, "a.pem"), cert);
  writeFileSync(join(folder, "a.key"), key);
  while (told.length < 2) await Bun.sleep(5);
  expect(said.join("")).toContain('a certificate ends soon from="a.pem + a.key"');
  // Who gets certificates knows when to.
  put("a");
  while (told.length < 3) await Bun.sleep(5);
  said.length = 0;
  void source.publish({ certificates: [materialCertificate({ source: "elsewhere", origin: "late", cert, key })] });
  expect(said.join("")).toBe("");
});

test("a file that changes while another config is prepared is told about, before the commit or after it", async () => {
  const { directory, folder, put, told, config } = await create();
  const [old] = told.at(-1)!.certificates;
  const prepared = directory.prepare(config, folder);
  put("a");
  await until(() => told.length === 2, "the watch in force");
  prepared.commit();
  await until(() => told.at(-1)!.certificates[0]!.fingerprint !== old!.fingerprint, "the new certificate");
  await until(() => directory.material === told.at(-1), "what is in force to be what was told");
});
