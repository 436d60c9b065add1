import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { needs, ROOT } from "../base/testing.ts";
import type { ListenSpec } from "./listen-spec.ts";
import { bindListener } from "./supervisor-listen.ts";

const listener = (address: string, kind: ListenSpec["kind"] = "http"): ListenSpec => ({
  kind,
  name: "web",
  address,
  backlog: 16,
});

/** Can something connect there? */
async function accepts(place: { hostname: string; port: number } | { unix: string }): Promise<boolean> {
  try {
    const socket = await Bun.connect({ ...place, socket: { data() {} } } as Parameters<typeof Bun.connect>[0]);
    socket.end();
    return true;
  } catch {
    return false;
  }
}

const portOf = (bound: { address: unknown }): number => (bound.address as { port: number }).port;

describe("a UDP listener", () => {
  test("has a socket of its own for each slot, all on the port that the system chose", async () => {
    const [bound] = await bindListener(listener("127.0.0.1:0", "udp"), 2);
    expect(bound!.fds).toHaveLength(2);
    expect(portOf(bound!)).toBeGreaterThan(0);
    bound!.close();
  });

  test("leaves the same port of TCP to others", async () => {
    const shared = async (): Promise<boolean> => {
      const [udp] = await bindListener(listener("127.0.0.1:0", "udp"), 1);
      const tcp = await bindListener(listener(`127.0.0.1:${portOf(udp!)}`), 1).catch(() => []);
      for (const one of [udp!, ...tcp]) one.close();
      return tcp.length > 0;
    };
    // By chance somebody else may have one of them.
    const tries = await Promise.all(Array.from({ length: 10 }, shared));
    expect(tries).toContain(true);
  });

  test("says who has its port", async () => {
    const [first] = await bindListener(listener("127.0.0.1:0", "udp"), 2);
    await expect(bindListener(listener(`127.0.0.1:${portOf(first!)}`, "udp"), 1)).rejects.toThrow(
      /udp "web" cannot listen on .*\(process \d+\) already does/,
    );
    first!.close();
    const [again] = await bindListener(listener(`127.0.0.1:${portOf(first!)}`, "udp"), 1);
    again!.close();
  });
});

describe("a TCP listener", () => {
  test("has a socket for each slot, all on the port that the system chose", async () => {
    const [bound] = await bindListener(listener("127.0.0.1:0"), 3);
    expect(new Set(bound!.fds).size).toBe(3);
    expect(portOf(bound!)).toBeGreaterThan(0);
    expect(await accepts({ hostname: "127.0.0.1", port: portOf(bound!) })).toBe(true);
    bound!.close();
    expect(await accepts({ hostname: "127.0.0.1", port: portOf(bound!) })).toBe(false);
  });

  test("on every address takes IPv4 and IPv6", async () => {
    const [bound] = await bindListener(listener(":0"), 2);
    const port = portOf(bound!);
    expect(await accepts({ hostname: "127.0.0.1", port })).toBe(true);
    expect(await accepts({ hostname: "::1", port })).toBe((bound!.address as { host: string }).host === "::");
    bound!.close();
  });

  test("by name listens on each address of the name, on the same port", async () => {
    const bound = await bindListener(listener("localhost:0"), 1);
    expect(new Set(bound.map(portOf)).size).toBe(1);
    for (const { address, close } of bound) {
      expect(await accepts({ hostname: (address as { host: string }).host, port: portOf(bound[0]!) })).toBe(true);
      close();
    }
    await expect(bindListener(listener("no-such-host.invalid:80"), 1)).rejects.toThrow(
      'listener "web": no-such-host.invalid has no address',
    );
  });

  test("is not shared with another process that listens there, which the message names", async () => {
    const [first] = await bindListener(listener("127.0.0.1:0"), 2);
    const port = portOf(first!);
    await expect(bindListener(listener(`127.0.0.1:${port}`), 2)).rejects.toThrow(
      new RegExp(
        `^listener "web" cannot listen on 127\\.0\\.0\\.1:${port}: .+ \\(process ${process.pid}\\) already does\\. Stop it or choose`,
      ),
    );
    await expect(bindListener(listener(`:${port}`), 2)).rejects.toThrow("already does");
    first!.close();
  });

  test("can be bound again at once after its connections were closed here", async () => {
    const [first] = await bindListener(listener("127.0.0.1:0"), 1);
    const port = portOf(first!);
    await accepts({ hostname: "127.0.0.1", port });
    first!.close();
    const [again] = await bindListener(listener(`127.0.0.1:${port}`), 1);
    again!.close();
  });

  test("an address of another machine is refused by name of the error", async () => {
    await expect(bindListener(listener("192.0.2.1:0"), 1)).rejects.toThrow("192.0.2.1:0: EADDRNOTAVAIL");
  });
});

describe("a unix listener", () => {
  test("is one socket for all slots; the file goes when it closes", async () => {
    const folder = mkdtempSync(`${tmpdir()}/lintel-unix-`);
    const path = `${folder}/l.sock`;
    const [bound] = await bindListener(listener(`unix:${path}`), 3);
    expect(bound!.fds.length).toBe(1);
    expect(statSync(path).mode & 0o777).toBe(0o666);
    expect(await accepts({ unix: path })).toBe(true);
    await expect(bindListener(listener(`unix:${path}`), 1)).rejects.toThrow("another process already does");
    bound!.close();
    expect(existsSync(path)).toBe(false);
    rmSync(folder, { recursive: true });
  });

  test("a file that a crash left behind is taken over, one that is no socket is not", async () => {
    const folder = mkdtempSync(`${tmpdir()}/lintel-unix-`);
    const path = `${folder}/l.sock`;
    const code = `
      const { bindListener } = await import(${JSON.stringify(`${import.meta.dir}/supervisor-listen.ts`)});
      await bindListener(${JSON.stringify(listener(`unix:${path}`))}, 1);
      process.kill(process.pid, "SIGKILL");`;
    await Bun.spawn([process.execPath, "-e", code]).exited;
    expect(existsSync(path)).toBe(true);
    const [bound] = await bindListener(listener(`unix:${path}`), 1);
    bound!.close();
    writeFileSync(path, "precious");
    await expect(bindListener(listener(`unix:${path}`), 1)).rejects.toThrow("exists and is not a socket");
    rmSync(folder, { recursive: true });
  });
});

needs(ROOT).test("an ordinary user is told what a port below 1024 needs", async () => {
  const code = `
    const { bindListener } = await import(${JSON.stringify(`${import.meta.dir}/supervisor-listen.ts`)});
    process.setgroups([]); process.setgid(65534); process.setuid(65534);
    await bindListener(${JSON.stringify(listener("127.0.0.1:81"))}, 1).catch(({ message }) => console.log(message));`;
  const child = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe" });
  expect(await child.stdout.text()).toContain("port 81 needs a privilege");
});
