/**
 * Finds the Lintel that runs: where --admin says; else at the admin socket in the state folder of the
 * config that is here; else at the admin address of that config. The config may be broken by now:
 * only `state` and `admin` are looked at.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { z } from "zod";
import type { status } from "../admin/schemas.ts";
import { FileReader } from "../config/include.ts";
import { toPlain } from "../config/node.ts";
import { type Address, parseAddress } from "../net/address.ts";
import { stateFolder } from "../server/state-folder.ts";
import type { FlagSpec, Flags } from "./arguments.ts";
import { CommandFailed, UsageError } from "./command.ts";
import { ControlClient, Refused, Unreachable } from "./control-client.ts";
import { CONFIG, DEFAULT_CONFIGS } from "./prepare.ts";

/** Flags of every command that talks to a running Lintel. */
export const CONTROL_FLAGS: readonly FlagSpec[] = [
  { ...CONFIG, summary: "The config of the Lintel that is meant. Default: the one here." },
  { name: "admin", value: "ADDR", summary: 'Its admin address instead, such as "127.0.0.1:2020" or "unix:/path".' },
  { name: "token", value: "TOKEN", summary: "Its admin token. Default: LINTEL_TOKEN, else as the config says." },
];

type Status = z.output<typeof status>;

/** @throws {CommandFailed} if none runs there */
export async function findControl(flags: Flags, env = process.env): Promise<ControlClient> {
  const token = flags.get("token") ?? (env["LINTEL_TOKEN"] || null);
  const given = flags.get("admin");
  if (given !== null) return reached(new ControlClient(readAddress(given), token));
  const file = flags.get("config") ?? DEFAULT_CONFIGS.find((name) => existsSync(name)) ?? null;
  if (file !== null && !existsSync(file)) throw new UsageError(`there is no config ${file}`);
  const { state, address, configToken } = await glance(file, env);
  const socket = new ControlClient(
    { kind: "unix", path: join(stateFolder(state, file, env), "admin.sock") },
    token ?? configToken,
  );
  const tries: string[] = [];
  try {
    return await reached(socket);
  } catch (thrown) {
    tries.push(reasonOf(thrown));
  }
  if (address !== null) {
    try {
      const client = await reached(new ControlClient(address, token ?? configToken));
      const served = (await client.get<Status>("/v1/status")).config.file;
      if (served === (file === null ? null : resolve(file))) return client;
      tries.push(`${client.address}: it serves ${served ?? "what its command line says"}`);
    } catch (thrown) {
      tries.push(reasonOf(thrown));
    }
  }
  const what = file === null ? "without a config here" : `with ${file}`;
  throw new CommandFailed(
    `no Lintel runs ${what}:\n${tries.map((one) => `        ${one}`).join("\n")}`,
    "name its config with --config FILE, or its admin address with --admin ADDR",
  );
}

async function reached(client: ControlClient): Promise<ControlClient> {
  try {
    await client.get<Status>("/v1/status");
    return client;
  } catch (thrown) {
    if (thrown instanceof Unreachable) throw new CommandFailed(`no Lintel runs at ${thrown.message}`);
    throw thrown;
  }
}

function reasonOf(thrown: unknown): string {
  if (thrown instanceof CommandFailed && !(thrown instanceof Refused))
    return thrown.message.replace("no Lintel runs at ", "");
  throw thrown;
}

function readAddress(text: string): Address {
  const address = parseAddress(text.replace(/^http:\/\//, "").replace(/\/$/, ""));
  if (address !== null) return address;
  throw new UsageError(`--admin ${text} is not an address`, 'write "host:port" or "unix:/path"');
}

interface Glance {
  readonly state: string | null;
  /** null: there is no admin listener of that kind. */
  readonly address: Address | null;
  readonly configToken: string | null;
}

/** What a config says about where it is administered, if it can be read at all. */
async function glance(file: string | null, env: Readonly<Record<string, string | undefined>>): Promise<Glance> {
  const root = file === null ? null : await new FileReader(env).read(file);
  const tree: unknown = root === null ? {} : toPlain(root);
  const { state, admin } = isMap(tree) ? tree : {};
  const { address = "127.0.0.1:2020", token } = isMap(admin) ? admin : {};
  return {
    state: typeof state === "string" ? state : null,
    address: admin === "off" || typeof address !== "string" ? null : parseAddress(address),
    configToken: typeof token === "string" ? token : null,
  };
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
