/** `lintel trust`: programs of this system believe the local CA, or do not any more. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { FolderStore } from "../../acme/folder-store.ts";
import { readRoot } from "../../acme/local-ca.ts";
import { stateFolder } from "../../server/state-folder.ts";
import type { Flags } from "../arguments.ts";
import { type Command, CommandFailed, UsageError } from "../command.ts";
import { CONFIG, configFile, DEFAULT_CONFIGS, load } from "../prepare.ts";
import { TrustStore } from "../trust-store.ts";

export const trust: Command = trustIn(new TrustStore());

export function trustIn(store: TrustStore): Command {
  return {
    name: "trust",
    summary: "Have this system trust the local CA, whose certificates development names get.",
    parameters: "",
    flags: [
      CONFIG,
      { name: "uninstall", value: null, summary: "Trust it no more." },
      { name: "print", value: null, summary: "Write its certificate to standard output, to be trusted elsewhere." },
    ],
    examples: [
      { line: "lintel trust", does: "As root: adds the local CA to those of the system, and says what browsers need." },
      { line: "lintel trust --print > lintel-ca.pem", does: "For another machine, a phone, or a container." },
      { line: "lintel trust --uninstall", does: "As root: takes it away again." },
    ],
    async run({ flags, rest, terminal }) {
      if (rest.length > 0) throw new UsageError(`trust takes no parameters: ${rest.join(" ")}`);
      if (flags.has("print") && flags.has("uninstall"))
        throw new UsageError("--print and --uninstall exclude each other");
      const folder = await storageFolder(flags);
      const root = await readRoot(new FolderStore(folder));
      if (root === null)
        throw new CommandFailed(
          `there is no local CA in ${folder} yet`,
          'it is made when Lintel first runs with "tls: { local: true }"; if that runs as another user, name the folder with "state" or "tls.storage"',
        );
      if (flags.has("print")) {
        terminal.out(root.cert);
        return 0;
      }
      const file = store.fileOf(root.cert);
      if (flags.has("uninstall")) {
        store.uninstall(root.cert);
        terminal.out(
          `${root.subject} is not trusted by this system any more.\n${inBrowsers(root.subject, file, false)}`,
        );
        return 0;
      }
      store.install(root.cert);
      terminal.out(`${root.subject} is trusted by this system now (${file}).\n${inBrowsers(root.subject, file, true)}`);
      return 0;
    },
  };
}

/** Where the gateway of this config keeps certificates. */
async function storageFolder(flags: Flags): Promise<string> {
  // `lintel run --to …` needs no config.
  if (!flags.has("config") && !DEFAULT_CONFIGS.some((name) => existsSync(name)))
    return join(stateFolder(null, null), "certificates");
  const file = resolve(configFile(flags));
  const { config, directory } = await load({ file });
  if (config === null) throw new CommandFailed(`${file} has errors`, "`lintel check` shows them");
  const { storage } = config.tls;
  return storage === null ? join(stateFolder(config.state, file), "certificates") : resolve(directory, storage);
}

/** Browsers on Linux have CAs of their own (NSS). */
function inBrowsers(subject: string, file: string, isTrusted: boolean): string {
  const name = JSON.stringify(subject);
  const certutil = isTrusted ? `-A -t C,, -n ${name} -i ${file}` : `-D -n ${name}`;
  // Before its first start there is none.
  const folder = isTrusted ? "mkdir -p $HOME/.pki/nssdb && " : "";
  const verb = isTrusted ? "import it under" : "delete it under";
  return [
    "Browsers have lists of their own. As the user who runs them (package libnss3-tools):",
    `  Chromium  ${folder}certutil -d sql:$HOME/.pki/nssdb ${certutil}`,
    `  Firefox   certutil -d sql:PROFILE ${certutil}`,
    `            PROFILE is in about:profiles; or ${verb} Settings, Certificates, Authorities`,
    ...(isTrusted ? [`Node.js and Bun: NODE_EXTRA_CA_CERTS=${file}`] : []),
    "",
  ].join("\n");
}
