import { expect, test } from "bun:test";
import { homedir } from "node:os";
import { stateFolder } from "./state-folder.ts";

test("a folder named in the config is taken as it is, relative to the config file", () => {
  expect(stateFolder("/srv/state", "/etc/lintel/lintel.yaml")).toBe("/srv/state");
  expect(stateFolder("state", "/etc/lintel/lintel.yaml")).toBe("/etc/lintel/state");
  expect(stateFolder("state", null)).toBe(`${process.cwd()}/state`);
});

test.each([
  [
    "systemd's, if there is one",
    { STATE_DIRECTORY: "/var/lib/a:/var/lib/b", XDG_STATE_HOME: "/x" },
    true,
    "/var/lib/a/",
  ],
  ["the system's for root", { XDG_STATE_HOME: "/x" }, true, "/var/lib/lintel/"],
  ["the user's else", { XDG_STATE_HOME: "/x" }, false, "/x/lintel/"],
  ["the usual place of a user who says nothing", {}, false, `${homedir()}/.local/state/lintel/`],
])("without one it is below %s", (_, env, isRoot, start) => {
  expect(stateFolder(null, "/etc/lintel/shop.yaml", env, isRoot)).toMatch(new RegExp(`^${start}shop-[0-9a-f]{8}$`));
});

test("two config files, and two folders without one, do not meet", () => {
  const of = (file: string | null) => stateFolder(null, file, {}, true);
  expect(of("/a/lintel.yaml")).not.toBe(of("/b/lintel.yaml"));
  expect(of("lintel.yaml")).toBe(of(`${process.cwd()}/lintel.yaml`));
  expect(of(null)).toMatch(/\/command-line-[0-9a-f]{8}$/);
});
