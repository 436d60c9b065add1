/** What operators said of endpoints and want kept over restarts: one small file in the state folder. */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import type { Log } from "../base/log.ts";
import { readJson, writeJson } from "../base/plain-json.ts";
import type { SavedOverrides } from "./upstream-directory.ts";

/** @returns nothing if there is none; a damaged one is named in the log */
export function readOverrides(path: string, log: Log): SavedOverrides {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return {};
  }
  try {
    return readJson(text) as SavedOverrides;
  } catch (thrown) {
    log.warn("kept changes of endpoints are damaged: they are left out", { file: path, reason: messageOf(thrown) });
    return {};
  }
}

/** A disk that does not take it costs a warning: the change is in force all the same. */
export function writeOverrides(path: string, overrides: SavedOverrides, log: Log): void {
  const temporary = `${path}.${process.pid}.new`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fd = openSync(temporary, "w", 0o600);
    try {
      const octets = Buffer.from(`${writeJson(overrides)}\n`);
      for (let at = 0; at < octets.length; ) at += writeSync(fd, octets, at);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (thrown) {
    log.warn("a change of endpoints is not kept over restarts", { file: path, reason: messageOf(thrown) });
  }
}

const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));
