/** `lintel trust` with a trust store in a folder: the machine's own stays as it is. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FolderStore } from "../../acme/folder-store.ts";
import { LocalCa } from "../../acme/local-ca.ts";
import { needs, program } from "../../base/testing.ts";
import { Authority } from "../../tls/testing.ts";
import { parseArguments } from "../arguments.ts";
import { TrustStore } from "../trust-store.ts";
import { trustIn } from "./trust.ts";

const folder = mkdtempSync(join(tmpdir(), "lintel-trust-command-"));
const CONFIG = `
listeners: [{ address: ":8443", tls: true }]
tls: { local: true, storage: store }
sites: [{ hosts: app.test, to: "localhost:1" }]
`;
const config = join(folder, "lintel.yaml");
const folders = {
  localcertsdir: join(folder, "local"),
  etccertsdir: join(folder, "etc"),
  hooksdir: join(folder, "hooks"),
};
const bundle = (): string => readFileSync(join(folders.etccertsdir, "ca-certificates.crt"), "utf8");
let ca: LocalCa;

const store = new TrustStore({
  folder: folders.localcertsdir,
  args: [
    ...Object.entries(folders).flatMap(([name, path]) => [`--${name}`, path]),
    "--certsconf",
    join(folder, "conf"),
  ],
});

/** What the command says, once it has ended with 0. */
async function run(file: string, ...words: string[]): Promise<string> {
  const command = trustIn(store);
  let said = "";
  const same = (text: string): string => text;
  const paint = { error: same, warning: same, strong: same, faint: same };
  const out = (text: string): void => void (said += text);
  const terminal = { out, error: out, paint, errorPaint: paint };
  expect(await command.run({ ...parseArguments([...words, "--config", file], command.flags), terminal })).toBe(0);
  return said;
}

const trust = (...words: string[]): Promise<string> => run(config, ...words);

beforeAll(async () => {
  for (const path of Object.values(folders)) mkdirSync(path);
  // Systems have others: update-ca-certificates does not empty a list.
  writeFileSync(join(folders.localcertsdir, "other.crt"), new Authority("other").cert);
  writeFileSync(join(folder, "conf"), "");
  writeFileSync(config, CONFIG);
  ca = await LocalCa.open(new FolderStore(join(folder, "store")), new AbortController().signal);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("without a root it says where one would be, with one it writes it for others", async () => {
  const other = join(folder, "other.yaml");
  writeFileSync(other, CONFIG.replace("store", "nowhere"));
  await expect(run(other, "--print")).rejects.toThrow(`there is no local CA in ${join(folder, "nowhere")} yet`);
  expect(await trust("--print")).toBe(ca.root.cert);
});

test("--print and --uninstall exclude each other, and there are no parameters", async () => {
  await expect(trust("--print", "--uninstall")).rejects.toThrow("exclude each other");
  await expect(trust("app.test")).rejects.toThrow("takes no parameters: app.test");
});

needs(program("update-ca-certificates")).test(
  "the system trusts the root, and any more not after --uninstall",
  async () => {
    const { cert, subject } = ca.root;
    const file = store.fileOf(cert);
    for (let i = 0; i < 2; i++) {
      expect(await trust()).toStartWith(`${subject} is trusted by this system now (${file}).\n`);
      expect(bundle()).toContain(cert.trim());
    }
    expect(await trust()).toContain(`NODE_EXTRA_CA_CERTS=${file}\n`);
    for (let i = 0; i < 2; i++) {
      const said = await trust("--uninstall");
      expect(said).toStartWith(`${subject} is not trusted by this system any more.\n`);
      expect(said).not.toContain("NODE_EXTRA_CA_CERTS");
      expect(bundle()).not.toContain(cert.trim());
    }
  },
);

needs(program("update-ca-certificates"), program("certutil")).test.each(["Chromium", "Firefox"])(
  "what it says of %s works as it is, there and back, also for a user who never started it",
  async (browser) => {
    const home = mkdtempSync(join(folder, "home-"));
    const profile = join(home, "profile");
    // Firefox has one, or there is nobody to tell.
    mkdirSync(profile);
    const sh = (command: string): string => {
      const env = { PATH: process.env["PATH"]!, HOME: home };
      const { exitCode, stdout, stderr } = Bun.spawnSync(["sh", "-c", command], { env });
      expect([stderr.toString(), exitCode]).toEqual(["", 0]);
      return stdout.toString();
    };
    const line = (said: string): string =>
      new RegExp(`^  ${browser} +(.*)$`, "m").exec(said)![1]!.replace("PROFILE", profile);
    const list = `certutil -L -d sql:${browser === "Chromium" ? `${home}/.pki/nssdb` : profile}`;
    sh(line(await trust()));
    expect(sh(list)).toMatch(new RegExp(`^${RegExp.escape(ca.root.subject)} +C,, *$`, "m"));
    sh(line(await trust("--uninstall")));
    expect(sh(list)).not.toContain(ca.root.subject);
  },
);
