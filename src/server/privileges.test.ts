import { expect } from "bun:test";
import { needs, ROOT } from "../base/testing.ts";
import { freePortBelow1024 } from "../net/testing.ts";

/** Becomes nobody, and lets another process bind a UDP port; says what came of both. */
const SCRIPT = `
  import { dropPrivileges, findAccount } from "${import.meta.dir}/privileges.ts";
  const [port, mayBind] = process.argv.slice(-2);
  dropPrivileges(findAccount("nobody"), mayBind === "yes");
  const bind = "try { await Bun.udpSocket({ hostname: '127.0.0.1', port: " + port + ", socket: {} }); console.log('bound'); } catch ({ code }) { console.log(code); } process.exit()";
  const { stdout } = Bun.spawnSync([process.execPath, "-e", bind]);
  let root = "no";
  try { process.setuid(0); root = "yes"; } catch {}
  const rights = /^CapEff:\\s*(\\w+)/m.exec(await Bun.file("/proc/self/status").text())[1];
  console.log(stdout.toString().trim(), process.getuid() !== 0, "root again:", root, "rights:", BigInt("0x" + rights));
`;

needs(ROOT).test.each([
  ["yes", "bound true root again: no rights: 1024n"],
  ["no", "EACCES true root again: no rights: 0n"],
])("who becomes another user, and may keep ports below 1024: %s", async (mayBind, said) => {
  const child = Bun.spawn([process.execPath, "-e", SCRIPT, String(freePortBelow1024()), mayBind], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect([out.trim(), err]).toEqual([said, ""]);
});
